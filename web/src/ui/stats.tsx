import { computed } from '@preact/signals';
import { currentLive } from '../model/chat';
import { path } from '../model/state';
import type { ReplyStats } from '../model/types';
import { server } from '../net/server';
import { strings } from '../strings';
import { memoryOpen } from './view';

const t = strings.stats;
const rate = (n: number) => (n >= 100 ? n.toFixed(0) : n.toFixed(1));

/** Numbers of one reply, the first ones for narrow screens, too; on demand all of them. */
export function StatsLine({ stats }: { stats: ReplyStats }) {
  if (!stats.replyTokens) return null;
  const drafted = stats.draftedTokens ? t.drafted(stats.acceptedTokens ?? 0, stats.draftedTokens) : '';
  const reply = stats.replyPerSecond > 0 ? `${rate(stats.replyPerSecond)} ${t.reply}` : '';
  const prompt = stats.promptPerSecond > 0 ? `${rate(stats.promptPerSecond)} ${t.prompt}` : '';
  const first = stats.firstTokenMs > 0 ? `${t.ms(stats.firstTokenMs)} ${t.first}` : '';
  const shown: [string, string][] = [['stat-rate', reply], ['', t.tokens(stats.replyTokens)], ['', first], ['wide', prompt], ['wide draft-share', drafted]];
  const all = [stats.promptTokens ? t.inTokens(stats.promptTokens) : '', stats.cachedTokens ? t.cached(stats.cachedTokens) : '', prompt, drafted].filter(Boolean);
  return (
    <details class="stats">
      <summary title={t.details}>
        {shown.filter(([, text]) => text).map(([kind, text]) => (
          <span key={text.replace(/^\S+/, '')} class={kind}>
            {text}
          </span>
        ))}
      </summary>
      <p class="stats-all">{all.join(' · ')}</p>
    </details>
  );
}

/** Tokens of the context in use, by the last reply that said so; null before there is one. */
export const usedTokens = computed<number | null>(() => {
  const live = currentLive.value?.stats.value;
  const stats = live?.promptTokens ? live : path.value.findLast((m) => m.stats?.promptTokens)?.stats;
  return stats ? stats.promptTokens + stats.replyTokens : null;
});
/** Tokens that still fit; infinite where the server does not say. */
export const roomLeft = computed(() => (server.value?.context ? server.value.context - (usedTokens.value ?? 0) : Infinity));

/** How full the context is; opens what it takes in memory. */
export function ContextGauge() {
  const total = server.value?.context ?? 0;
  if (!total || usedTokens.value === null) return null;
  const used = Math.min(total, usedTokens.value);
  const share = used / total;
  const length = 2 * Math.PI * 8;
  const label = t.context(used, total);
  return (
    <button
      type="button"
      class={`gauge ${share > 0.85 ? 'full' : ''}`}
      title={label}
      aria-expanded={memoryOpen.value}
      onClick={() => (memoryOpen.value = !memoryOpen.value)}
    >
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <circle cx="10" cy="10" r="8" class="gauge-all" />
        <circle cx="10" cy="10" r="8" class="gauge-used" stroke-dasharray={`${share * length} ${length}`} transform="rotate(-90 10 10)" />
      </svg>
      <span>
        {share < 0.01 ? '<1' : Math.round(share * 100)}%<span class="unseen"> {label}</span>
      </span>
    </button>
  );
}

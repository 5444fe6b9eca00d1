import { currentLive } from '../model/chat';
import { path } from '../model/state';
import type { ReplyStats } from '../model/types';
import { server } from '../net/server';
import { strings } from '../strings';

const t = strings.stats;
const rate = (n: number) => (n >= 100 ? n.toFixed(0) : n.toFixed(1));

/** Numbers of one reply: what people look for first, the rest on hover and for screen readers. */
export function StatsLine({ stats, live }: { stats: ReplyStats; live: boolean }) {
  if (!stats.replyTokens) return null;
  const drafted = stats.draftedTokens ? t.drafted(stats.acceptedTokens ?? 0, stats.draftedTokens) : '';
  const more = [
    stats.promptTokens ? `${t.tokens(stats.promptTokens)} in` : '',
    stats.cachedTokens ? t.cached(stats.cachedTokens) : '',
    stats.promptPerSecond ? `${rate(stats.promptPerSecond)} ${t.prompt}` : '',
    drafted,
  ].filter(Boolean);
  return (
    <p class="stats" title={more.join(' · ')}>
      {stats.replyPerSecond > 0 && <span class="stat-rate">{`${rate(stats.replyPerSecond)} ${t.reply}`}</span>}
      <span>{t.tokens(stats.replyTokens)}</span>
      {stats.firstTokenMs > 0 && <span>{`${t.ms(stats.firstTokenMs)} ${t.first}`}</span>}
      {!live && drafted && (
        <span class="draft-share" title={drafted}>
          {`${stats.acceptedTokens ?? 0}/${stats.draftedTokens} drafted`}
        </span>
      )}
    </p>
  );
}

/** How full the context is, by the last reply that said so. */
export function ContextGauge() {
  const total = server.value?.context ?? 0;
  const live = currentLive.value?.stats.value;
  const last = [...path.value].reverse().find((m) => m.stats?.promptTokens)?.stats;
  const stats = live?.promptTokens ? live : last;
  if (!total || !stats) return null;
  const used = Math.min(total, stats.promptTokens + stats.replyTokens);
  const share = used / total;
  const length = 2 * Math.PI * 8;
  const label = t.context(used, total);
  return (
    <span class={`gauge ${share > 0.85 ? 'full' : ''}`} role="meter" aria-label={label} title={label} aria-valuemin={0} aria-valuemax={total} aria-valuenow={used}>
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <circle cx="10" cy="10" r="8" class="gauge-all" />
        <circle cx="10" cy="10" r="8" class="gauge-used" stroke-dasharray={`${share * length} ${length}`} transform="rotate(-90 10 10)" />
      </svg>
      <span>{share < 0.01 ? '<1' : Math.round(share * 100)}%</span>
    </span>
  );
}

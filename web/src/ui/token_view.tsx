import { useState } from 'preact/hooks';
import { regenerate } from '../model/chat';
import type { Message, Token } from '../model/types';
import { strings } from '../strings';
import { Dialog } from './dialog';
import { applySettings } from './settings_panel';
import { tokensOf } from './view';

const t = strings.tokens;

const percent = (logprob: number) => {
  const p = Math.exp(logprob) * 100;
  return p >= 99.95 ? '100 %' : p >= 10 ? `${p.toFixed(1)} %` : p >= 0.1 ? `${p.toFixed(2)} %` : '< 0.1 %';
};
/** 0 (sure) … 4 (a guess). */
export const doubt = (logprob: number): number => [-0.105, -0.51, -1.2, -2.3].filter((edge) => logprob < edge).length;

const visible = (text: string) => text.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/^ $/, '␣') || '∅';

function Choice({ token }: { token: Token }) {
  const listed = token.alternatives.some((a) => a.text === token.text) ? token.alternatives : [token, ...token.alternatives];
  const rest = 1 - listed.reduce((sum, a) => sum + Math.exp(a.logprob), 0);
  return (
    <table class="choices">
      <caption>{t.alternatives}</caption>
      <tbody>
        {listed.map((a, i) => (
          <tr key={i} class={a.text === token.text ? 'chosen' : ''}>
            <th scope="row">
              <code>{visible(a.text)}</code>
              {a.text === token.text && <small>{t.chosen}</small>}
            </th>
            <td>
              <span class="bar ours" style={{ width: `${Math.exp(a.logprob) * 100}%` }} />
            </td>
            <td class="number">{percent(a.logprob)}</td>
          </tr>
        ))}
        {rest > 0.0005 && (
          <tr>
            <th scope="row">{t.other}</th>
            <td>
              <span class="bar other" style={{ width: `${rest * 100}%` }} />
            </td>
            <td class="number">{percent(Math.log(rest))}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

export function TokenView({ message }: { message: Message }) {
  const [at, setAt] = useState(0);
  const close = () => (tokensOf.value = null);
  const tokens = message.tokens ?? [];
  const again = async () => {
    close();
    await applySettings({ recordTokens: true });
    await regenerate(message.id);
  };
  if (!tokens.length) {
    return (
      <Dialog title={t.title} onClose={close} class="small">
        <p>{t.none}</p>
        <div class="dialog-actions">
          <button type="button" class="button primary" onClick={() => void again()}>
            {t.again}
          </button>
        </div>
      </Dialog>
    );
  }
  const mean = Math.exp(tokens.reduce((sum, k) => sum + Math.max(k.logprob, -20), 0) / tokens.length);
  const draftKnown = tokens.some((k) => k.drafted !== undefined);
  const drafted = tokens.filter((k) => k.drafted).length;
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.min(tokens.length - 1, Math.max(0, at + step));
    setAt(next);
    (event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>('button')[next]?.focus();
  };
  const token = tokens[at] as Token;
  return (
    <Dialog title={t.title} onClose={close} class="wide">
      <p class="facts">
        <b>{t.summary(tokens.length, `${(mean * 100).toFixed(1)} %`)}</b>
        <span>{t.hint}</span>
      </p>
      <p class="legend">{draftKnown ? <><span class="token drafted">{t.drafted}</span> {t.draftShare(drafted, tokens.length)}</> : <span class="hint">{t.noDraft}</span>}</p>
      <div class="token-view">
        <div class="tokens" onKeyDown={onKeyDown} role="group" aria-label={t.title}>
          {tokens.map((k, i) => [
            k.text.startsWith('\n') && !k.text.endsWith('\n') && <br key={`line${i}`} />,
            <button
              key={i}
              type="button"
              tabindex={i === at ? 0 : -1}
              class={`token doubt-${doubt(k.logprob)} ${k.drafted ? 'drafted' : ''}`}
              aria-pressed={i === at}
              aria-label={`${visible(k.text)}, ${percent(k.logprob)}${k.drafted ? `, ${t.drafted}` : ''}`}
              onClick={() => setAt(i)}
              onPointerEnter={() => setAt(i)}
            >
              {visible(k.text)}
            </button>,
            k.text.endsWith('\n') && <br key={`end${i}`} />,
          ])}
        </div>
        <Choice token={token} />
      </div>
    </Dialog>
  );
}

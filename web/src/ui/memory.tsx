import { useEffect, useRef, useState } from 'preact/hooks';
import { getText } from '../net/api';
import { parseMetrics } from '../net/metrics';
import { server } from '../net/server';
import { strings } from '../strings';
import { bytes } from './numbers';
import { usedTokens } from './stats';
import { memoryOpen } from './view';

const t = strings.stats;
const everyMs = 2000;

/** Under the gauge: what this chat holds of the context, and what that and the model take in memory. */
export function MemoryCard() {
  const box = useRef<HTMLElement>(null);
  const [resident, setResident] = useState(0);
  useEffect(() => {
    const opener = document.activeElement as HTMLElement | null;
    box.current?.focus();
    const close = (event: Event) => {
      if (event instanceof KeyboardEvent ? event.key !== 'Escape' : box.current?.contains(event.target as Node) || opener?.contains(event.target as Node)) return;
      event.stopPropagation();
      memoryOpen.value = false;
      if (event instanceof KeyboardEvent) opener?.focus();
    };
    const look = async () => {
      const found = parseMetrics(await getText('metrics').catch(() => '')).find((f) => f.name === 'tessera_resident_bytes');
      setResident(found?.samples[0]?.value ?? 0);
    };
    void look();
    const timer = setInterval(() => void look(), everyMs);
    addEventListener('pointerdown', close);
    addEventListener('keydown', close, true);
    return () => (clearInterval(timer), removeEventListener('pointerdown', close), removeEventListener('keydown', close, true));
  }, []);
  const info = server.value;
  const used = usedTokens.value;
  if (!info || used === null) return null;
  const share = Math.min(1, used / info.context);
  const rows: [string, string][] = [
    [t.used, t.ofTokens(used, info.context)],
    ...(info.kvBytes ? [[t.kv, t.kvOf(bytes(info.kvBytes), info.slots)]] as [string, string][] : []),
    ...(info.weightBytes ? [[t.weights, bytes(info.weightBytes)]] as [string, string][] : []),
    ...(resident ? [[t.resident, bytes(resident)]] as [string, string][] : []),
  ];
  return (
    <section class="memory" ref={box} tabindex={-1} aria-label={t.memoryTitle}>
      <h2>{t.memoryTitle}</h2>
      <dl>
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {share > 0.85 && <p class="bad">{t.full}</p>}
    </section>
  );
}

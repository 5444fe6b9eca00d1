import { useEffect, useState } from 'preact/hooks';
import { getJson, getText } from '../net/api';
import { addReading, parseMetrics, type Series } from '../net/metrics';
import { link, server } from '../net/server';
import { strings } from '../strings';
import { go } from './route';

const t = strings.status;
const everyMs = 2000;
const keepMs = 120000;

interface Slot {
  id?: number;
  is_processing?: boolean;
  n_ctx?: number;
  n_past?: number;
  next_token?: { n_decoded?: number };
}
type Readings = Map<string, Series & { last: number }>;

const short = (n: number): string => {
  const size = Math.abs(n);
  if (size >= 1e9) return `${(n / 1e9).toFixed(2)} G`;
  if (size >= 1e6) return `${(n / 1e6).toFixed(2)} M`;
  if (size >= 1e4) return `${(n / 1e3).toFixed(1)} k`;
  return size >= 100 || Number.isInteger(n) ? n.toFixed(0) : n.toPrecision(3);
};

/** Values of the last two minutes; the newest as a number. */
function Plot({ series }: { series: Series }) {
  const { points } = series;
  const now = points.at(-1)?.time ?? 0;
  const top = Math.max(1e-9, ...points.map((p) => p.value));
  const line = points.map((p) => `${(240 * (1 - (now - p.time) / keepMs)).toFixed(1)},${(46 - 42 * Math.max(0, p.value / top)).toFixed(1)}`).join(' ');
  return (
    <figure class="plot" title={series.help}>
      <figcaption>{series.title}</figcaption>
      <b>
        {short(points.at(-1)?.value ?? 0)}
        {series.perSecond && <small>/s</small>}
      </b>
      <svg viewBox="0 0 240 48" preserveAspectRatio="none" aria-hidden="true">
        <polyline points={line} />
      </svg>
    </figure>
  );
}

export function StatusPage() {
  const [readings, setReadings] = useState<Readings | null>(new Map());
  const [slots, setSlots] = useState<Slot[] | null>([]);
  const [log, setLog] = useState<string | null>(null);
  const [props, setProps] = useState<Record<string, unknown>>({});
  useEffect(() => {
    let over = false;
    let timer = 0;
    const look = async () => {
      const [metrics, slotList, lines] = await Promise.all([
        getText('metrics').catch(() => null),
        getJson<Slot[]>('slots').catch(() => null),
        getText('logs').catch(() => null),
      ]);
      if (over) return;
      setReadings((before) => (metrics === null ? null : addReading(before ?? new Map(), parseMetrics(metrics), Date.now(), keepMs)));
      setSlots(Array.isArray(slotList) ? slotList : null);
      setLog(lines);
      timer = window.setTimeout(look, everyMs);
    };
    void getJson<Record<string, unknown>>('props').then((p) => !over && setProps(p)).catch(() => undefined);
    void look();
    return () => ((over = true), clearTimeout(timer));
  }, []);
  const info = server.value;
  const state = link.value === 'ok' ? strings.link.ok : link.value === 'key' ? strings.key.title : strings.link[link.value];
  const facts: [string, string][] = [
    [t.connection, state],
    [t.model, info?.model ?? ''],
    [t.parameters, info?.parameters ? short(info.parameters) : ''],
    [t.context, info?.context ? t.slotTokens(info.context) : ''],
    [t.backend, info?.backend ?? ''],
    [t.version, info?.version ?? ''],
    ...Object.entries(props).filter((e): e is [string, string | number] => ['string', 'number'].includes(typeof e[1]) && !known.has(e[0])).map(([k, v]): [string, string] => [k.replace(/_/g, ' '), typeof v === 'number' ? short(v) : v]),
  ];
  return (
    <main class="status">
      <button type="button" class="button quiet" onClick={() => go(null)}>
        {t.back}
      </button>
      <section>
        <dl class="status-facts">
          {facts.filter(([, value]) => value).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </section>
      <section>
        <h2>{t.sessions}</h2>
        {slots === null ? <p class="hint">{t.noSlots}</p> : (
          <ul class="slots">
            {slots.map((slot, i) => (
              <li key={i} class={slot.is_processing ? 'busy' : ''}>
                <b>{t.slot(slot.id ?? i)}</b> {slot.is_processing ? t.busy : t.idle}
                {slot.n_ctx ? <small>{t.slotTokens(slot.n_past ?? slot.next_token?.n_decoded ?? 0)}</small> : null}
              </li>
            ))}
          </ul>
        )}
      </section>
      <section>
        <h2>
          {t.metrics} <small>{t.window}</small>
        </h2>
        {readings === null ? <p class="hint">{t.noMetrics}</p> : (
          <div class="plots">
            {[...readings.values()].map((series) => (
              <Plot key={series.key} series={series} />
            ))}
          </div>
        )}
      </section>
      <section>
        <h2>{t.log}</h2>
        {log ? <pre class="log" tabindex={0}>{log}</pre> : <p class="hint">{t.noLog}</p>}
      </section>
      <p class="hint">{t.updated}</p>
    </main>
  );
}

// Shown by name above, or not for people.
const known = new Set(['build_info', 'backend', 'chat_template', 'model_path', 'bos_token', 'eos_token', 'max_body_bytes', 'total_slots']);

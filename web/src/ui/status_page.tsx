import { useEffect, useRef, useState } from 'preact/hooks';
import { getJson, getText } from '../net/api';
import { addReading, parseMetrics, type Series } from '../net/metrics';
import { link, server } from '../net/server';
import { currentId } from '../model/state';
import { strings } from '../strings';
import { amount, bytes, short } from './numbers';
import { go } from './route';

const t = strings.status;
const everyMs = 2000;
const keepMs = 120000;
const leastSpanMs = 10000;

interface Slot {
  id?: number;
  is_processing?: boolean;
  n_ctx?: number;
  n_past?: number;
}
type Readings = Map<string, Series>;

/** From the first reading on, two minutes at most, so that the first look has something to show; the newest as a number. */
function Plot({ series, title }: { series: Series; title: string }) {
  const { points } = series;
  const now = points.at(-1)?.time ?? 0;
  const spanMs = Math.max(leastSpanMs, now - (points[0]?.time ?? now));
  const top = Math.max(1e-9, ...points.map((p) => p.value));
  const line = points.map((p) => `${(240 * (1 - (now - p.time) / spanMs)).toFixed(1)},${(46 - 42 * Math.max(0, p.value / top)).toFixed(1)}`);
  const from = line[0]?.split(',')[0] ?? '240';
  return (
    <figure class="plot" title={series.help}>
      <figcaption>{title}</figcaption>
      <b>
        {amount(series.key, points.at(-1)?.value ?? 0)}
        {series.perSecond && <small>/s</small>}
      </b>
      <svg viewBox="0 0 240 48" preserveAspectRatio="none" aria-hidden="true">
        <polygon points={`${from},46 ${line.join(' ')} 240,46`} />
        <polyline points={line.join(' ')} />
      </svg>
    </figure>
  );
}

/** The newest line in view, unless the person has scrolled up. */
function LogTail({ text }: { text: string }) {
  const box = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  useEffect(() => {
    const log = box.current;
    if (log && atEnd.current) log.scrollTop = log.scrollHeight;
  }, [text]);
  return (
    <pre class="log" tabindex={0} ref={box} onScroll={({ currentTarget: log }) => (atEnd.current = log.scrollHeight - log.scrollTop - log.clientHeight < 24)}>
      {text}
    </pre>
  );
}

const back = () => go(currentId.value);

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
  const shown = Object.keys(t.plots).map((name) => readings?.get(name)).filter((s) => s !== undefined);
  const others = [...(readings?.values() ?? [])].filter((s) => !(s.key in t.plots));
  const facts: [string, string][] = [
    [t.connection, state],
    [t.model, info?.model ?? ''],
    [t.parameters, info?.parameters ? short(info.parameters) : ''],
    [t.context, info?.context ? t.slotTokens(info.context) : ''],
    [t.backend, info?.backend ?? ''],
    [t.version, info?.version ?? ''],
    ...Object.entries(props)
      .filter((e): e is [string, string | number] => ['string', 'number'].includes(typeof e[1]) && !known.has(e[0]))
      .map(([k, v]): [string, string] => [t.props[k] ?? k.replace(/_bytes$/, '').replace(/_/g, ' '), typeof v === 'string' ? v : k.endsWith('_bytes') ? bytes(v) : short(v)]),
  ];
  return (
    <main class="status" tabindex={-1}>
      <button type="button" class="button quiet" onClick={back}>
        {t.back}
      </button>
      <section>
        <dl class="status-facts">
          {facts.filter(([, value]) => value).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd title={value}>{value.replace(/ \(.*\)$/, '')}</dd>
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
                {slot.n_ctx ? <small>{t.held(slot.n_past ?? 0, slot.n_ctx)}</small> : null}
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
            {shown.map((series) => (
              <Plot key={series.key} series={series} title={t.plots[series.key] as string} />
            ))}
          </div>
        )}
        {others.length > 0 && (
          <details class="other-figures">
            <summary>{t.others}</summary>
            <dl>
              {others.map((series) => (
                <div key={series.key} title={series.help}>
                  <dt>{series.key.replace(/^tessera_/, '').replace(/_/g, ' ')}</dt>
                  <dd>{amount(series.key, series.last)}</dd>
                </div>
              ))}
            </dl>
          </details>
        )}
      </section>
      <section>
        <h2>{t.log}</h2>
        {log ? <LogTail text={log} /> : <p class="hint">{t.noLog}</p>}
      </section>
      <p class="hint">{t.updated}</p>
    </main>
  );
}

// Shown by name above, or not for people.
const known = new Set(['build_info', 'backend', 'chat_template', 'model_path', 'bos_token', 'eos_token', 'max_body_bytes', 'total_slots', 'model_alias']);

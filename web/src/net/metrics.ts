/** One number of a Prometheus page. */
export interface Sample {
  name: string;
  labels: string;
  value: number;
}
export interface Family {
  name: string;
  help: string;
  type: string;
  samples: Sample[];
}

/** The text format, as far as servers write it: HELP, TYPE, name{labels} value [time]. Other lines are passed over. */
export function parseMetrics(text: string): Family[] {
  const families = new Map<string, Family>();
  const family = (name: string): Family => {
    let found = families.get(name);
    if (!found) families.set(name, (found = { name, help: '', type: 'untyped', samples: [] }));
    return found;
  };
  for (const line of text.split('\n')) {
    const comment = /^#\s+(HELP|TYPE)\s+(\S+)\s*(.*)$/.exec(line);
    if (comment) {
      const [, kind, name, rest] = comment as unknown as [string, string, string, string];
      if (kind === 'HELP') family(name).help = rest;
      else family(name).type = rest;
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(\{.*\})?\s+(\S+)/.exec(line);
    if (!sample) continue;
    const [, name, labels, value] = sample as unknown as [string, string, string | undefined, string];
    const read = Number(value.replace(/^([+-]?)Inf$/, '$1Infinity'));
    if (Number.isNaN(read)) continue;
    // A histogram's samples belong to the family without the ending.
    const base = name.replace(/_(bucket|sum|count|total)$/, '');
    const owner = families.get(name) ?? families.get(base) ?? family(name);
    owner.samples.push({ name, labels: labels ?? '', value: read });
  }
  return [...families.values()].filter((f) => f.samples.length);
}

export interface Series {
  /** The family's name. */
  key: string;
  help: string;
  /** Counters are shown as their growth a second. */
  perSecond: boolean;
  points: { time: number; value: number }[];
  /** What the server said last; of a histogram, sum and count. */
  last: number;
  lastCount: number;
}

/** The page and its own questions are no work of the model. */
const counted = (sample: Sample) => Number.isFinite(sample.value) && !/route="\//.test(sample.labels);
const total = (samples: Sample[]) => samples.reduce((sum, s) => sum + s.value, 0);

/**
 * Adds one reading: labels are summed; histograms are shown by their mean since the last reading that had something new.
 * keepMs: how far back points go.
 */
export function addReading(before: ReadonlyMap<string, Series>, families: Family[], time: number, keepMs: number): Map<string, Series> {
  const after = new Map<string, Series>();
  for (const { name, help, type, samples } of families) {
    const old = before.get(name);
    const points = old ? old.points.filter((p) => p.time > time - keepMs) : [];
    const seconds = old?.points.length ? (time - (old.points.at(-1)?.time as number)) / 1000 : 0;
    const shown = old?.points.at(-1)?.value ?? 0;
    const histogram = type === 'histogram' || type === 'summary';
    const last = total(samples.filter((s) => counted(s) && (!histogram || s.name.endsWith('_sum'))));
    const lastCount = histogram ? total(samples.filter((s) => s.name.endsWith('_count'))) : 0;
    let value = last;
    // What fell belongs to a server that was started again.
    if (type === 'counter') value = old && seconds > 0 ? Math.max(0, last - old.last) / seconds : 0;
    if (histogram) value = lastCount > (old?.lastCount ?? 0) ? Math.max(0, last - (old?.last ?? 0)) / (lastCount - (old?.lastCount ?? 0)) : shown;
    after.set(name, { key: name, help, perSecond: type === 'counter', points: [...points, { time, value }], last, lastCount });
  }
  return after;
}

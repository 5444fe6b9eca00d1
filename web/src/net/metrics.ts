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
  key: string;
  title: string;
  help: string;
  /** Counters are shown as their growth a second. */
  perSecond: boolean;
  points: { time: number; value: number }[];
}

/** Adds one reading. Histograms are shown by their mean since the last reading. keepMs: how far back points go. */
export function addReading(before: ReadonlyMap<string, Series & { last: number }>, families: Family[], time: number, keepMs: number): Map<string, Series & { last: number }> {
  const after = new Map<string, Series & { last: number }>();
  for (const family of families) {
    if (family.type === 'histogram' || family.type === 'summary') continue;
    for (const sample of family.samples) {
      if (!Number.isFinite(sample.value)) continue;
      const key = sample.name + sample.labels;
      const perSecond = family.type === 'counter';
      const old = before.get(key);
      const points = old ? old.points.filter((p) => p.time > time - keepMs) : [];
      const lastTime = old?.points.at(-1)?.time;
      let value = sample.value;
      // A counter that fell belongs to a server that was started again.
      if (perSecond) value = old && lastTime !== undefined && time > lastTime ? Math.max(0, sample.value - old.last) / ((time - lastTime) / 1000) : 0;
      after.set(key, { key, title: sample.name.replace(/^[a-z]+[:_]/, '').replace(/_/g, ' ') + sample.labels, help: family.help, perSecond, points: [...points, { time, value }], last: sample.value });
    }
  }
  return after;
}

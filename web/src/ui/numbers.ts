import { strings } from '../strings';

export const short = (n: number): string => {
  const size = Math.abs(n);
  if (size >= 1e9) return `${(n / 1e9).toFixed(2)} G`;
  if (size >= 1e6) return `${(n / 1e6).toFixed(2)} M`;
  if (size >= 1e4) return `${(n / 1e3).toFixed(1)} k`;
  return size >= 100 || Number.isInteger(n) ? n.toFixed(0) : n.toPrecision(3);
};

export const bytes = (n: number): string => (n >= 2 ** 30 ? `${(n / 2 ** 30).toFixed(1)} GiB` : `${(n / 2 ** 20).toFixed(n < 2 ** 24 ? 1 : 0)} MiB`);

/** In the unit that the metric's name says. */
export const amount = (name: string, n: number): string => (name.endsWith('_bytes') ? bytes(n) : name.endsWith('_seconds') ? strings.stats.ms(n * 1000) : short(n));

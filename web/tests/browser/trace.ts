import { writeFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  args: { name?: string; data?: { url?: string } };
}
export interface MainThread {
  /** Milliseconds, longest first. */
  tasks: number[];
  /** Share of the time from the first task to the end of the last. */
  busy: number;
}

/** Chromium's own trace of what `act` makes the page do; kept at `path` for chrome://tracing. */
export async function traced(browser: Browser, page: Page, path: string, act: () => Promise<void>): Promise<MainThread> {
  await browser.startTracing(page, { categories: ['toplevel', 'devtools.timeline', '__metadata'] });
  await act();
  const file = await browser.stopTracing();
  writeFileSync(path, file);
  const events = (JSON.parse(file.toString()) as { traceEvents: TraceEvent[] }).traceEvents;
  // Of the renderers, the one that worked most is the page's.
  const threads = events.filter((e) => e.name === 'thread_name' && e.args.name === 'CrRendererMain');
  const runs = threads.map(({ pid, tid }) => events.filter((e) => e.pid === pid && e.tid === tid && e.ph === 'X' && e.name === 'ThreadControllerImpl::RunTask'));
  const total = (list: TraceEvent[]) => list.reduce((sum, e) => sum + (e.dur ?? 0), 0);
  const page_ = runs.sort((a, b) => total(b) - total(a))[0] ?? [];
  if (!page_.length) throw new Error(`the trace at ${path} has no tasks of a page`);
  const from = Math.min(...page_.map((e) => e.ts)), to = Math.max(...page_.map((e) => e.ts + (e.dur ?? 0)));
  return { tasks: page_.map((e) => (e.dur ?? 0) / 1000).sort((a, b) => b - a), busy: total(page_) / (to - from) };
}

export const quantile = (sorted: number[], q: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;

/** Milliseconds of every frame from now on, sorted, when what it returns is called. */
export async function watchFrames(page: Page): Promise<() => Promise<number[]>> {
  await page.evaluate(() => {
    const w = window as unknown as { frames: number[] };
    w.frames = [];
    let last = performance.now();
    const tick = (now: number) => (w.frames.push(now - last), (last = now), requestAnimationFrame(tick));
    requestAnimationFrame(tick);
  });
  return () => page.evaluate(() => [...(window as unknown as { frames: number[] }).frames].sort((a, b) => a - b));
}

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { longReply } from '../mock';
import { browser, mock, start, withMock } from './mocked';
import { composer, replies, say, settled } from './page';
import { quantile, traced, watchFrames } from './trace';

withMock();

const tracePath = join(tmpdir(), 'tessera-stream.trace.json');
// Times are printed, not judged: machines differ. What makes it fast is judged: a finished block is never made again.
describe('speed', () => {
  it('makes each block of a growing reply once', async () => {
    mock.options.reply = longReply.repeat(3);
    mock.options.tokenMs = 10;
    const page = await start();
    await page.addInitScript(() => {
      new MutationObserver((_, observer) => {
        if (!document.querySelector('#composer-text')) return;
        observer.disconnect();
        requestAnimationFrame(() => ((window as unknown as { ready: number }).ready = performance.now()));
      }).observe(document, { childList: true, subtree: true });
    });
    await page.reload();
    await composer(page).waitFor();
    const ready = await page.evaluate(() => (window as unknown as { ready: number }).ready);
    const frames = await watchFrames(page);
    const { tasks, busy } = await traced(browser, page, tracePath, async () => {
      await say(page, 'go');
      await replies(page).last().locator('table').first().waitFor();
      await page.evaluate(() => document.querySelector('.message.assistant .block')?.setAttribute('data-kept', ''));
      await settled(page);
    });
    const sorted = await frames();
    const late = sorted.filter((ms) => ms > 25).length;
    console.log(
      `usable ${ready.toFixed(0)} ms after navigation; ${sorted.length} frames, median ${quantile(sorted, 0.5).toFixed(1)} ms, ` +
        `99 % within ${quantile(sorted, 0.99).toFixed(1)} ms, ${late} over 25 ms; main thread busy ${(busy * 100).toFixed(0)} %, ` +
        `${tasks.length} tasks, longest ${tasks.slice(0, 3).map((ms) => ms.toFixed(1)).join(', ')} ms; trace: ${tracePath}`,
    );
    expect(await replies(page).last().locator('.block[data-kept] h2').count()).toBe(1);
    expect(await composer(page).isVisible()).toBe(true);
  });
});

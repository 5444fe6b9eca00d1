import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { mock, open, start, withMock } from './mocked';
import { replies, say, settled, shot } from './page';

withMock();

const axeSource = readFileSync(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
/** Breaches of WCAG 2.1 AA, as "rule: where". */
async function axe(page: Page): Promise<string[]> {
  // evaluate() is the debugger's: the page's own policy would refuse the script.
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: { run: (where: Document, o: object) => Promise<{ violations: { id: string; nodes: { target: string[]; failureSummary: string }[] }[] }> } }).axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'],
    });
    return violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(' ')} ${n.failureSummary}`));
  });
}

describe('faults', () => {
  it('asks for the key, says when it is wrong, and goes on with the right one', async () => {
    mock.options.key = 'sesame';
    const page = await start();
    await page.getByRole('heading', { name: 'This server asks for a key' }).waitFor();
    await shot(page, 'key');
    await page.getByLabel('API key').fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('The server did not accept that key.').waitFor();
    await page.getByLabel('API key').fill('sesame');
    await page.keyboard.press('Enter');
    await say(page, 'hello');
    await settled(page);
    await page.getByText('You said: hello').waitFor();
  });

  it('says what was lost when the server goes, notices that it is back, and continues', async () => {
    mock.options.dropAfter = 6;
    const page = await start();
    await say(page, 'one two three four five six seven');
    await page.getByText(/The connection was lost after \d words/).waitFor();
    await mock.stop();
    await page.getByText('The server does not answer. Trying again…').waitFor();
    await say(page, 'are you there?');
    await page.getByText('The connection was lost before an answer came.').waitFor();
    mock.options.dropAfter = 0;
    await mock.start();
    await page.getByText('The server is back.').waitFor();
    await replies(page).last().getByRole('button', { name: 'Answer again' }).first().click();
    await page.getByText('You said: are you there?').waitFor();
  });

  it('a reply that a reload cut is kept and said to be cut', async () => {
    mock.options.tokenMs = 90;
    const page = await start();
    await say(page, 'one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen');
    await replies(page).last().getByText(/You said: one two three four five six/).waitFor();
    await page.waitForTimeout(1100); // kept once a second
    await page.reload();
    await page.getByText(/The connection was lost after/).waitFor();
    await page.getByText(/You said: one two three/).waitFor();
  });
});

describe('for everybody', () => {
  it('meets WCAG 2.1 AA in both themes, in every window', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await start({ colorScheme });
      expect(await axe(page), 'first run').toEqual([]);
      await page.getByRole('banner').getByRole('button', { name: 'Settings of this chat' }).click();
      await page.getByRole('switch', { name: /Keep token/ }).check();
      expect(await axe(page), 'settings').toEqual([]);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Think first' }).click();
      await say(page, 'sky');
      await settled(page);
      await replies(page).last().locator('.hljs-keyword').first().waitFor();
      expect(await axe(page), 'conversation').toEqual([]);
      if (colorScheme === 'dark') await shot(page, 'dark');
      await page.getByRole('button', { name: 'Token view' }).click();
      await page.locator('.tokens .token').nth(5).click();
      if (colorScheme === 'light') await shot(page, 'tokens');
      expect(await page.locator('.tokens .drafted').count()).toBeGreaterThan(10);
      expect(await axe(page), 'tokens').toEqual([]);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Server status' }).first().click();
      await page.waitForTimeout(4500);
      expect(await axe(page), 'status').toEqual([]);
      if (colorScheme === 'light') await shot(page, 'status');
      expect(await page.locator('.plot').count()).toBe(10);
      if (colorScheme === 'light') await open.context.close();
    }
  });

  it('works by keyboard alone', async () => {
    const page = await start();
    await page.keyboard.press('Tab');
    for (let i = 0; i < 40 && !(await page.evaluate(() => document.activeElement?.id === 'composer-text')); i++) await page.keyboard.press('Tab');
    await page.keyboard.type('hello');
    await page.keyboard.press('Enter');
    await settled(page);
    for (let i = 0; i < 12 && !(await page.evaluate(() => document.activeElement?.getAttribute('aria-label') === 'Answer again')); i++) await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Enter');
    await settled(page);
    await page.getByText('2 / 2').waitFor();
    await page.keyboard.press('Control+,');
    await page.getByRole('dialog', { name: 'Settings' }).waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
    await page.keyboard.press('Control+b');
    await expect.poll(() => page.locator('.sidebar').count()).toBe(0);
  });

  it('fits a phone', async () => {
    const page = await start({ viewport: { width: 375, height: 740 }, hasTouch: true, isMobile: true });
    await say(page, 'a table of the sky');
    await settled(page);
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(await wide()).toBeLessThanOrEqual(0);
    await shot(page, 'phone');
    await page.getByRole('button', { name: 'Chats' }).click();
    await page.locator('.sidebar').waitFor();
    await page.locator('.entry a').first().click();
    await expect.poll(() => page.locator('.sidebar').count()).toBe(0);
    expect(await axe(page)).toEqual([]);
  });

  it('remembers the theme', async () => {
    const page = await start();
    await page.keyboard.press('Control+,');
    await page.getByRole('radio', { name: 'Dark' }).check({ force: true });
    await page.reload();
    expect(await page.evaluate(() => document.documentElement.dataset['theme'])).toBe('dark');
  });
});

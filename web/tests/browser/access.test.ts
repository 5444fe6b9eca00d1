import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/media/wav';
import { axe } from './axe';
import { mock, start, withMock } from './mocked';
import { boardFile, composer, fakeMicrophone, fixtures, hand, replies, say, settled, shot } from './page';

withMock(fakeMicrophone);

const tone = Buffer.from(encodeWav(Float32Array.from({ length: 32000 }, (_, i) => Math.sin(i / 8)), 16000));
const film = readFileSync(`${fixtures}media/with_sound.mp4`);
const settings = (page: Page) => page.getByRole('banner').getByRole('button', { name: 'Settings of this chat' }).click();
const focused = (page: Page) => page.evaluate(() => document.activeElement?.getAttribute('aria-label') || document.activeElement?.textContent?.trim() || document.activeElement?.id || '');

describe('for everybody', () => {
  it.each(['light', 'dark'] as const)('meets WCAG 2.2 AA in a conversation and its windows: %s', async (colorScheme) => {
    const page = await start({ colorScheme });
    expect(await axe(page), 'first run').toEqual([]);
    await settings(page);
    await page.getByRole('switch', { name: /Keep token/ }).check();
    expect(await axe(page), 'settings').toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Think first' }).click();
    await say(page, 'sky');
    await settled(page);
    await replies(page).last().locator('.hljs-keyword').first().waitFor();
    await page.locator('.thought summary').click();
    await page.locator('.stats summary').click();
    expect(await axe(page), 'conversation').toEqual([]);
    if (colorScheme === 'dark') await shot(page, 'dark');
    await page.getByRole('button', { name: /Context: / }).click();
    await page.getByText('Program now').waitFor();
    expect(await axe(page), 'memory').toEqual([]);
    await page.keyboard.press('Escape');
    await expect.poll(() => focused(page)).toMatch(/Context/);
    await page.getByRole('button', { name: 'Token view' }).click();
    await page.locator('.tokens .token').nth(5).click();
    if (colorScheme === 'light') await shot(page, 'tokens');
    expect(await page.locator('.tokens .drafted').count()).toBeGreaterThan(10);
    expect(await axe(page), 'tokens').toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Edit', exact: true }).last().click();
    expect(await axe(page), 'editor').toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: /More for this chat/ }).click();
    expect(await axe(page), 'menu').toEqual([]);
    await page.getByRole('button', { name: 'Delete' }).first().click();
    expect(await axe(page), 'question').toEqual([]);
    await expect.poll(() => focused(page)).toBe('Cancel');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Server status' }).first().click();
    await page.waitForTimeout(4500);
    expect(await axe(page), 'status').toEqual([]);
    if (colorScheme === 'light') await shot(page, 'status');
    expect(await page.locator('.plot').count()).toBe(10);
  });

  it.each(['light', 'dark'] as const)('meets it with files, and in their windows: %s', async (colorScheme) => {
    const page = await start({ colorScheme });
    await hand(page, 'drop', [boardFile(), { name: 'tone.wav', type: 'audio/wav', bytes: tone }, { name: 'film.mp4', type: 'video/mp4', bytes: film },
      { name: 'notes.md', type: '', bytes: Buffer.from('# fine') }, { name: 'a.zip', type: '', bytes: Buffer.from([0x50, 0x4b, 0, 1]) }]);
    await page.locator('.composer .text-file').waitFor();
    await page.locator('.toast.bad').waitFor();
    expect(await axe(page), 'draft').toEqual([]);
    for (const name of ['departures.png', 'tone.wav', 'film.mp4']) {
      await page.getByRole('button', { name: `Show what the model sees of ${name}` }).click();
      await page.locator('.patch-picture canvas, .wave-box canvas, .film-strip img').first().waitFor();
      expect(await axe(page), name).toEqual([]);
      await page.keyboard.press('Escape');
    }
    await page.getByRole('button', { name: 'Record sound' }).click();
    await page.waitForTimeout(500);
    expect(await axe(page), 'recorder').toEqual([]);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Take a photo' }).click();
    await page.getByRole('button', { name: 'Take photo', exact: true }).waitFor();
    expect(await axe(page), 'camera').toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await settled(page);
    expect(await axe(page), 'sent').toEqual([]);
    await page.getByRole('button', { name: 'Token view' }).click();
    expect(await axe(page), 'no tokens').toEqual([]);
    await page.keyboard.press('Escape');
    mock.options.dropAfter = 2;
    await say(page, 'one two three');
    await page.getByRole('alert').waitFor();
    await mock.stop();
    await page.getByText('Trying again…').waitFor();
    expect(await axe(page), 'gone').toEqual([]);
    await mock.start();
    Object.assign(mock.options, { small: true, dropAfter: 0 });
    await page.goto(mock.url);
    await page.reload();
    await page.getByText('You are talking to the small default model').waitFor();
    expect(await axe(page), 'small').toEqual([]);
    if (colorScheme === 'light') await shot(page, 'first-run-small');
    mock.options.key = 'sesame';
    await page.reload();
    await page.getByRole('heading', { name: 'This server asks for a key' }).waitFor();
    expect(await axe(page), 'key').toEqual([]);
  });

  it.each([360, 320])('shows the small model’s cards on a phone of %i pixels, and its recorder', async (width) => {
    mock.options.small = true;
    const page = await start({ viewport: { width, height: 740 }, hasTouch: true, isMobile: true });
    await page.getByText('You are talking to the small default model').waitFor();
    await shot(page, `phone-small-${width}`);
    // Nothing is wider than its box but commands, which scroll.
    const cut = () =>
      page.evaluate(() => [...document.querySelectorAll<HTMLElement>('body, .first, .card, .card *, .recorder, .recorder *')].filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0).map((e) => e.outerHTML.slice(0, 90)));
    expect(await cut()).toEqual([]);
    expect(await axe(page)).toEqual([]);
    await page.getByRole('button', { name: 'Record sound' }).click();
    await page.getByRole('timer').waitFor();
    expect(await cut()).toEqual([]);
    expect(await axe(page)).toEqual([]);
  });

  it('works by keyboard alone', async () => {
    const page = await start();
    await page.keyboard.press('Tab');
    for (let i = 0; i < 40 && !(await page.evaluate(() => document.activeElement?.id === 'composer-text')); i++) await page.keyboard.press('Tab');
    await page.keyboard.type('hello');
    await page.keyboard.press('Enter');
    await settled(page);
    for (let i = 0; i < 12 && (await focused(page)) !== 'Answer again'; i++) await page.keyboard.press('Shift+Tab');
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

  it('lets the Tab key reach every control, and shows where it is', async () => {
    const page = await start();
    await say(page, 'sky');
    await settled(page);
    await hand(page, 'drop', [boardFile(), { name: 'tone.wav', type: 'audio/wav', bytes: tone }]);
    await page.locator('.composer .attachment audio').waitFor();
    await composer(page).fill('words');
    // Every control, dialogs aside, that is on screen and not disabled.
    const all = await page.evaluate(() => {
      const list = [...document.querySelectorAll<HTMLElement>('button, a[href], input, select, textarea, summary')].filter((e) => e.checkVisibility() && !e.matches(':disabled'));
      list.forEach((e, i) => (e.dataset['control'] = String(i)));
      return list.length;
    });
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    const reached = new Set<string>();
    const unmarked: string[] = [];
    for (let i = 0; i < all + 40; i++) {
      await page.keyboard.press('Tab');
      const found = await page.evaluate(() => {
        const at = document.activeElement as HTMLElement;
        const marked = getComputedStyle(at).outlineStyle !== 'none' || at.closest('.composer') !== null;
        return { control: at.dataset['control'] ?? '', name: at.outerHTML.slice(0, 90), marked: marked && Number(getComputedStyle(at.closest('.actions') ?? at).opacity) === 1 };
      });
      if (found.control) reached.add(found.control);
      if (found.control && !found.marked) unmarked.push(found.name);
    }
    expect(unmarked).toEqual([]);
    const missed = await page.evaluate((seen) => [...document.querySelectorAll<HTMLElement>('[data-control]')].filter((e) => !seen.includes(e.dataset['control'] as string)).map((e) => e.outerHTML.slice(0, 90)), [...reached]);
    expect(missed).toEqual([]);
    expect(all).toBeGreaterThan(25);
  });

  it('gives the focus back: the menu of a chat, a window', async () => {
    const page = await start();
    await say(page, 'hello');
    await settled(page);
    await page.getByRole('button', { name: /More for this chat/ }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Rename' }).waitFor();
    await expect.poll(() => focused(page)).toBe('Rename');
    await page.keyboard.press('Escape');
    await expect.poll(() => focused(page)).toMatch(/More for this chat/);
    await page.getByRole('button', { name: 'Token view' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => focused(page)).toBe('Token view');
  });

  it('tells a screen reader of an answer, and not of each word', async () => {
    mock.options.reply = 'word '.repeat(60);
    const page = await start();
    await page.evaluate(() => {
      const told: string[] = ((window as unknown as { told: string[] }).told = []);
      new MutationObserver((changes) => {
        for (const { target } of changes) {
          const region = (target instanceof Element ? target : target.parentElement)?.closest('[role=status], [role=alert], [aria-live]:not([aria-live=off])');
          if (region?.textContent) told.push(region.textContent.trim());
        }
      }).observe(document.body, { childList: true, characterData: true, subtree: true });
    });
    await say(page, 'go');
    await settled(page);
    const told = await page.evaluate(() => (window as unknown as { told: string[] }).told);
    expect(told.at(-1)).toBe('The answer is there: 60 words.');
    expect(new Set(told).size).toBeLessThanOrEqual(3);
    expect(told.length).toBeLessThanOrEqual(6);
  });
});

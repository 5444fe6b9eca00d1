import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { boardFile, composer, fakeMicrophone, fixtures, hand, launch, openPage, replies, say, settled, shot, type Opened } from './page';
import { binary, Program } from './program';

// The page as `tessera serve` has it, with the default model, where TESSERA_BINARY names the program.

const key = 'sesame';
const board = ['10:25 | LH902 | Frankfurt | B12 | Boarding', '12:15 | FI451 | Reykjavik | C18 | On time'];
/** What the default model answers, word for word; tests/golden/answers_test.cc holds the engine to it. */
const pinned = JSON.parse(readFileSync(`${fixtures}mini/answers.json`, 'utf8')) as { image?: string; audio?: string; prompt: string; answer: string }[];
function answerTo(prompt: string, ...files: string[]): string {
  const asked = files.map((name) => `examples/${name}`).join();
  const found = pinned.find((p) => p.prompt === prompt && [p.image, p.audio].filter(Boolean).join() === asked);
  if (!found) throw new Error(`tests/fixtures/mini/answers.json has no “${prompt}” with ${asked}`);
  return found.answer;
}
const cards = {
  'Read a departures board': answerTo('Read the board.', 'departures.png'),
  'Ask about the board': answerTo('Which gate for New York?', 'departures.png'),
  'Ask about it aloud': answerTo('Answer the question.', 'departures.png', 'question.wav'),
  'Name the pictures': answerTo('What is in the picture?', 'pictures.png'),
  'Hear spoken digits': answerTo('Transcribe this.', 'digits.wav'),
  'Write something, let it read': 'Platform 9 at noon',
};

describe.runIf(binary)('tessera serve', () => {
  let browser: Browser;
  let program: Program;
  let open: Opened;

  beforeAll(async () => {
    program = await Program.serve('--api-key', key);
    browser = await launch(fakeMicrophone());
  });
  afterAll(async () => {
    await browser?.close();
    await program?.end();
  });
  afterEach(async () => {
    program.crawl(false);
    expect(open.faults, program.output).toEqual([]);
    await open.context.close();
  });

  const start = async (withKey = true): Promise<Page> => {
    const { origin } = new URL(program.url);
    const storageState = { cookies: [], origins: withKey ? [{ origin, localStorage: [{ name: 'tessera.key', value: key }] }] : [] };
    open = await openPage(browser, program.url, { storageState });
    return open.page;
  };
  const answer = (page: Page) => replies(page).last().locator('.markdown').innerText();
  const sendBoard = async (page: Page, name?: string) => {
    await hand(page, 'drop', [boardFile(name)]);
    await page.locator('.composer .attachment').waitFor();
    await say(page, 'Read the board.');
  };
  const set = async (page: Page, field: string, value: string) => {
    await page.getByRole('banner').getByRole('button', { name: 'Settings of this chat' }).click();
    const input = page.getByRole('dialog').getByLabel(field);
    await input.fill(value);
    await input.blur();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  };
  const slots = async () => (await fetch(`${program.url}slots`, { headers: { Authorization: `Bearer ${key}` } })).json() as Promise<{ is_processing: boolean }[]>;

  it('asks for the key, says when it is wrong, and takes the right one', async () => {
    const page = await start(false);
    await page.getByRole('heading', { name: 'This server asks for a key' }).waitFor();
    await page.getByLabel('API key').fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('The server did not accept that key.').waitFor();
    await page.getByLabel('API key').fill(key);
    await page.keyboard.press('Enter');
    await page.getByText('You are talking to the small default model').waitFor();
    await say(page, 'Read the text.');
    await settled(page);
    expect(await answer(page), program.output).not.toBe('');
    expect(await replies(page).last().locator('.stats').innerText()).toMatch(/tokens\/s/);
  });

  it('reads the board that is dropped; after a reload everything is there and is sent again', async () => {
    const page = await start();
    await sendBoard(page);
    await settled(page);
    const text = await answer(page);
    for (const line of board) expect(text, program.output).toContain(line);
    await shot(page, 'real-board');
    await page.reload();
    await page.locator('.message.user img').waitFor();
    expect(await answer(page)).toBe(text);
    await say(page, 'Which gate for New York?');
    await settled(page);
    expect(await answer(page), program.output).toBe('B22');
    expect(await replies(page).last().locator('.stats-all').textContent()).toMatch(/\d+ from cache/);
  });

  it.each(Object.entries(cards))('answers at one click: %s', async (title, expected) => {
    const page = await start();
    const card = page.locator('.card', { hasText: title });
    await card.waitFor();
    expect(await page.locator('.card').count()).toBe(Object.keys(cards).length);
    await ((await card.evaluate((e) => e.tagName)) === 'BUTTON' ? card : card.getByRole('button')).click();
    await replies(page).last().waitFor(); // the example comes first
    await settled(page);
    expect(await answer(page), program.output).toBe(expected);
  });

  it('reads a picture that is pasted', async () => {
    const page = await start();
    await hand(page, 'paste', [boardFile('harbour.png')]);
    await page.locator('.composer .attachment').waitFor();
    await say(page, 'Read the board.');
    await settled(page);
    expect(await answer(page)).toContain('12:45 | Sundry Isle | Q3 | Delayed');
  });

  it('sends what the microphone heard', async () => {
    const page = await start();
    await page.getByRole('button', { name: 'Record sound' }).click();
    await page.waitForFunction(() => parseFloat(document.querySelector('.record-time')?.textContent ?? '0') > 1.2);
    await page.getByRole('button', { name: 'Use recording' }).click();
    await page.locator('.composer audio').waitFor();
    const tokens = parseInt(await page.locator('.composer .cost').innerText(), 10);
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await settled(page);
    expect(await replies(page).last().locator('.notice.bad').count(), program.output).toBe(0);
    const read = parseInt(/([\d,]+) prompt tokens/.exec((await replies(page).last().locator('.stats-all').textContent()) ?? '')?.[1] ?? '', 10);
    expect(tokens).toBeGreaterThanOrEqual(30);
    expect(read).toBeGreaterThan(tokens);
  });

  it('edits, answers again, and keeps every branch over a reload', async () => {
    const page = await start();
    await say(page, 'Read the text.');
    await settled(page);
    const first = await answer(page);
    await composer(page).press('ArrowUp');
    await page.getByRole('textbox', { name: 'Edit message' }).fill('Hello, who are you?');
    await page.getByRole('textbox', { name: 'Edit message' }).press('Enter');
    await settled(page);
    await page.getByRole('button', { name: 'Answer again' }).click();
    await settled(page);
    const second = await answer(page);
    await page.reload();
    expect(await answer(page)).toBe(second);
    expect(await page.getByText('2 / 2').count()).toBe(2);
    await page.locator('.message.user').hover();
    await page.locator('.message.user').getByRole('button', { name: 'Previous version' }).click();
    await page.locator('.bubble').getByText('Read the text.').waitFor();
    expect(await answer(page)).toBe(first);
  });

  it('stops, and goes on from there', async () => {
    const page = await start();
    program.crawl();
    await sendBoard(page);
    await replies(page).last().getByText(/10:25/).waitFor();
    await page.keyboard.press('Escape');
    await replies(page).last().getByText('You stopped this answer.').waitFor();
    program.crawl(false);
    const part = await answer(page);
    expect(part).not.toContain('Reykjavik');
    await expect.poll(async () => (await slots()).some((s) => s.is_processing)).toBe(false);
    await replies(page).last().locator('.notice').getByRole('button', { name: 'Continue' }).click();
    await settled(page);
    const whole = await answer(page);
    expect(whole.startsWith(part.trimEnd()), `${part}\n→\n${whole}`).toBe(true);
    for (const line of board) expect(whole).toContain(line);
  });

  it('goes on from an answer that reached its limit', async () => {
    const page = await start();
    await set(page, 'Longest answer', '20');
    await sendBoard(page);
    await page.getByText('The answer reached the limit of tokens.').waitFor();
    expect(await answer(page)).not.toContain('New York');
    await set(page, 'Longest answer', '');
    await replies(page).last().locator('.notice').getByRole('button', { name: 'Continue' }).click();
    await settled(page);
    for (const line of board) expect(await answer(page)).toContain(line);
    expect(await replies(page).count()).toBe(1);
  });

  it('gives each token’s probability and whether it was drafted, and shows its status', async () => {
    const page = await start();
    await page.getByRole('button', { name: /Read a departures board/ }).click();
    await settled(page);
    await page.getByRole('button', { name: 'Token view' }).click();
    await page.getByRole('button', { name: 'Answer again and keep them' }).click();
    await settled(page);
    await page.getByRole('button', { name: 'Token view' }).click();
    expect(await page.locator('.tokens .token').count()).toBeGreaterThan(100);
    const drafted = await page.locator('.tokens .token.drafted').count();
    expect(drafted).toBeGreaterThan(20);
    await shot(page, 'real-tokens');
    await page.keyboard.press('Escape');
    expect(await replies(page).last().locator('.draft-share').innerText()).toMatch(new RegExp(`^(${drafted}|${drafted + 1})/`)); // the end token may be one
    await page.getByRole('button', { name: 'Server status' }).first().click();
    await page.locator('.status-facts').getByText('mini').first().waitFor();
    await page.locator('.status-facts').getByText('KV cache').waitFor();
    await page.locator('.slots').getByText(/[1-9]\d* of [\d,]+ tokens held/).first().waitFor();
    await page.locator('.log').getByText(/path=\/v1\/chat\/completions status=200/).waitFor();
    await page.locator('.plot').nth(2).waitFor();
    await shot(page, 'real-status');
  });

  it('says what was lost when the program is killed, notices that it is back, and goes on', async () => {
    const page = await start();
    program.crawl();
    await sendBoard(page);
    await replies(page).last().getByText(/10:25/).waitFor();
    await program.end('SIGKILL');
    await page.getByText(/The connection was lost after \d+ words?. They are kept./).waitFor();
    await page.getByText('The server does not answer. Trying again…').waitFor();
    await program.start();
    await page.getByText('The server is back.').waitFor();
    await replies(page).last().locator('.notice').getByRole('button', { name: 'Continue' }).click();
    await settled(page);
    for (const line of board) expect(await answer(page)).toContain(line);
  });
});

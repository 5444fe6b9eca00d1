import { describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/media/wav';
import { longReply } from '../mock';
import { axe } from './axe';
import { mock, start, withMock } from './mocked';
import { boardFile, composer, hand, replies, say, settled, shot } from './page';
import { quantile, watchFrames } from './trace';

withMock();

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
    mock.options.tokenMs = 60; // words are read before the connection goes: what is not read yet goes with it
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

describe('slow and small things', () => {
  it('promises nothing before it knows the model, and says what to do without a server', async () => {
    const page = await start();
    let answer = () => {};
    const known = new Promise<void>((resolve) => (answer = resolve));
    await page.route('**/v1/models', async (route) => (await known, route.continue()));
    mock.options.small = true;
    await page.reload();
    await page.getByRole('heading', { name: 'Connecting…' }).waitFor();
    expect(await page.locator('.card').count()).toBe(0);
    answer();
    await page.getByText('You are talking to the small default model').waitFor();
    await say(page, 'hello');
    await page.getByText('The small default model does not chat').waitFor();
    await page.keyboard.press('Control+Shift+O');
    await page.route('**/health', (route) => route.abort());
    await page.reload();
    await page.getByRole('heading', { name: 'The server does not answer.' }).waitFor();
    await page.getByText('./tessera serve').waitFor();
  });

  it('says how much it is sending while that takes its time', async () => {
    const page = await start();
    let arrive = () => {};
    const arrived = new Promise<void>((resolve) => (arrive = resolve));
    await page.route('**/v1/chat/completions', async (route) => (await arrived, route.continue()));
    await hand(page, 'drop', [{ name: 'long.wav', type: 'audio/wav', bytes: Buffer.from(encodeWav(new Float32Array(16000 * 40).fill(0.1), 16000)) }]);
    await page.getByText('40 s: the model was trained on up to 30 s.').waitFor();
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await page.getByText('Sending 1.7 MB…').waitFor();
    arrive();
    await settled(page);
    await page.getByText('I heard a steady tone.').waitFor();
  });

  it('keeps a draft over a reload, and its files when the chat goes in which they were added', async () => {
    const page = await start();
    await say(page, 'the first chat');
    await settled(page);
    await hand(page, 'drop', [boardFile()]);
    await page.locator('.composer .thumb img').waitFor();
    await page.keyboard.press('Control+Shift+O');
    await page.getByText('What shall we look at?').waitFor();
    await say(page, 'the second chat');
    await settled(page);
    await page.getByRole('button', { name: /More for this chat/ }).last().click();
    await page.locator('.menu').getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await expect.poll(() => page.locator('.entry').count()).toBe(1);
    await composer(page).fill('not sent yet');
    await page.reload();
    await page.locator('.message.user .thumb img').waitFor();
    expect(await composer(page).inputValue()).toBe('not sent yet');
  });

  it('offers no camera where there is none, and takes a drawing made of lines', async () => {
    const page = await start();
    await hand(page, 'drop', [{ name: 'a.svg', type: 'image/svg+xml', bytes: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="20" height="20" fill="red"/></svg>') }]);
    await page.locator('.composer .thumb img').waitFor();
    expect(await page.getByRole('button', { name: 'Take a photo' }).count()).toBe(0);
    await say(page, 'what is it?');
    await settled(page);
    const url = (mock.requests[0]?.['messages'] as { content: { image_url?: { url: string } }[] }[])[0]?.content[0]?.image_url?.url ?? '';
    const png = Buffer.from(url.split(',')[1] ?? '', 'base64');
    expect([png.toString('latin1', 1, 4), png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual(['PNG', 1024, 512]);
  });

  it('says when files do not fit into what is left of the context', async () => {
    const page = await start();
    await hand(page, 'drop', Array.from({ length: 8 }, () => boardFile()));
    await page.getByText('These files take about 2,128 tokens.').waitFor();
    for (let i = 0; i < 8; i++) await page.getByRole('combobox').nth(i).selectOption('1120');
    await page.getByText('These files take about 8,816 tokens, and this chat has room for 8,192.').waitFor();
  });

  it('stays quick in a conversation of 500 messages, and finds its way in it', async () => {
    const page = await start();
    const messages = Array.from({ length: 500 }, (_, i) => ({
      id: `m${i}`, parent: i ? `m${i - 1}` : null, role: i % 2 ? 'assistant' : 'user', created: i, attachments: [], state: 'done',
      text: i % 2 ? longReply.slice(0, 400 + (i * 37) % 900) : `question ${i}`,
    }));
    const chat = { title: 'Long', settings: {}, chosen: {} };
    const buffer = Buffer.from(JSON.stringify({ tessera: 1, conversations: [{ conversation: chat, messages, media: {} }] }));
    const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.getByRole('button', { name: 'Import', exact: true }).click()]);
    await chooser.setFiles({ name: 'long.json', mimeType: 'application/json', buffer });
    await page.getByRole('link', { name: 'Long' }).click();
    await page.getByText('question 498').waitFor();
    const thread = page.locator('.thread');
    const left = () => thread.evaluate((t) => Math.round(t.scrollHeight - t.scrollTop - t.clientHeight));
    await expect.poll(left).toBeLessThanOrEqual(2);
    // Far off the screen nothing is laid out: what was rendered would be there to be skipped.
    expect(await page.locator('.message').first().evaluate((m) => getComputedStyle(m).contentVisibility)).toBe('auto');
    expect(await page.locator('.message .bubble').first().evaluate((b) => b.checkVisibility({ contentVisibilityAuto: true }))).toBe(false);
    const frames = await watchFrames(page);
    await composer(page).focus();
    for (let i = 0; i < 30; i++) await page.keyboard.press('PageUp');
    const sorted = await frames();
    console.log(`500 messages: ${sorted.length} frames of scrolling, median ${quantile(sorted, 0.5).toFixed(1)} ms, 99 % within ${quantile(sorted, 0.99).toFixed(1)} ms`);
    expect(await left()).toBeGreaterThan(3000);
    await page.getByRole('button', { name: 'Jump to the end' }).click();
    await expect.poll(left).toBeLessThanOrEqual(2);
    await say(page, 'one more');
    await settled(page);
    await page.getByText('You said: one more').waitFor();
    await expect.poll(left).toBeLessThanOrEqual(2);
  });
});

describe('for everybody', () => {
  it('fits a phone', async () => {
    const page = await start({ viewport: { width: 375, height: 740 }, hasTouch: true, isMobile: true });
    await say(page, 'a table of the sky');
    await settled(page);
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(await wide()).toBeLessThanOrEqual(0);
    await shot(page, 'phone');
    await page.getByRole('button', { name: 'Chats' }).click();
    await page.getByRole('button', { name: 'Hide chats' }).and(page.locator(':focus')).waitFor();
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Chats', exact: true }).and(page.locator(':focus')).click();
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

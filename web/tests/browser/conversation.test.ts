import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mock, start, withMock } from './mocked';
import { composer, replies, say, settled, shot } from './page';

withMock();

describe('conversation', () => {
  it('streams markdown with maths, code and a table; keeps it over a reload; takes a title from the model', async () => {
    const page = await start();
    await shot(page, 'first-run');
    await say(page, 'Why is the sky blue? Use a table.');
    await settled(page);
    const reply = replies(page).last();
    await reply.locator('.katex').first().waitFor();
    await reply.locator('.hljs-keyword').first().waitFor();
    expect(await reply.locator('table td').count()).toBe(6);
    expect(await reply.locator('blockquote .katex').count()).toBe(0); // $5 and $6 are money
    expect(await reply.locator('.katex [style]').count()).toBeGreaterThan(0);
    await reply.getByRole('button', { name: 'Copy' }).first().waitFor();
    await page.getByRole('link', { name: 'A title by the model' }).waitFor();
    await shot(page, 'conversation');
    await page.reload();
    await replies(page).last().locator('.katex').first().waitFor();
    expect(await page.locator('.bubble').innerText()).toBe('Why is the sky blue? Use a table.');
  });

  it('folds a thought with its duration', async () => {
    mock.options.tokenMs = 30;
    const page = await start();
    await page.getByRole('button', { name: 'Think first' }).click();
    await say(page, 'hello');
    await settled(page);
    expect(mock.requests.at(-1)?.['chat_template_kwargs']).toEqual({ enable_thinking: true });
    const thought = replies(page).last().locator('.thought');
    expect(await thought.locator('summary').innerText()).toMatch(/Thought for [\d.]+ s/);
    expect(await thought.getAttribute('open')).toBeNull();
  });

  it('stops, continues, answers again and moves between the branches', async () => {
    mock.options.tokenMs = 25;
    const page = await start();
    await say(page, 'one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen');
    await replies(page).last().getByText('You said: one').waitFor();
    await page.keyboard.press('Escape');
    await settled(page);
    await expect.poll(() => mock.closedEarly).toBe(1);
    await replies(page).last().getByText('You stopped this answer.').waitFor();
    mock.options.tokenMs = 1;
    const before = await replies(page).last().locator('.markdown').innerText();
    await replies(page).last().locator('.notice').getByRole('button', { name: 'Continue' }).click();
    await settled(page);
    expect(await replies(page).last().locator('.markdown').innerText()).toBe(`${before.trimEnd()} and here is the rest of it.`);
    expect((mock.requests.at(-1)?.['messages'] as { role: string }[]).at(-1)?.role).toBe('assistant');
    await page.getByRole('button', { name: 'Answer again' }).click();
    await settled(page);
    await page.getByText('2 / 2').waitFor();
    await page.getByRole('button', { name: 'Previous version' }).click();
    await page.getByText('and here is the rest of it').waitFor();
  });

  it('edits a message into a branch and keeps the old one', async () => {
    const page = await start();
    await say(page, 'first words');
    await settled(page);
    await composer(page).press('ArrowUp');
    const editor = page.getByRole('textbox', { name: 'Edit message' });
    await editor.fill('other words');
    await editor.press('Enter');
    await settled(page);
    await page.getByText('You said: other words').waitFor();
    await page.locator('.message.user').hover();
    await page.getByRole('button', { name: 'Previous version' }).first().click();
    await page.getByText('You said: first words').waitFor();
    await page.reload();
    await page.getByText('You said: first words').waitFor();
  });

  it('sends settings and runs the page’s tools', async () => {
    const page = await start();
    await page.getByRole('banner').getByRole('button', { name: 'Settings of this chat' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Temperature').fill('0.3');
    await dialog.getByLabel('System prompt').fill('Be terse.');
    await dialog.getByRole('switch', { name: /Tools/ }).check();
    await shot(page, 'settings');
    await dialog.getByRole('button', { name: 'Close' }).click();
    await say(page, '12 * 12');
    await settled(page);
    await page.getByText('The tool says 144.').waitFor();
    await page.getByText('Used calculate').waitFor();
    expect(mock.requests[0]).toMatchObject({ temperature: 0.3, messages: [{ role: 'system', content: 'Be terse.' }, { role: 'user' }] });
    expect(mock.requests[1]?.['messages']).toMatchObject([{}, {}, { role: 'assistant', tool_calls: [{ id: 'call_1' }] }, { role: 'tool', tool_call_id: 'call_1', content: '144' }]);
  });

  it('says what the server refused', async () => {
    const page = await start();
    await say(page, 'refuse me');
    await page.getByRole('alert').getByText('prompt is 140212 tokens, context is 8192; shorten it').waitFor();
  });

  it('searches, renames, exports, deletes and imports', async () => {
    const page = await start();
    await say(page, 'a sentence about zebras');
    await settled(page);
    await page.getByRole('link', { name: 'A title by the model' }).waitFor();
    await page.keyboard.press('Control+Shift+O');
    await page.getByText('What shall we look at?').waitFor();
    await page.keyboard.press('Control+k');
    await page.locator('input[type=search]:focus').waitFor();
    await page.keyboard.type('ZEBRA');
    await page.locator('.entry').getByText('a sentence about zebras').waitFor();
    await page.getByRole('searchbox').fill('giraffe');
    await page.getByText('Nothing found').waitFor();
    await page.getByRole('searchbox').fill('');
    await page.locator('.entry').hover();
    await page.getByRole('button', { name: /More for this chat/ }).click();
    await page.getByRole('button', { name: 'Rename' }).click();
    await page.getByRole('textbox', { name: 'Title' }).fill('Stripes');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'Stripes' }).waitFor();
    await page.locator('.entry').hover();
    await page.getByRole('button', { name: /More for this chat/ }).click();
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export', exact: true }).click()]);
    const file = await download.path();
    expect(download.suggestedFilename()).toBe('Stripes.json');
    await page.locator('.entry').hover();
    await page.getByRole('button', { name: /More for this chat/ }).click();
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('Your chats will be listed here').waitFor();
    const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.getByRole('button', { name: 'Import', exact: true }).click()]);
    await chooser.setFiles({ name: 'Stripes.json', mimeType: 'application/json', buffer: readFileSync(file) });
    await page.getByRole('link', { name: 'Stripes' }).click();
    await page.getByText('You said: a sentence about zebras').waitFor();
  });
});

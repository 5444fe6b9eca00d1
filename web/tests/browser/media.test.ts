import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/media/wav';
import { mock, start, withMock } from './mocked';
import { boardFile, composer, examples, fakeMicrophone, fixtures, hand, replies, settled, shot } from './page';

withMock(fakeMicrophone);

type Part = { type: string; image_url?: { url: string; detail: string }; max_soft_tokens?: number; input_audio?: { data: string; format: string } };
const sentParts = (n = -1): Part[] => (mock.requests.at(n)?.['messages'] as { content: Part[] }[]).find((m) => Array.isArray(m.content))?.content ?? [];

describe('media', () => {
  it('drops a picture, shows its cost, lets one choose the detail, and sends the file as it is', async () => {
    const page = await start();
    await hand(page, 'drop', [boardFile()]);
    const detail = page.getByRole('combobox', { name: /Detail of departures.png/ });
    await detail.waitFor();
    expect(await detail.locator('option').allInnerTexts()).toHaveLength(5);
    await detail.selectOption('1120');
    expect(await detail.locator('option:checked').innerText()).toBe('1,102 tokens');
    await shot(page, 'draft');
    await composer(page).fill('Read the board.');
    await composer(page).press('Enter');
    await settled(page);
    await replies(page).last().getByText('Frankfurt').waitFor();
    const parts = sentParts();
    expect(parts.map((p) => p.type)).toEqual(['image_url', 'text']);
    expect(parts[0]?.max_soft_tokens).toBe(1120);
    expect(parts[0]?.image_url?.url).toBe(`data:image/png;base64,${boardFile().bytes.toString('base64')}`);
    await shot(page, 'board');
    // Later turns and reloads send it again.
    await page.reload();
    await page.locator('.message.user img').waitFor();
    await composer(page).fill('And now?');
    await composer(page).press('Enter');
    await settled(page);
    expect(sentParts()[0]?.image_url?.url.length).toBe(parts[0]?.image_url?.url.length);
  });

  it('pastes a picture', async () => {
    const page = await start();
    await hand(page, 'paste', [{ ...boardFile(), name: 'image.png' }]);
    await page.locator('.composer .thumb img').waitFor();
    await page.getByRole('button', { name: 'Remove image.png' }).click();
    await expect.poll(() => page.locator('.composer .attachment').count()).toBe(0);
    // Copied cells come as text and as a picture of it: the text is meant, and the browser puts it into the box.
    const taken = await page.evaluate(() => {
      const data = new DataTransfer();
      data.setData('text/plain', 'a\tb');
      data.items.add(new File(['x'], 'image.png', { type: 'image/png' }));
      return !document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
    });
    expect(taken).toBe(false);
  });

  it('says what to do with files that it cannot read', async () => {
    const page = await start();
    await hand(page, 'drop', [
      { name: 'broken.png', type: 'image/png', bytes: Buffer.from('no picture') },
      { name: 'a.zip', type: 'application/zip', bytes: Buffer.from([0x50, 0x4b, 0, 1]) },
      { name: 'paper.pdf', type: '', bytes: Buffer.from('%PDF-1.7') },
      { name: 'notes.md', type: '', bytes: Buffer.from('# fine') },
    ]);
    await page.getByText('broken.png could not be read as a picture. Save it as JPEG or PNG').waitFor();
    await page.getByText('a.zip cannot be read. Send a picture, sound, video or text file.').waitFor();
    await page.getByText('paper.pdf is a PDF, which cannot be read. Send pictures of its pages').waitFor();
    for (let i = 3; i > 0; i--) await page.getByRole('button', { name: 'Dismiss' }).first().click();
    await expect.poll(() => page.locator('.toast').count()).toBe(0);
    await page.locator('.text-file').getByText('notes.md').waitFor();
  });

  it('records from the microphone and sends 16 kHz mono', async () => {
    const page = await start();
    await page.getByRole('button', { name: 'Record sound' }).click();
    await page.waitForFunction(() => parseFloat(document.querySelector('.record-time')?.textContent ?? '0') > 1.2);
    await shot(page, 'recording');
    await page.getByRole('button', { name: 'Use recording' }).click();
    await page.locator('.composer audio').waitFor();
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await settled(page);
    await page.getByText('I heard a steady tone.').waitFor();
    const sound = sentParts()[0]?.input_audio;
    expect(sound?.format).toBe('wav');
    const wav = Buffer.from(sound?.data ?? '', 'base64');
    expect([wav.readUInt32LE(24), wav.readUInt16LE(22), wav.readUInt16LE(34)]).toEqual([16000, 1, 16]);
    const samples = Array.from({ length: (wav.length - 44) / 2 }, (_, i) => wav.readInt16LE(44 + 2 * i));
    expect(samples.length).toBeGreaterThan(16000);
    // It is the tone: its energy lies at 440 Hz.
    const power = (hz: number) => {
      let re = 0, im = 0;
      samples.forEach((v, i) => ((re += v * Math.cos((2 * Math.PI * hz * i) / 16000)), (im += v * Math.sin((2 * Math.PI * hz * i) / 16000))));
      return re * re + im * im;
    };
    expect(power(440)).toBeGreaterThan(50 * Math.max(power(300), power(600), power(880), 1));
  });

  it('takes a photo', async () => {
    const page = await start();
    await page.getByRole('button', { name: 'Take a photo' }).click();
    await page.getByRole('button', { name: 'Take photo', exact: true }).click();
    await page.locator('.composer .thumb img').waitFor();
  });

  it('shows the reference’s pixels, patch by patch', async () => {
    const page = await start();
    await hand(page, 'drop', [boardFile()]);
    await page.getByRole('button', { name: /Show what the model sees of departures.png/ }).click();
    await page.getByText('22 × 12 patches of 48 × 48 pixels: 264 tokens').waitFor();
    await page.locator('.patch-picture canvas').waitFor();
    const picture = page.getByRole('application');
    await picture.hover({ position: { x: 5, y: 5 } });
    await page.getByText('Patch in row 1, column 1').waitFor();
    await picture.focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    await page.getByText('Patch in row 2, column 2').waitFor();
    await shot(page, 'what-it-sees');
    const [width, height] = await page.locator('.patch-picture canvas').evaluate((c: HTMLCanvasElement) => [c.width, c.height]);
    expect((width as number) % 48 + ((height as number) % 48)).toBe(0);
    await page.keyboard.press('Escape');
  });

  it('shows sound in frames of 40 ms, and a film’s frames', async () => {
    const page = await start();
    const tone = encodeWav(Float32Array.from({ length: 16000 }, (_, i) => Math.sin(i / 8)), 16000);
    await hand(page, 'drop', [{ name: 'tone.wav', type: 'audio/wav', bytes: Buffer.from(tone) }]);
    await page.getByText('27 tokens').waitFor();
    await page.getByRole('button', { name: /what the model sees of tone.wav/ }).click();
    await page.getByText('25 frames of 40 ms (640 samples): 25 tokens').waitFor();
    await page.getByRole('slider').focus();
    await page.keyboard.press('ArrowRight');
    await page.getByText('Frame 2, from 0.04 s').waitFor();
    await shot(page, 'what-it-hears');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Remove tone.wav' }).click();
    await hand(page, 'drop', [{ name: 'film.webm', type: 'video/webm', bytes: readFileSync(`${fixtures}media/index_vp9.webm`) }]);
    await page.getByRole('button', { name: /what the model sees of film.webm/ }).click();
    await page.locator('.film-strip img').nth(4).waitFor();
    await page.keyboard.press('Escape');
    expect(await page.getByLabel('with sound').count()).toBe(0);
  });

  it('sends a film with its sound, or without', async () => {
    const page = await start();
    const film = { name: 'with_sound.mp4', type: 'video/mp4', bytes: readFileSync(`${fixtures}media/with_sound.mp4`) };
    await hand(page, 'drop', [film]);
    const sound = page.getByLabel('with sound');
    await sound.waitFor();
    expect(await sound.isChecked()).toBe(true);
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await settled(page);
    expect(sentParts()[0]).toMatchObject({ type: 'video_url', sound: true });
    await hand(page, 'drop', [film]);
    await sound.uncheck();
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await settled(page);
    const sent = (mock.requests.at(-1)?.['messages'] as { content: Part[] }[]).at(-1)?.content[0];
    expect(sent?.type).toBe('video_url');
    expect(sent).not.toHaveProperty('sound');
  });

  const cards = {
    'Read a departures board': { files: ['departures.png'], kinds: ['image_url', 'text'], prompt: 'Read the board.' },
    'Ask about the board': { files: ['departures.png'], kinds: ['image_url', 'text'], prompt: 'Which gate for New York?' },
    'Ask about it aloud': { files: ['departures.png', 'question.wav'], kinds: ['image_url', 'text', 'input_audio'], prompt: 'Answer the question.' },
    'Name the pictures': { files: ['pictures.png'], kinds: ['image_url', 'text'], prompt: 'What is in the picture?' },
    'Hear spoken digits': { files: ['digits.wav'], kinds: ['text', 'input_audio'], prompt: 'Transcribe this.' },
  };

  it.each(Object.entries(cards))('a card of the small model, at one click: %s', async (title, { files, kinds, prompt }) => {
    mock.options.small = true;
    const page = await start();
    await page.getByText('You are talking to the small default model').waitFor();
    expect(await page.locator('.card strong').allInnerTexts()).toEqual([...Object.keys(cards), 'Write something, let it read']);
    await page.locator('.card', { hasText: title }).dblclick(); // as many people do
    await replies(page).last().waitFor();
    await settled(page);
    expect(mock.requests).toHaveLength(1);
    const parts = sentParts();
    expect(parts.map((p) => p.type)).toEqual(kinds);
    expect(parts.find((p) => p.type === 'text')).toEqual({ type: 'text', text: prompt });
    const sent = parts.flatMap((p) => p.image_url?.url.split(',')[1] ?? p.input_audio?.data ?? []);
    expect(sent).toEqual(files.map((name) => readFileSync(`${examples}${name}`).toString('base64')));
  });

  it('takes the next card while another chat is being answered', async () => {
    Object.assign(mock.options, { small: true, tokenMs: 300 });
    const page = await start();
    await page.locator('.card', { hasText: 'Ask about the board' }).click();
    await replies(page).last().getByText('10:25').waitFor();
    await page.keyboard.press('Control+Shift+O');
    await page.locator('.card', { hasText: 'Name the pictures' }).click();
    await page.locator('.bubble').getByText('What is in the picture?').waitFor();
    const stop = page.getByRole('button', { name: 'Stop' });
    await stop.first().waitFor(); // the question is kept first, then asked
    expect(await stop.count()).toBe(1);
    mock.options.tokenMs = 0;
    await settled(page);
    expect(mock.requests).toHaveLength(2);
  });

  it('says so when an example does not come, and sends nothing', async () => {
    mock.options.small = true;
    const page = await start();
    await page.route('**/examples/question.wav', (route) => route.fulfill({ status: 500 }));
    await page.locator('.card', { hasText: 'Ask about it aloud' }).click();
    await page.locator('.toast.bad').getByText('The server does not answer.').waitFor();
    expect(mock.requests).toHaveLength(0);
    expect(await page.locator('.composer .attachment').count()).toBe(0);
  });

  it('draws words for the small model', async () => {
    mock.options.small = true;
    const page = await start();
    await page.getByRole('textbox', { name: 'Words to draw' }).fill('Hello there');
    await page.getByRole('button', { name: 'Draw and send' }).click();
    await page.locator('.message.user img').waitFor();
    await settled(page);
    expect(sentParts().map((p) => p.type)).toEqual(['image_url', 'text']);
  });

  it('says what the small model was trained on', async () => {
    mock.options.small = true;
    const page = await start();
    await hand(page, 'drop', [{ name: 'long.wav', type: 'audio/wav', bytes: Buffer.from(encodeWav(new Float32Array(16000 * 13), 16000)) }]);
    await page.getByText('13 s: the model was trained on up to 12 s.').waitFor();
  });

  it('takes no sound that is longer than the server says, and ends a recording there', async () => {
    Object.assign(mock.options, { small: true, maxAudioSeconds: 1 });
    const page = await start();
    const silence = (seconds: number) => Buffer.from(encodeWav(new Float32Array(16000 * seconds), 16000));
    await hand(page, 'drop', [{ name: 'long.wav', type: 'audio/wav', bytes: silence(1.5) }]);
    await page.getByText('long.wav is 2 s long; this server takes up to 1 s. Cut it shorter').waitFor();
    await hand(page, 'drop', [{ name: 'short.wav', type: 'audio/wav', bytes: silence(1) }]);
    await page.getByRole('button', { name: 'Remove short.wav' }).click();
    expect(await page.getByText('the model was trained on').count()).toBe(0);
    await page.getByRole('button', { name: 'Record sound' }).click();
    await page.getByText('of 100 recordings of a real one it got 4 right').waitFor();
    await page.locator('.composer .attachment', { hasText: 'recording.wav' }).waitFor();
    expect(await page.locator('.composer .cost').innerText()).toBe('27 tokens');
  });
});

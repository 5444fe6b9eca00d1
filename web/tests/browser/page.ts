import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { encodeWav } from '../../src/media/wav';

const executable = process.env['CHROMIUM'] ?? ['/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync);
export const shotFolder = new URL('../../shots/', import.meta.url).pathname;
export const fixtures = new URL('../../../tests/fixtures/', import.meta.url).pathname;
export const examples = new URL('../../../examples/', import.meta.url).pathname;

export async function launch(flags: string[] = []): Promise<Browser> {
  if (!executable) throw new Error('There is no Chromium. Install the Debian package chromium, or set CHROMIUM to its path.');
  mkdirSync(shotFolder, { recursive: true });
  // --no-sandbox: CI runs as root, where Chromium's own sandbox does not start. The page under test is ours.
  return chromium.launch({ executablePath: executable, args: ['--no-sandbox', '--disable-dev-shm-usage', ...flags] });
}

export interface Opened {
  page: Page;
  context: BrowserContext;
  /** Requests that left for another host, console errors, and breaches of the Content-Security-Policy. */
  faults: string[];
}

type ContextOptions = NonNullable<Parameters<Browser['newContext']>[0]>;

export async function openPage(browser: Browser, url: string, options: ContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 820 }, acceptDownloads: true, ...options });
  const faults: string[] = [];
  await context.route('**', (route) => {
    const to = new URL(route.request().url());
    if (to.origin === new URL(url).origin || to.protocol === 'blob:' || to.protocol === 'data:') return route.continue();
    faults.push(`asked for ${to.href}`);
    return route.abort();
  });
  context.setDefaultTimeout(90000); // CI machines are busy
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(`${error.name}: ${error.message}\n${error.stack ?? ''}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && /Content Security Policy|Refused/.test(message.text())) faults.push(message.text());
  });
  await page.goto(url);
  await page.waitForSelector('#composer-text, .key-page');
  return { page, context, faults };
}

export const composer = (page: Page) => page.getByRole('textbox', { name: 'Message', exact: true });
export async function say(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press('Enter');
}
export const replies = (page: Page) => page.locator('.message.assistant');
/** Until no reply has been on its way for a while: one starts a moment after its button. */
export async function settled(page: Page): Promise<void> {
  await page.waitForTimeout(250);
  await page.getByRole('button', { name: 'Send', exact: true }).waitFor();
  await page.waitForFunction(() => !document.querySelector('.message[aria-busy=true]'));
}
export const shot = (page: Page, name: string) => page.screenshot({ path: `${shotFolder}${name}.png` });

/** Files as a drop or a paste brings them. */
export async function hand(page: Page, how: 'drop' | 'paste', files: { name: string; type: string; bytes: Buffer }[]): Promise<void> {
  const list = files.map((f) => ({ ...f, bytes: f.bytes.toString('base64') }));
  await page.evaluate(
    ([kind, given]) => {
      const data = new DataTransfer();
      for (const f of given) data.items.add(new File([Uint8Array.from(atob(f.bytes), (c) => c.charCodeAt(0))], f.name, { type: f.type }));
      const target = document.querySelector('#composer-text') as HTMLElement;
      if (kind === 'paste') target.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
      else for (const name of ['dragenter', 'dragover', 'drop']) target.dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
    },
    [how, list] as const,
  );
}
export const boardFile = (name = 'departures.png') => ({ name, type: 'image/png', bytes: readFileSync(`${examples}${name}`) });

/** Arguments of a browser whose microphone hears 440 Hz. */
export function fakeMicrophone(): string[] {
  const tone = Float32Array.from({ length: 96000 }, (_, i) => 0.5 * Math.sin((2 * Math.PI * 440 * i) / 48000));
  const wav = join(mkdtempSync(join(tmpdir(), 'tessera-')), 'tone.wav');
  writeFileSync(wav, encodeWav(tone, 48000));
  return ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-audio-capture=${wav}`];
}

import { existsSync, mkdirSync } from 'node:fs';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';

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

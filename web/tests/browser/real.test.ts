import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { launch, openPage, replies, settled, shot, type Opened } from './page';

// Against `tessera serve` with the default model, where TESSERA_BINARY names the program.
const binary = process.env['TESSERA_BINARY'];
const model = new URL('../../../models/mini', import.meta.url).pathname;

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

describe.runIf(binary)('tessera serve', () => {
  let browser: Browser;
  let server: ChildProcess;
  let open: Opened;
  let output = '';

  beforeAll(async () => {
    const port = await freePort();
    server = spawn(binary as string, ['serve', model, '--port', String(port)], { stdio: ['ignore', 'pipe', 'pipe'] });
    server.stdout?.on('data', (data: Buffer) => (output += data.toString()));
    server.stderr?.on('data', (data: Buffer) => (output += data.toString()));
    const url = `http://127.0.0.1:${port}/`;
    await vi.waitFor(async () => expect((await fetch(`${url}health`)).status, output).toBe(200), { timeout: 50000, interval: 50 });
    browser = await launch();
    open = await openPage(browser, url);
  });
  afterAll(async () => {
    await browser?.close();
    server?.kill('SIGTERM');
  });

  it('serves the page, and the default model reads the board at one click', async () => {
    const { page } = open;
    await page.getByText('You are talking to the small default model').waitFor();
    await page.getByRole('button', { name: /Read a departures board/ }).click();
    await settled(page);
    const text = await replies(page).last().locator('.markdown').innerText();
    expect(text, output).toContain('10:25 | LH902 | Frankfurt | B12 | Boarding');
    expect(await replies(page).last().locator('.stats').innerText()).toMatch(/tokens\/s/);
    await shot(page, 'real-board');
  });

  it('reads drawn words, gives token probabilities, and shows its status', async () => {
    const { page } = open;
    await page.keyboard.press('Control+Shift+O');
    await page.getByRole('button', { name: 'Draw and send' }).click();
    await settled(page);
    await replies(page).last().getByText('Platform 9 at noon').waitFor();
    await page.getByRole('button', { name: 'Token view' }).click();
    await page.getByRole('button', { name: 'Answer again and keep them' }).click();
    await settled(page);
    await page.getByRole('button', { name: 'Token view' }).click();
    expect(await page.locator('.tokens .token').count()).toBeGreaterThan(5);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Server status' }).first().click();
    await page.locator('.status-facts').getByText('mini').first().waitFor();
    await page.locator('.plot').first().waitFor();
    await shot(page, 'real-status');
    expect(open.faults).toEqual([]);
  });
});

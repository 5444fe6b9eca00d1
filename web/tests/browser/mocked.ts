import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { defaults, startMock, type Mock } from '../mock';
import { launch, openPage, type Opened } from './page';

// One browser and one mock server for a file's tests, the page as it was opened last. Set by the hooks below.
export let browser: Browser;
export let mock: Mock;
export let open: Opened;

/** Registers the hooks of a test file; each test must open a page, on which nothing may have gone wrong in the end. */
export function withMock(browserArguments: () => string[] = () => []): void {
  beforeAll(async () => {
    browser = await launch(browserArguments());
    mock = await startMock();
  });
  afterAll(async () => {
    await browser?.close();
    await mock?.stop();
  });
  afterEach(async () => {
    expect(open.faults).toEqual([]);
    await open.context.close();
    Object.assign(mock.options, defaults);
    mock.requests.length = 0;
  });
}

export const start = async (options = {}) => (open = await openPage(browser, mock.url, options)).page;

// A real browser for tests: Debian's Chromium, or the one that CHROMIUM names.

import { existsSync } from 'node:fs';
import axe, { type AxeResults } from 'axe-core';
import { chromium, type Browser, type Page } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Where the browser is; null when this machine has none. */
export function browserPath(): string | null {
  const named = process.env['CHROMIUM'];
  if (named !== undefined) return named;
  return PLACES.find((path) => existsSync(path)) ?? null;
}

export function launchBrowser(path: string): Promise<Browser> {
  // Tests run as root, where Chromium has no sandbox.
  return chromium.launch({ executablePath: path, args: ['--no-sandbox', '--disable-gpu'] });
}

/** What axe finds wrong on the page as it is, one sentence each. */
export async function accessibilityViolations(page: Page): Promise<string[]> {
  // The policy of the page allows no script of others, but the debugger may evaluate one.
  await page.evaluate(axe.source);
  const found = await page.evaluate<Pick<AxeResults, 'violations'>>(
    "axe.run(document, { resultTypes: ['violations'] })",
  );
  return found.violations.map(
    ({ id, nodes }) =>
      `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`,
  );
}

/** Whether the page is wider than its window, so that it scrolls sideways. */
export function isTooWide(page: Page): Promise<boolean> {
  return page.evaluate<boolean>('document.documentElement.scrollWidth > window.innerWidth');
}

/** The texts of elements that are cut off: wider than their box. */
export function cutTexts(page: Page, selector: string): Promise<string[]> {
  return page.evaluate<string[]>(
    `[...document.querySelectorAll(${JSON.stringify(selector)})]
      .filter((each) => each.scrollWidth > each.clientWidth + 1 || each.clientHeight === 0)
      .map((each) => each.textContent)`,
  );
}

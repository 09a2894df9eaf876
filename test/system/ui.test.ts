// The dashboard in a real browser: Debian's Chromium, or the one that CHROMIUM names. Without it these tests are skipped, and
// fail in CI.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  accessibilityViolations,
  browserPath,
  cutTexts,
  isTooWide,
  launchBrowser,
} from '../support/browser.ts';
import { TestCluster } from '../support/cluster.ts';
import { startFakeDashboard } from '../support/fake-dashboard.ts';
import { fakeNode, fakeStatusSource, NOW } from '../support/status-source.ts';

const path = browserPath();
const RECORDS = 60;
const FAILURE_BODY = '{"error":"InternalError","message":"the index is broken"}';
const FAILURE = `HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: ${FAILURE_BODY.length}\r\nconnection: close\r\n\r\n${FAILURE_BODY}`;
const POISON = 'a document that no server can index';

test('there is a browser to test with', () => {
  if (process.env['CI'] === 'true') expect(path, 'apt-get install chromium').not.toBeNull();
});

describe.skipIf(path === null)('in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/prepare.mjs', import.meta.url))]);
    browser = await launchBrowser(path!);
  });
  afterAll(() => browser?.close());

  async function open(url: string, size = { width: 1440, height: 1000 }): Promise<Page> {
    const page = await browser.newPage({ viewport: size, reducedMotion: 'reduce' });
    page.setDefaultTimeout(60_000);
    page.on('pageerror', (error) => failures.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error' && /policy/i.test(message.text())) failures.push(message.text());
    });
    await page.goto(url);
    return page;
  }
  /** Uncaught errors, and breaches of the page's policy. */
  const failures: string[] = [];
  afterAll(() => expect(failures).toEqual([]));

  const sentence = (page: Page, text: string): Promise<void> =>
    page.getByTestId('sentence').filter({ hasText: text }).waitFor();

  describe('the dashboard of a cluster', () => {
    let cluster: TestCluster;
    let page: Page;
    let collection: string;
    beforeAll(async () => {
      cluster = await TestCluster.start({
        proxied: true,
        // The machine of the tests may be busy for a minute.
        settings: { ENTRY_ATTEMPTS: '2', ENTRY_TIMEOUT_MS: '20000', WAL_CPU_THRESHOLD: '100' },
      });
      collection = await cluster.api.create('notes');
      const all = Array.from({ length: RECORDS }, (_each, n) => n);
      await cluster.api.records(collection, 'add', {
        ids: all.map((n) => `note-${n}`),
        embeddings: all.map((n) => [n, 1, n % 7]),
        documents: all.map((n) => `the note number ${n}`),
        metadatas: all.map((n) => ({ n, isEven: n % 2 === 0 })),
      });
      page = await open(`${cluster.url}/ui/`);
    });
    afterAll(() => cluster?.stop());

    test('says in one sentence that all is well', async () => {
      await sentence(page, `All 3 nodes serve the same ${RECORDS} records; nothing to do.`);
      expect(await page.locator('tr[data-node] .state.ok').count()).toBe(3);
    });

    test.each(['overview', 'collections', 'query', 'events', 'quarantine'])(
      'the page "%s" has no violation that axe finds, light and dark',
      async (name) => {
        await page.goto(`${cluster.url}/ui/#/${name}`);
        await page.locator('.panel').first().waitFor();
        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme });
          expect(await accessibilityViolations(page), colorScheme).toEqual([]);
        }
      },
    );

    test('records are browsed by pages and with filters', async () => {
      await page.goto(`${cluster.url}/ui/#/collections`);
      await page.getByRole('link', { name: 'notes' }).click();
      await page.getByText(`1 to 25 of ${RECORDS}`).waitFor();
      await page.getByRole('button', { name: 'Next' }).click();
      await page.getByText(`26 to 50 of ${RECORDS}`).waitFor();
      await page.getByLabel('Metadata filter, JSON').fill('{"n": {"$gte": 58}}');
      await page.getByLabel('Document contains').fill('note number 5');
      await page.getByRole('button', { name: 'Filter' }).click();
      await page.getByText('1 to 2').waitFor();
      await page.getByRole('button', { name: 'note-58' }).click();
      await page.getByRole('dialog').getByText('58, 1, 2').waitFor();
      expect(await accessibilityViolations(page)).toEqual([]);
    });

    test('the nodes return the same hits, side by side', async () => {
      await page.getByRole('link', { name: 'Find similar records' }).click();
      await page.getByText('All 3 nodes return the same 10 records in the same order.').waitFor();
      expect(await page.locator('.hit-columns section li:first-of-type button').allTextContents()).toEqual(
        Array.from({ length: 3 }, () => 'note-58'),
      );
      await page.getByRole('button', { name: 'Vector' }).click();
      await page.getByLabel('Vector of 3 numbers').fill('1, 2');
      await page.getByRole('button', { name: 'Run' }).click();
      await page.getByText('400:').first().waitFor();
      expect(await accessibilityViolations(page)).toEqual([]);
    });

    test('a node is drained and undrained, with progress, after a confirmation', async () => {
      await page.goto(`${cluster.url}/ui/#/overview`);
      const primary = await cluster.primary();
      await page.getByRole('button', { name: `Manage ${primary}` }).click();
      await page.getByRole('button', { name: 'Drain', exact: true }).click();
      expect(await accessibilityViolations(page)).toEqual([]);
      expect((await cluster.status()).nodes.map(({ state }) => state)).not.toContain('drained');
      await page.getByRole('button', { name: `Drain ${primary}` }).click();
      await page
        .locator('dialog [data-state=done]')
        .filter({ hasText: `node drain ${primary}` })
        .waitFor();
      expect(await cluster.primary()).not.toBe(primary);
      await sentence(page, `${primary} is drained; the other 2 nodes serve all ${RECORDS} records.`);
      await page.getByRole('button', { name: 'Undrain', exact: true }).click();
      await page.getByRole('button', { name: `Undrain ${primary}` }).click();
      await sentence(page, 'All 3 nodes serve');
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    });

    /** Holds requests to the node that contain this until it is released. */
    function hold(node: string, part: string): () => void {
      const proxy = cluster.proxy(node);
      const held = Promise.withResolvers<void>();
      proxy.holds = (chunk) => (chunk.includes(part) ? held.promise : null);
      return () => {
        proxy.holds = null;
        held.resolve();
      };
    }

    interface Act {
      readonly label: string;
      /** Requests to the node that contain this are held until the progress was seen. */
      readonly held: string;
      readonly first?: () => Promise<unknown>;
      readonly progress: string;
      readonly outcome: string;
    }

    /** Presses the button of an action and confirms it; sees its progress while the node is held, and its outcome. */
    async function act(node: string, { label, held, first, progress, outcome }: Act): Promise<void> {
      const kind = `node ${label.toLowerCase()} ${node}`;
      const release = hold(node, held);
      await first?.();
      await page.getByRole('button', { name: label, exact: true }).click();
      expect(await page.locator('[data-state]').filter({ hasText: kind }).count()).toBe(0);
      await page.getByRole('button', { name: `${label} ${node}` }).click();
      const operation = page.locator('dialog [data-state]').filter({ hasText: kind });
      await operation.filter({ hasText: progress }).getByRole('progressbar').waitFor();
      release();
      await page.locator('dialog [data-state=done]').filter({ hasText: outcome }).waitFor();
    }

    test('a node is promoted, verified and rebuilt, each after a confirmation, with progress and outcome', async () => {
      await cluster.allServe();
      const before = await cluster.primary();
      const node = before === 'node-3' ? 'node-2' : 'node-3';
      await page.getByRole('button', { name: `Manage ${node}` }).click();
      const text = 'a note that arrives late';
      const note = { ids: ['note-0'], embeddings: [[0, 1, 0]], documents: [text] };
      await act(node, {
        label: 'Promote',
        held: text,
        first: () => cluster.api.records(collection, 'upsert', note),
        progress: 'applying the log: 0 of 1 entries',
        outcome: `Node ${node} is the primary; before it was ${before}.`,
      });
      await act(node, {
        label: 'Verify',
        held: '/get',
        progress: 'comparing: 0 of 1 collections',
        outcome: `1 collection of node ${node} compared, ${RECORDS} records. No copy is wrong.`,
      });
      expect(await accessibilityViolations(page)).toEqual([]);
      await act(node, {
        label: 'Rebuild',
        held: 'the note number',
        progress: 'notes (1 of 1): ',
        outcome: `1 collection of node ${node} was copied anew and compared.`,
      });
      expect(await cluster.primary()).toBe(node);
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      await page.locator('.rows [data-state=done]').filter({ hasText: 'copied anew' }).waitFor();
    });

    test('a killed node is reported by the sentence, the topology, the chart and the events', async () => {
      await cluster.allServe();
      const primary = await cluster.primary();
      await cluster.local.stopNode(primary);
      await sentence(page, `${primary} is down; the other 2 nodes serve all ${RECORDS} records.`);
      const row = page.locator(`tr[data-node=${primary}]`);
      expect(await row.locator('.state.critical').textContent()).toBe('down');
      await page.locator('.findings').getByText('Restart the server').waitFor();
      for (let n = 0; n < 3; n++)
        await cluster.api.records(collection, 'upsert', { ids: [`note-${n}`], embeddings: [[n, 1, n]] });
      await page.getByRole('img', { name: new RegExp(`Backlog.*${primary} 3\\b`) }).waitFor();
      await page.locator('.events [data-kind=node_down]').filter({ hasText: primary }).waitFor();
      await page.locator('.flow.is-cut').first().waitFor();
      expect(await accessibilityViolations(page)).toEqual([]);
      await cluster.local.startNode(primary);
      await sentence(page, `All 3 nodes serve the same ${RECORDS} records; nothing to do.`);
    });

    test('a gateway that is gone is said to be, and found again', async () => {
      await sentence(page, 'All 3 nodes serve');
      await cluster.stopGateway();
      await page.getByText('Disconnected; as of').waitFor();
      await sentence(page, 'This gateway has not responded since');
      expect(await accessibilityViolations(page)).toEqual([]);
      await cluster.startGateway();
      await page.getByText('Live', { exact: true }).first().waitFor();
      await sentence(page, 'All 3 nodes serve');
    });

    test('a quarantined entry is shown as it comes, retried and discarded after a confirmation', async () => {
      await page.goto(`${cluster.url}/ui/#/quarantine`);
      await page.getByText('No entry is quarantined.').waitFor();
      let isFaulty = true;
      for (const { id } of cluster.local.nodes)
        cluster.proxy(id).intercept = (chunk) => (isFaulty && chunk.includes(POISON) ? FAILURE : null);
      const body = { ids: ['note-1'], embeddings: [[1, 1, 1]], documents: [POISON] };
      expect((await cluster.api.records(collection, 'upsert', body)).status).toBe(500);
      const entry = page.locator('.quarantine li').filter({ hasText: 'upsert on notes' });
      await entry.filter({ hasText: 'the index is broken' }).waitFor();
      await sentence(page, '1 entry of the log waits for a decision');
      await entry.getByText('Content of the write').click();
      await entry.getByText(POISON).waitFor();
      expect(await accessibilityViolations(page)).toEqual([]);

      const press = async (label: string): Promise<void> => {
        await entry.getByRole('button', { name: new RegExp(`^${label} .*…$`) }).click();
        await entry.getByRole('button', { name: label }).click();
      };
      await press('Retry');
      await page.getByText('and quarantined again. Nodes responded 500').waitFor();
      isFaulty = false;
      await press('Retry');
      await page.getByText(/LSN \d+ was appended again as LSN \d+ and applied\./).waitFor();
      await page.getByText('No entry is quarantined.').waitFor();
      isFaulty = true;
      expect((await cluster.api.records(collection, 'upsert', body)).status).toBe(500);
      await press('Discard');
      await page.getByText(/LSN \d+ was discarded\./).waitFor();
    });
  });

  describe('the dashboard of 9 nodes with 200 collections', () => {
    let dashboard: Awaited<ReturnType<typeof startFakeDashboard>>;
    beforeAll(async () => {
      const ids = Array.from({ length: 9 }, (_each, n) => `chroma-eu-central-${n + 1}`);
      const reason = 'connect ECONNREFUSED 10.20.30.40:8000';
      const nodes = ids.map((id, n) =>
        n === 4
          ? fakeNode(id, { state: 'down', reason, since: NOW - 90_000 }, { checkpoint: 1_204_000 })
          : fakeNode(id, { state: n === 6 ? 'busy' : 'serving' }, { checkpoint: 1_234_567 - n }),
      );
      dashboard = await startFakeDashboard({
        status: fakeStatusSource({ nodes: () => nodes, primary: () => ids[0]!, head: () => 1_234_567 }),
        conditions: [{ kind: 'node_down', key: `node_down:${ids[4]}`, detail: `${ids[4]}: ${reason}` }],
        collections: Array.from({ length: 200 }, (_each, n) => ({
          id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
          tenant: 'default_tenant',
          database: 'default_database',
          name: `customer-${n}-documents`,
          dimension: 1_536,
          records: 997 * (n + 1),
          suspectOn: n === 17 ? [ids[4]!] : [],
        })),
        traffic: {
          reads: { perSecond: 1_240, p50Ms: 1.4, p95Ms: 6.2, p99Ms: 18 },
          writes: { perSecond: 210, p50Ms: 9, p95Ms: 31, p99Ms: 88 },
          failedPerSecond: 0,
          appendedPerSecond: 210,
          nodes: Object.fromEntries(ids.map((id) => [id, { calls: 180, applied: 210 }])),
        },
      });
    });
    afterAll(() => dashboard?.stop());

    test.each([
      ['wide', 1_680],
      ['phone', 390],
    ])('stays readable on a %s screen', async (_what, width) => {
      const page = await open(dashboard.url, { width, height: 900 });
      await sentence(page, 'chroma-eu-central-5 is down; the other 8 nodes serve all 20,039,700 records.');
      expect(await page.locator('tr[data-node]').count()).toBe(9);
      expect(await isTooWide(page)).toBe(false);
      expect(await cutTexts(page, '.node-id, .nodes .state, .legend-label, h1, h2')).toEqual([]);
      expect(await accessibilityViolations(page)).toEqual([]);
      await page.goto(`${dashboard.url}#/collections`);
      await page.getByText('200 collections, 20,039,700 records').waitFor();
      expect(await page.locator('.collections tbody tr').count()).toBe(200);
      expect(await isTooWide(page)).toBe(false);
      await page.getByRole('searchbox').fill('-19');
      await page.getByText('11 of 200 collections').waitFor();
      await page.getByRole('button', { name: 'Records', exact: true }).click();
      expect(await page.locator('.collections tbody th a').first().textContent()).toBe(
        'customer-199-documents',
      );
      await page.close();
    });

    test('the checks report a page that is broken', async () => {
      // A page with little on it, which is checked sooner.
      const page = await open(`${dashboard.url}#/quarantine`);
      await sentence(page, 'is down');
      await page.evaluate(`{
        const broken = document.createElement('div');
        broken.innerHTML = '<button></button><h2 class="cut"></h2>';
        broken.style.width = '3000px';
        document.querySelector('main').append(broken);
        const cut = broken.querySelector('.cut');
        cut.textContent = 'a heading that is cut off';
        Object.assign(cut.style, { width: '20px', overflow: 'hidden', whiteSpace: 'nowrap' });
      }`);
      expect((await accessibilityViolations(page)).join()).toContain('button-name');
      expect(await isTooWide(page)).toBe(true);
      expect(await cutTexts(page, 'h2')).toEqual(['a heading that is cut off']);
      await page.close();
    });
  });
});

// Quarantined entries through the operator API and the command line, on real servers: listed, shown, retried, discarded.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { quarantineCommand } from '../../src/cli/quarantine.ts';
import { findFreePort } from '../../src/local/port.ts';
import { TestCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';

const TOKEN = 'token-of-the-operators';
const BODY = '{"error":"InternalError","message":"the index is broken"}';
const FAILURE = `HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\nconnection: close\r\n\r\n${BODY}`;
const POISON = 'a document that no server can index';

let cluster: TestCluster;
let adminUrl: string;
let isFaulty: boolean;

beforeAll(async () => {
  const port = await findFreePort();
  adminUrl = `http://127.0.0.1:${port}`;
  cluster = await TestCluster.start({
    proxied: true,
    settings: { ADMIN_PORT: String(port), ADMIN_TOKEN: TOKEN, ENTRY_ATTEMPTS: '2', ENTRY_TIMEOUT_MS: '5000' },
  });
  for (const { id } of cluster.local.nodes)
    cluster.proxy(id).intercept = (chunk) => (isFaulty && chunk.includes(POISON) ? FAILURE : null);
});
afterAll(() => cluster?.stop());
beforeEach(() => {
  isFaulty = true;
});

interface Entry {
  readonly lsn: number;
  readonly [field: string]: unknown;
}

/** What a command prints; rejects with its error. */
async function run(...words: string[]): Promise<string> {
  let output = '';
  const command = quarantineCommand({ env: {}, write: (text) => (output += Buffer.from(text).toString()) });
  await command.parseAsync([...words, '--url', adminUrl], { from: 'user' });
  return output;
}

const listed = async (...words: string[]): Promise<Entry[]> =>
  JSON.parse(await run('list', '--json', ...words)) as Entry[];

/** Writes a record that every server fails; returns the LSN of the quarantined entry. */
async function quarantine(collection: string, id: string): Promise<number> {
  const before = await listed();
  const response = await cluster.api.records(collection, 'add', {
    ids: [id],
    embeddings: [[1, 2]],
    documents: [POISON],
  });
  expect([response.status, response.text]).toEqual([500, BODY]);
  const added = (await listed()).filter(({ lsn }) => before.every((entry) => entry.lsn !== lsn));
  expect(added).toHaveLength(1);
  return added[0]!.lsn;
}

/** How many nodes have the record: 0 or all, once every node has applied the log. */
async function nodesWith(id: string): Promise<number> {
  await cluster.allServe();
  const contents = await cluster.contents();
  return [...contents.values()].filter((text) => text.includes(`"${id}"`)).length;
}

describe('a quarantined entry', () => {
  test('is listed and shown with its collection, the response of the nodes and its body', async () => {
    const lsn = await quarantine(await cluster.api.create('shown'), 'shown-1');
    expect((await listed()).find((entry) => entry.lsn === lsn)).toMatchObject({
      kind: 'add',
      collection: { tenant: 'default_tenant', database: 'default_database', name: 'shown' },
      status: 500,
      response: BODY,
      closed: null,
    });
    expect(await run('list')).toMatch(new RegExp(`│ ${lsn} +│ add +│ default_tenant/default_database/shown`));
    expect(await run('show', String(lsn))).toContain(POISON);
    const body = await run('show', String(lsn), '--body');
    expect(JSON.parse(body)).toEqual({ ids: ['shown-1'], embeddings: [[1, 2]], documents: [POISON] });
  });

  test('is applied on every node by a retry once the servers work again', async () => {
    const lsn = await quarantine(await cluster.api.create('retried'), 'retried-1');
    expect(await nodesWith('retried-1')).toBe(0);
    isFaulty = false;
    const output = await run('retry', String(lsn));
    const retriedLSN = Number(/again as LSN (\d+) and applied/.exec(output)?.[1]);
    expect(retriedLSN).toBeGreaterThan(lsn);
    expect(await nodesWith('retried-1')).toBe(3);
    const closed = (await listed('--all')).find((entry) => entry.lsn === lsn);
    expect(closed).toMatchObject({ closed: 'retried', retriedLSN });
    expect(await listed()).not.toContainEqual(expect.objectContaining({ lsn }));
    await expect(run('retry', String(lsn))).rejects.toThrow(`has already been retried, as LSN ${retriedLSN}`);
    await expect(run('discard', String(lsn))).rejects.toThrow('has already been retried');
  });

  test('is quarantined again, as a new entry, by a retry while the servers still fail', async () => {
    const lsn = await quarantine(await cluster.api.create('again'), 'again-1');
    await expect(run('retry', String(lsn))).rejects.toThrow(/was quarantined again. Nodes responded: 500/);
    const open = (await listed()).map((entry) => entry.lsn);
    expect(open).not.toContain(lsn);
    expect(open.at(-1)).toBeGreaterThan(lsn);
  });

  test('leaves nothing on any node when it is discarded', async () => {
    const lsn = await quarantine(await cluster.api.create('discarded'), 'discarded-1');
    expect(await run('discard', String(lsn))).toBe(`The quarantined entry at LSN ${lsn} was discarded.\n`);
    expect(await nodesWith('discarded-1')).toBe(0);
    await expect(run('discard', String(lsn))).rejects.toThrow('has already been discarded');
    await expect(run('retry', String(lsn))).rejects.toThrow('has already been discarded');
  });

  test('cannot be retried when its collection is deleted, and can be discarded', async () => {
    const lsn = await quarantine(await cluster.api.create('deleted'), 'deleted-1');
    isFaulty = false;
    const path = '/api/v2/tenants/default_tenant/databases/default_database/collections/deleted';
    expect((await cluster.api.call('DELETE', path)).status).toBe(200);
    await expect(run('retry', String(lsn))).rejects.toThrow('no longer exists');
    await run('discard', String(lsn));
  });

  test('of an unknown LSN is reported', async () => {
    await expect(run('show', '999999')).rejects.toThrow('No entry at LSN 999999 is quarantined.');
  });
});

describe('the operator API', () => {
  const status = async (url: string, path: string, init?: RequestInit): Promise<number> =>
    (await fetch(url + path, init)).status;

  test('is on ADMIN_PORT alone, beside the routes of status', async () => {
    await until(async () => (await status(cluster.url, '/health')) === 200, 'the cluster is healthy');
    for (const path of ['/health', '/status', '/wal/status']) {
      expect([await status(cluster.url, path), await status(adminUrl, path)], path).toEqual([200, 200]);
    }
    const unknown = await fetch(`${cluster.url}/admin/quarantine`);
    expect([unknown.status, await unknown.text()]).toEqual([404, '']);
    expect(await status(adminUrl, '/api/v2/version')).toBe(404);
  });

  test('refuses pages of other origins and wrong tokens', async () => {
    const path = '/admin/quarantine/1/discard';
    const post = (headers: Record<string, string>): Promise<number> =>
      status(adminUrl, path, { method: 'POST', headers });
    expect(await post({ 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await post({ origin: 'https://evil.example', authorization: `Bearer ${TOKEN}` })).toBe(403);
    expect(await post({ authorization: 'Bearer wrong' })).toBe(401);
    expect(await post({ 'x-forwarded-for': '203.0.113.9' })).toBe(401);
    expect(await post({ 'x-forwarded-for': '203.0.113.9', authorization: `Bearer ${TOKEN}` })).toBe(404);
    expect(await status(adminUrl, path)).toBe(405);
  });
});

// A call whose connection broke is sent again. If the first copy is executed later, the node differs from the others:
// that is detected, and the shard becomes suspect (I8, docs/guarantees.md).

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TextResponse } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

let cluster: TestCluster;
beforeAll(async () => {
  // Rebuilds take longer than the test: copies stay suspect.
  const settings = { REBUILD_BYTES_PER_SECOND: '1' };
  cluster = await TestCluster.start({ nodes: 2, proxied: true, settings });
});
afterAll(() => cluster?.stop());

const suspects = (): Promise<unknown[]> =>
  sql(
    cluster,
    "select node, suspect as reason from polychrome.node_shard where state = 'current' and suspect is not null",
  );

/** A write whose first response from a node is lost; resolves when every node has applied it. */
async function breakOff(collection: string, id: string, node = 'node-2'): Promise<void> {
  const proxy = cluster.proxy(node);
  const before = proxy.resets;
  proxy.breaksOff = (chunk) => {
    const isIt = chunk.includes(`"${id}"`);
    if (isIt) proxy.breaksOff = null;
    return isIt;
  };
  const body = { ids: [id], embeddings: [[1, 2]], documents: ['sent twice'] };
  await cluster.api.records(collection, 'upsert', body);
  await until(async () => proxy.resets > before, 'the response is lost');
  await until(async () => (await cluster.status()).pending === 0, 'the call was repeated and succeeded');
}

/** The effect of a delayed duplicate of an earlier delete. */
async function undo(on: string, collection: string, id: string): Promise<void> {
  const node = cluster.node(on);
  const listed = JSON.parse((await node.collections()).text) as { id: string; name: string }[];
  const physical = listed.find(({ name }) => name === collection)!.id;
  await node.records(physical, 'delete', { ids: [id] });
}

test('makes a shard suspect when a delayed duplicate changes it, and only then', async () => {
  const { api } = cluster;
  const id = await api.create('duplicates');
  await breakOff(id, 'harmless');
  await cluster.allServe();
  expect(await suspects()).toEqual([]);

  await breakOff(id, 'undone');
  await undo('node-2', 'duplicates', 'undone');
  await until(async () => (await suspects()).length > 0, 'the difference is found');
  const reason = expect.stringContaining('"undone"') as string;
  expect(await suspects()).toEqual([{ node: 'node-2', reason }]);
  const shown = (await cluster.status()).nodes.map(({ id: node, suspects: shards }) => ({ node, shards }));
  const place = { tenant: 'default_tenant', database: 'default_database' };
  expect(shown).toEqual([
    { node: 'node-1', shards: [] },
    { node: 'node-2', shards: [{ id, name: 'duplicates', ...place, reason }] },
  ]);
  for (let n = 0; n < 4; n++) {
    const { text } = await api.records(id, 'get', { ids: ['undone'], include: ['documents'], limit: n + 1 });
    expect(JSON.parse(text)).toMatchObject({ documents: ['sent twice'] });
  }
});

test('shows the entry of a call that breaks off on the primary until the node responds', async () => {
  const { api } = cluster;
  const id = await api.create('poisoned');
  await cluster.allServe();
  const { head } = await cluster.status();
  const proxies = ['node-1', 'node-2'].map((node) => cluster.proxy(node));
  for (const proxy of proxies) proxy.breaksOff = (chunk) => chunk.includes('"poison"');
  const body = { ids: ['poison'], embeddings: [[1, 2]] };
  expect((await api.records(id, 'add', body, { 'x-polychrome-ack': 'log' })).status).toBe(201);
  let seen: object | null | undefined = null;
  await until(async () => {
    seen = (await cluster.status()).nodes.find(({ role }) => role === 'primary')?.failing;
    return seen !== null;
  }, 'the second attempt has failed');
  expect(seen).toMatchObject({ lsn: head + 1, target: expect.any(String) as string });

  for (const proxy of proxies) proxy.breaksOff = null;
  await cluster.allServe();
  expect((await cluster.status()).nodes.map((node) => node.failing)).toEqual([null, null]);
  expect((await api.records(id, 'count')).text).toBe('1');
});

test('writes to a collection that is suspect on the primary, and refuses one that is suspect on all nodes', async () => {
  const { api } = cluster;
  const id = await api.create('suspected');
  const write = (record: string): Promise<TextResponse> =>
    api.records(id, 'upsert', { ids: [record], embeddings: [[3, 4]], documents: ['written'] });
  const makeSuspect = async (node: string, record: string): Promise<void> => {
    const before = (await suspects()).length;
    await breakOff(id, record, node);
    await undo(node, 'suspected', record);
    await until(async () => (await suspects()).length > before, 'the difference is found');
  };
  const primary = (await cluster.status()).nodes.find(({ role }) => role === 'primary')!.id;
  const replica = primary === 'node-1' ? 'node-2' : 'node-1';

  await makeSuspect(primary, 'first');
  expect((await write('kept')).status).toBe(200);
  const found = await api.records(id, 'get', { ids: ['kept'], include: ['documents'] });
  expect(JSON.parse(found.text)).toMatchObject({ documents: ['written'] });

  await makeSuspect(replica, 'second');
  const { head } = await cluster.status();
  const refused = await write('nowhere');
  expect([refused.status, refused.text]).toEqual([
    503,
    expect.stringContaining('every copy of this collection is suspect'),
  ]);
  expect((await cluster.status()).head).toBe(head);
  expect(
    (
      await api.call(
        'DELETE',
        '/api/v2/tenants/default_tenant/databases/default_database/collections/suspected',
      )
    ).status,
  ).toBe(200);
});

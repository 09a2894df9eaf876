// Acknowledgement levels while nodes are down: a confirmed write has reached its level, any other is reported as durable, and is.

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { TextResponse } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

const NODES = ['node-1', 'node-2', 'node-3'] as const;

let cluster: TestCluster;
let collection: string;
beforeEach(async () => {
  cluster = await TestCluster.start({ settings: { WRITE_TIMEOUT_MS: '5000', READ_TIMEOUT_MS: '1000' } });
  collection = await cluster.api.create('levels');
  await cluster.allServe();
});
afterEach(() => cluster.stop());

const add = (id: string, level: string): Promise<TextResponse> =>
  cluster.api.records(collection, 'add', { ids: [id], embeddings: [[1]] }, { 'x-polychrome-ack': level });

/** Stops nodes one after the other; resolves when the others can take writes. */
async function stop(...ids: string[]): Promise<void> {
  for (const id of ids) await cluster.local.stopNode(id);
  await until(
    async () => {
      const { nodes } = await cluster.status();
      const isDown = nodes.every(({ id, state }) => !ids.includes(id) || state === 'down');
      return isDown && (ids.length === NODES.length || !ids.includes(await cluster.primary()));
    },
    `${ids.join(', ')} are down`,
  );
}

/** The response reports the write as durable, and the log holds it at the LSN in the response. */
async function expectDurable({ status, text, headers }: TextResponse, id: string): Promise<void> {
  expect([status, text]).toEqual([503, expect.stringMatching(/durable at LSN \d+/)]);
  // A client must not be invited to repeat the write.
  expect(headers.get('retry-after')).toBeNull();
  const lsn = /durable at LSN (\d+)/.exec(text)![1];
  const [entry] = await sql<{ body: string }>(
    cluster,
    `select convert_from(body, 'UTF8') as body from polychrome.log where lsn = $1`,
    [lsn],
  );
  expect(entry?.body).toContain(`"${id}"`);
}

async function expectEverywhere(...ids: string[]): Promise<void> {
  for (const node of NODES)
    if (cluster.local.nodes.find(({ id }) => id === node)!.pid() === null)
      await cluster.local.startNode(node);
  await cluster.allServe();
  for (const [node, content] of await cluster.contents()) {
    const found = content
      .split('\n')
      .slice(1)
      .map((line) => (JSON.parse(line) as string[])[0]);
    expect([node, found]).toEqual([node, ids]);
  }
}

test('confirms level quorum, not all, when one of three nodes is down', async () => {
  await stop('node-1');
  expect((await add('a', 'quorum')).status).toBe(201);
  await expectDurable(await add('b', 'all'), 'b');
  expect((await add('c', 'primary')).status).toBe(201);
  await expectEverywhere('a', 'b', 'c');
});

test('confirms level primary, not quorum, when two of three nodes are down', async () => {
  await stop('node-2', 'node-1');
  expect((await add('a', 'primary')).status).toBe(201);
  await expectDurable(await add('b', 'quorum'), 'b');
  await expectEverywhere('a', 'b');
});

test('confirms level log, not primary, when all nodes are down, and applies both writes once they are back', async () => {
  await stop(...NODES);
  expect((await add('a', 'log')).status).toBe(201);
  await expectDurable(await add('b', 'primary'), 'b');
  const read = await cluster.api.records(collection, 'count', undefined, {
    'x-polychrome-consistency': 'eventual',
  });
  expect(read.status).toBe(503);
  await expectEverywhere('a', 'b');
});

test('confirms level all as soon as the last node has applied the write', async () => {
  await stop('node-3');
  await cluster.stopGateway();
  await cluster.startGateway({ WRITE_TIMEOUT_MS: '30000' });
  const waiting = add('a', 'all');
  await until(
    async () => (await cluster.node('node-1').everything()).includes('"a"'),
    'the other nodes have applied it',
  );
  await cluster.local.startNode('node-3');
  expect((await waiting).status).toBe(201);
  await expectEverywhere('a');
});

// A server that returns with other or older content than it had is not used before it is filled anew; the other nodes keep
// serving.

import { cp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MARKER_PATH } from '../../src/chroma/client/identity.ts';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

let cluster: TestCluster;
let collection: string;
let records = 0;
beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 4, ownProcess: {}, settings: { LOG_LEVEL: 'info' } });
  collection = await cluster.api.create('records');
});
afterAll(() => cluster.stop());

const folderOf = (id: string): string => cluster.local.nodes.find((node) => node.id === id)!.dataDir;
const backupOf = (id: string): string => `${folderOf(id)}.copy`;

/** Adds records that every later read must return. */
async function write(count = 20): Promise<void> {
  for (let n = 0; n < count; n++) {
    const id = `r${records}`;
    const body = { ids: [id], embeddings: [[records, 1]], documents: [`text ${records}`] };
    const response = await cluster.api.records(collection, 'upsert', body);
    expect(response.status).toBe(200);
    records += 1;
  }
}

/** Every read, on any node, returns everything written. */
async function everyReadIsRight(reads = 24): Promise<void> {
  const responses = await Promise.all(
    Array.from({ length: reads }, () => cluster.api.records(collection, 'get', { include: [] })),
  );
  for (const response of responses) {
    expect(response.status).toBe(200);
    expect((JSON.parse(response.text) as { ids: string[] }).ids).toHaveLength(records);
  }
}

async function stateOf(id: string): Promise<{ state: string; reason: string | null }> {
  const { state, reason } = (await cluster.status()).nodes.find((node) => node.id === id)!;
  return { state, reason };
}

/** Events of the gateway's log. */
function logged(): Record<string, unknown>[] {
  const lines = cluster.output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Waits until the gateway's log reports a node in a state for a reason. */
async function reportedInLog(id: string, state: string, reason: RegExp): Promise<void> {
  await until(
    async () =>
      logged().some(
        (line) => line['node'] === id && line['to'] === state && reason.test(String(line['reason'])),
      ),
    `the log reports ${id} as ${state}`,
  );
}

/** The serving nodes hold the same content, read from each directly. */
async function servingNodesAgree(except: readonly string[] = []): Promise<void> {
  await until(async () => {
    const { nodes } = await cluster.status();
    return nodes.every(({ id, state, lag }) =>
      except.includes(id) ? state !== 'serving' : state === 'serving' && lag.entries === 0,
    );
  }, 'all other nodes serve and are caught up');
  const contents = await cluster.contents();
  for (const id of except) contents.delete(id);
  expect(new Set(contents.values()).size).toBe(1);
  expect([...contents.values()][0]!.split('\n').filter((line) => line.includes('"text '))).toHaveLength(
    records,
  );
}

async function markerLSN(id: string): Promise<number> {
  const { text } = await cluster.node(id).call('GET', MARKER_PATH);
  return (JSON.parse(text) as { metadata: { checkpoint?: number } }).metadata.checkpoint ?? 0;
}

/** Waits until the marker of a node is at the head of the log. */
async function marked(id: string): Promise<void> {
  await until(async () => (await markerLSN(id)) === (await cluster.status()).head, `${id} is marked`);
}

/** The checkpoint and marker of a node in PostgreSQL. */
async function recorded(id: string): Promise<{ checkpoint: number; marker: number }> {
  const text = 'select checkpoint, marker_lsn as marker from polychrome.node where id = $1';
  const [row] = await sql<Record<string, unknown>>(cluster, text, [id]);
  return { checkpoint: Number(row!['checkpoint']), marker: Number(row!['marker']) };
}

async function suspects(): Promise<{ node: string; reason: string }[]> {
  return sql(
    cluster,
    "select node, suspect as reason from polychrome.node_shard where state = 'current' and suspect is not null",
  );
}

/** Copies a node's folder while its server is stopped. */
async function backUp(id: string): Promise<void> {
  await cluster.local.stopNode(id);
  await rm(backupOf(id), { recursive: true, force: true });
  await cp(folderOf(id), backupOf(id), { recursive: true });
  await cluster.local.startNode(id);
  await cluster.allServe();
}

async function replaceFolder(id: string, by: string | null): Promise<void> {
  await rm(folderOf(id), { recursive: true });
  if (by !== null) await cp(by, folderOf(id), { recursive: true });
}

test('two nodes whose folders were swapped are fenced, and serve again from where their folders are', async () => {
  await write();
  const swap = async (): Promise<void> => {
    // One after the other: a read that fails on two nodes is refused.
    await cluster.local.stopNode('node-2');
    // The gateway may know its server under either name.
    await until(async () => {
      const states = await Promise.all(['node-2', 'node-3'].map(stateOf));
      return states.some(({ state }) => state !== 'serving');
    }, 'one of them serves no more');
    await cluster.local.stopNode('node-3');
    const aside = join(folderOf('node-2'), '..', 'aside');
    await rename(folderOf('node-2'), aside);
    await rename(folderOf('node-3'), folderOf('node-2'));
    await rename(aside, folderOf('node-3'));
    await Promise.all(['node-2', 'node-3'].map((id) => cluster.local.startNode(id)));
  };
  const addresses = async (): Promise<Record<string, unknown>> => {
    const rows = await sql<{ id: string; url: string }>(cluster, 'select id, url from polychrome.node');
    return Object.fromEntries(rows.map(({ id, url }) => [id, url]));
  };
  const before = await addresses();
  const incarnations = (): Promise<unknown[]> =>
    sql(cluster, 'select id, incarnation from polychrome.node order by id');
  const known = await incarnations();
  await readsStayRightDuring(async () => {
    await swap();
    for (const [id, other] of [
      ['node-2', 'node-3'],
      ['node-3', 'node-2'],
    ] as const)
      await reportedInLog(id, 'fenced', new RegExp(`expected \\S+/${id}/\\S+, found \\S+/${other}/`));
    await write();
    await until(async () => (await addresses())['node-2'] === before['node-3'], 'the nodes have moved');
    await cluster.allServe();
  });
  await everyReadIsRight();
  await servingNodesAgree();

  await swap();
  await until(async () => (await addresses())['node-2'] === before['node-2'], 'the nodes have moved back');
  await cluster.allServe();
  await everyReadIsRight();
  await servingNodesAgree();
  // Nothing was copied.
  expect(await incarnations()).toEqual(known);
});

test('fences a primary that returns with the marker of another cluster, and elects another', async () => {
  await write();
  const primary = await cluster.primary();
  await marked(primary); // a marker written after it is read here would be overwritten with an older one
  const { text } = await cluster.node(primary).call('GET', MARKER_PATH);
  const marker = JSON.parse(text) as { id: string; metadata: Record<string, unknown> };
  const path = MARKER_PATH.replace(/[^/]+$/, marker.id);
  const mark = async (metadata: object): Promise<void> => {
    const response = await cluster.node(primary).call('PUT', path, { new_metadata: metadata });
    expect(response.status).toBe(200);
    cluster.local.killNode(primary);
  };
  await mark({ ...marker.metadata, cluster: '00000000-0000-4000-8000-000000000000' });
  await until(async () => (await stateOf(primary)).state === 'fenced', 'the primary is fenced');
  expect((await stateOf(primary)).reason).toContain('found 00000000-0000-4000-8000-000000000000/');
  await reportedInLog(primary, 'fenced', /expected/);
  expect(await cluster.primary()).not.toBe(primary);
  await write();
  await everyReadIsRight();
  await servingNodesAgree([primary]);

  await mark(marker.metadata);
  await cluster.allServe();
  await servingNodesAgree();
});

/** Reads continuously during `work`: no read may miss an earlier write. */
async function readsStayRightDuring(work: () => Promise<void>): Promise<void> {
  let working = true;
  let answered = 0;
  const wrong: string[] = [];
  const reader = async (): Promise<void> => {
    while (working) {
      const known = records;
      const response = await cluster.api.records(collection, 'count');
      if (response.status !== 200 || Number(response.text) < known) wrong.push(`${known}: ${response.text}`);
      else answered += 1;
    }
  };
  const readers = Array.from({ length: 6 }, reader);
  await work().finally(() => (working = false));
  await Promise.all(readers);
  expect(wrong).toEqual([]);
  expect(answered).toBeGreaterThan(50);
}

test('does not read a shard from a node that lost entries applied after its last marker', async () => {
  const untouched = await cluster.api.create('untouched');
  await cluster.api.records(untouched, 'add', { ids: ['u'], embeddings: [[1]] });
  const node = 'node-4';
  // The node must be killed after entries are checkpointed and before the next marker, at most a second later: retry.
  await until(async () => {
    await marked(node);
    const copied = (await cluster.status()).head;
    await backUp(node);
    await write(3);
    await cluster.allServe();
    cluster.local.killNode(node);
    await cluster.local.stopNode(node);
    const { checkpoint, marker } = await recorded(node);
    if (marker === copied && checkpoint > copied) return true;
    await cluster.local.startNode(node);
    await cluster.allServe();
    return false;
  }, 'a copy has the last marker but not the last entries');
  await readsStayRightDuring(async () => {
    await replaceFolder(node, backupOf(node));
    await cluster.local.startNode(node);
    await cluster.allServe();
    await write();
  });

  const lines = cluster.output.split('\n').filter((line) => line.includes('"shard became suspect"'));
  expect(lines.filter((line) => line.includes(`"node":"${node}"`))).toEqual([
    expect.stringMatching(/"lost LSN \d+: record \\"r\d+\\" is missing"/),
  ]);
  await until(async () => (await suspects()).length === 0, 'the copy is healed');
  await servingNodesAgree();
  await everyReadIsRight();
  for (let reads = 0; reads < 8; reads++)
    expect((await cluster.api.records(untouched, 'count')).text).toBe('1');
});

test('fills a node anew that returns with an older folder between two probes', async () => {
  const node = 'node-3';
  await backUp(node);
  await write();
  await marked(node);
  await readsStayRightDuring(async () => {
    cluster.local.killNode(node);
    await cluster.local.stopNode(node);
    await replaceFolder(node, backupOf(node));
    await cluster.local.startNode(node);
    await reportedInLog(
      node,
      'needs_rebuild',
      /older content: its marker was at LSN \d+ and is at LSN \d+ now/,
    );
    await write();
    await cluster.allServe();
  });
  await everyReadIsRight();
  await servingNodesAgree();
});

test.each(['from the log', 'by copies'])('fills a node anew that returns blank: %s', async (how) => {
  const node = 'node-2';
  // As if the log had been trimmed: it no longer holds the creation of the collections.
  if (how === 'by copies') await sql(cluster, 'update polychrome.head set trimmed = 1');
  const incarnation = async (): Promise<unknown> =>
    (await sql(cluster, 'select incarnation from polychrome.node where id = $1', [node]))[0];
  const before = await incarnation();
  await readsStayRightDuring(async () => {
    await cluster.local.stopNode(node);
    await replaceFolder(node, null);
    await cluster.local.startNode(node);
    await until(
      async () => JSON.stringify(await incarnation()) !== JSON.stringify(before),
      'the node begins again',
    );
    await write();
    await until(async () => (await stateOf(node)).state === 'serving', `${node} serves`);
    await until(async () => (await suspects()).length === 0, 'every copy is healed');
  });
  await everyReadIsRight();
  await servingNodesAgree();
});

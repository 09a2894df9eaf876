// Content that was changed behind Polychrome's back, on real servers: on a stopped node it is found before the node
// serves, on a running one by the next scrub; nothing is reported while nothing was changed.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { ServerFiles } from '../support/damage.ts';
import { underLoad } from '../support/load.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

// More than the 1,000 after which a server stores the index of a collection in files.
const RECORDS = 1_200;
// Each read waits for the writes of its node.
const SCRUB_MS_MAX = 180_000;
// A node that is filled anew applies all that the tests of this file have written.
const REPLAY_MS_MAX = 400_000;
const SCRUBS = process.env['CHAOS'] === '1' ? 20 : 3;

let cluster: TestCluster;
beforeAll(async () => {
  // Only on demand: what is found before must have been found by something else.
  cluster = await TestCluster.start({
    settings: { SCRUB_INTERVAL: '0', SCRUB_BYTES_PER_SECOND: '1000000000' },
  });
});
afterAll(() => cluster.stop());

const vectorOf = (index: number): number[] => [index, 1, (index % 7) + 0.25, 0.5];

async function fill(name: string, count = RECORDS): Promise<string> {
  const id = await cluster.api.create(name, { configuration: { hnsw: { space: 'l2' } } });
  const all = Array.from({ length: count }, (_, index) => index);
  const { status, text } = await cluster.api.records(id, 'add', {
    ids: all.map((index) => `r${index}`),
    embeddings: all.map(vectorOf),
    documents: all.map((index) => `document ${index}`),
    metadatas: all.map((index) => ({ n: index })),
  });
  if (status !== 201) throw new Error(`add: ${status} ${text}`);
  return id;
}

/** The collections whose copies on the node have been suspect; they are rebuilt within moments. */
async function suspectsOf(node: string): Promise<Set<string>> {
  const rows = await sql(
    cluster,
    `select distinct c.name from polychrome.event e
       join polychrome.shard s on s.id::text = e.detail->>'shard' join polychrome.collection c on c.id = s.collection
       where e.kind = 'shard_suspect' and e.node = '${node}'`,
  );
  return new Set(rows.map(({ name }) => String(name)));
}

/** Resolves when these, and no others of `among`, have been suspect on the node; events are stored a moment later. */
async function suspectsAre(
  node: string,
  expected: readonly string[],
  among: readonly string[],
): Promise<void> {
  const found = async (): Promise<string[]> =>
    [...(await suspectsOf(node))].filter((name) => among.includes(name)).sort();
  await until(async () => {
    const names = await found();
    if (names.length >= expected.length) return true;
    throw new Error(`only ${names.join(', ')}`);
  }, `copies on ${node} are suspect`);
  expect(await found()).toEqual([...expected].sort());
}

async function reasonsOfSuspicions(): Promise<unknown[]> {
  const rows = await sql(cluster, `select node, detail from polychrome.event where kind = 'shard_suspect'`);
  return rows.map(({ node, detail }) => [node, (detail as { reason?: unknown }).reason]);
}

async function scrub(): Promise<Record<string, unknown>> {
  const show = async (): Promise<Record<string, unknown>> =>
    JSON.parse((await cluster.api.call('GET', '/admin/scrub')).text) as Record<string, unknown>;
  const { startedAt } = await show();
  await cluster.api.call('POST', '/admin/scrub');
  let report: Record<string, unknown> = {};
  await until(
    async () => {
      report = await show();
      return report['state'] === 'idle' && report['startedAt'] !== startedAt;
    },
    'the scrub has finished',
    SCRUB_MS_MAX,
  );
  return report;
}

async function stateOf(node: string): Promise<string> {
  return (await cluster.status()).nodes.find(({ id }) => id === node)!.state;
}

test('a scrub raises no alarm under writes, and finds an edit of a running node in the same run', async () => {
  await fill('quiet');
  const before = (await Promise.all(cluster.local.nodes.map(({ id }) => suspectsOf(id)))).map(
    ({ size }) => size,
  );
  const result = await underLoad(cluster, 'scrubbed', async ({ more }) => {
    for (let round = 0; round < SCRUBS; round++) {
      const { suspects, skipped, records } = await scrub();
      const alarms = suspects === 0 ? [] : await reasonsOfSuspicions();
      expect({ suspects, skipped, alarms }).toEqual({ suspects: 0, skipped: 0, alarms: [] });
      expect(records).toBeGreaterThan(RECORDS);
      await more(20);
    }
  });
  expect(result.faults).toEqual([]);
  const after = (await Promise.all(cluster.local.nodes.map(({ id }) => suspectsOf(id)))).map(
    ({ size }) => size,
  );
  expect(after).toEqual(before);

  const edits: Readonly<Record<string, readonly [string, object]>> = {
    'edit-document': ['update', { ids: ['r7'], documents: ['edited'] }],
    'edit-metadata': ['update', { ids: ['r7'], metadatas: [{ n: 8 }] }],
    'edit-vector': ['update', { ids: ['r7'], embeddings: [[7, 1, 0.25, 0.6]] }],
    'edit-missing': ['delete', { ids: ['r7'] }],
    'edit-stray': ['add', { ids: ['stray'], embeddings: [[9, 9, 9, 9]] }],
  };
  for (const name of Object.keys(edits)) await fill(name, 30);
  await cluster.allServe();
  const node = cluster.node(await cluster.primary());
  const collections = JSON.parse((await node.collections()).text) as { id: string; name: string }[];
  for (const [name, [action, body]] of Object.entries(edits)) {
    const { id } = collections.find((collection) => collection.name === name)!;
    expect((await node.records(id, action, body)).status).toBeLessThan(300);
  }
  const filterEdits: Readonly<Record<string, (name: string, on: ServerFiles) => void>> = {
    'edit-filter-text': (name, on) => on.editFilterText(name, 'r7'),
    'edit-filter-row': (name, on) => on.deleteFilterText(name, 'r7'),
  };
  const primary = await cluster.primary();
  for (const name of Object.keys(filterEdits)) await fill(name);
  await cluster.allServe();
  const { dataDir } = cluster.local.nodes.find(({ id }) => id === primary)!;
  for (const [name, edit] of Object.entries(filterEdits)) edit(name, new ServerFiles(dataDir));
  const all = [...Object.keys(edits), ...Object.keys(filterEdits)];
  const { suspects } = await scrub();
  expect(suspects).toBe(all.length);
  // The primary was wrong, and is outvoted.
  await suspectsAre(primary, all, all);
}, 600_000);

test('a get that is compared with another node finds an edit of a running node', async () => {
  await cluster.stopGateway();
  await cluster.startGateway({ READ_VERIFY_RATIO: '1', RESULT_CACHE_BYTES: '0' });
  await cluster.allServe();
  const id = await fill('compared', 30);
  const read = (): Promise<unknown> =>
    cluster.api.records(id, 'get', { ids: ['r7'], include: ['documents'] });
  for (let count = 0; count < 30; count++) await read();
  const node = cluster.node('node-2');
  const collections = JSON.parse((await node.collections()).text) as { id: string; name: string }[];
  const copy = collections.find(({ name }) => name === 'compared')!;
  expect((await suspectsOf('node-2')).has('compared')).toBe(false);
  await node.records(copy.id, 'update', { ids: ['r7'], documents: ['edited'] });
  await until(async () => {
    await read();
    return (await suspectsOf('node-2')).has('compared');
  }, 'the copy is suspect');
  for (const other of ['node-1', 'node-3']) expect((await suspectsOf(other)).has('compared')).toBe(false);
});

test('a node that was stopped is compared with the others before it serves', async () => {
  const files = (): ServerFiles =>
    new ServerFiles(cluster.local.nodes.find(({ id }) => id === 'node-3')!.dataDir);
  const damages: Readonly<Record<string, (name: string, on: ServerFiles) => void>> = {
    'edited-document': (name, on) => on.editDocument(name, 'r700'),
    'edited-filter-text': (name, on) => on.editFilterText(name, 'r700'),
    'missing-filter-text': (name, on) => on.deleteFilterText(name, 'r700'),
    'edited-type': (name, on) => on.editType(name, 'r700', 'n'),
    'missing-record': (name, on) => on.deleteRecord(name, 'r700'),
    'stray-record': (name, on) => on.addRecord(name, 'stray'),
    'moved-record': (name, on) => on.moveToEnd(name, 'r700'),
    'deleted-index': (name, on) => on.deleteIndex(name),
    'flipped-vector': (name, on) => on.flipVector(name, vectorOf(700)),
    'flipped-index': (name, on) => on.flipIndexIds(name),
    // The same bit in the database file, in a text that only this collection has.
    'flipped-text': (name, on) => on.flipText(`700 of ${name}`),
  };
  const ids = new Map<string, string>();
  for (const name of [...Object.keys(damages), 'untouched']) ids.set(name, await fill(name));
  await cluster.api.records(ids.get('flipped-text')!, 'update', {
    ids: ['r700'],
    documents: ['document 700 of flipped-text'],
  });
  await cluster.allServe();
  await cluster.local.stopNode('node-3');
  for (const [name, damage] of Object.entries(damages)) damage(name, files());
  await until(async () => (await stateOf('node-3')) === 'down', 'the node is away');

  // Reads get what was written, before the node serves and after.
  const stop = new AbortController();
  const wrong: string[] = [];
  const reading = (async () => {
    for (let turn = 0; !stop.signal.aborted; turn++) {
      const name = [...ids.keys()][turn % ids.size]!;
      const include = ['documents', 'metadatas', 'embeddings'];
      const { status, text } = await cluster.api.records(ids.get(name)!, 'get', {
        ids: ['r700', 'stray'],
        include,
      });
      const expected = '"ids":["r700"]';
      if (
        status !== 200 ||
        !text.includes(expected) ||
        !text.includes('document 700') ||
        !text.includes('{"n":700}')
      )
        wrong.push(`${name}: ${status} ${text}`);
    }
  })();
  await cluster.local.startNode('node-3');
  await until(async () => (await stateOf('node-3')) === 'serving', 'the node serves again', 60_000);
  await suspectsAre('node-3', Object.keys(damages), [...ids.keys()]);
  stop.abort();
  await reading;
  expect(wrong).toEqual([]);
  for (const node of ['node-1', 'node-2']) await suspectsAre(node, [], [...ids.keys()]);
  await until(
    async () => {
      const left = await sql(
        cluster,
        `select 1 from polychrome.node_shard where node = 'node-3' and state = 'current' and suspect is not null`,
      );
      return left.length === 0;
    },
    'every copy is healed',
    60_000,
  );
  const contents = await cluster.contents();
  expect(new Set(contents.values()).size).toBe(1);
  const [own] = await sql(
    cluster,
    `select n.physical from polychrome.node_shard n join polychrome.shard s on s.id = n.shard
       where n.node = 'node-3' and n.state = 'current' and s.collection = '${ids.get('missing-filter-text')}'`,
  );
  const filter = { where_document: { $contains: 'document 700' }, include: [] };
  const { text } = await cluster.node('node-3').records(String(own!['physical']), 'get', filter);
  expect(JSON.parse(text).ids).toEqual(['r700']);
});

test.each<[string, string, (files: ServerFiles) => void]>([
  ['whose database file is damaged throughout', 'node-2', (files) => files.flipDatabase()],
  ['whose full-text index has lost its rows', 'node-3', (files) => files.deleteFullTextIndex()],
])(
  'a node %s is emptied and filled anew',
  async (_, id, damage) => {
    await fill(`in-damaged-file-${id}`);
    await cluster.allServe();
    await cluster.local.stopNode(id);
    damage(new ServerFiles(cluster.local.nodes.find((each) => each.id === id)!.dataDir));
    await cluster.local.startNode(id);
    const events = async (kind: string): Promise<number> =>
      (await sql(cluster, `select 1 from polychrome.event where kind = '${kind}' and node = '${id}'`)).length;
    const filledBefore = await events('node_refilled');
    const noticed = async (): Promise<void> => {
      await until(async () => (await events('node_damaged')) > 0, 'the damage is noticed', 120_000);
      await until(async () => (await events('node_refilled')) > filledBefore, 'the node begins again');
    };
    const result = await underLoad(cluster, `beside-${id}`, noticed, REPLAY_MS_MAX);
    expect(result).toEqual({ faults: [], failedWrites: [], failedReads: [] });
    const suspects = `select 1 from polychrome.node_shard
      where node = '${id}' and state = 'current' and suspect is not null`;
    await until(async () => (await sql(cluster, suspects)).length === 0, 'every copy is healed');
    expect(new Set((await cluster.contents()).values()).size).toBe(1);
  },
  REPLAY_MS_MAX + 300_000,
);

// A server that holds data becomes the first node of a new cluster, with its collections under their ids; the others are
// filled, kept or copied anew.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { runAdoption } from '../../src/app/adoption.ts';
import { startGateway } from '../../src/app/gateway.ts';
import { MARKER_PATH } from '../../src/chroma/client/identity.ts';
import { loadConfig } from '../../src/config/config.ts';
import type { AdoptionReport } from '../../src/repair/adoption.ts';
import type { ReportProgress } from '../../src/util/progress.ts';
import type { ChromaHttp } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

const RECORDS = 1_200;
const ADOPT = { ADOPT: 'true', ADOPT_REBUILD: 'node-2', ADOPT_TENANTS: 'acme' };

let cluster: TestCluster;
/** By name: the ids that clients of the single server know. */
const ids = new Map<string, string>();
const refusals: Record<string, unknown> = {};
let dryRun: AdoptionReport;

async function create(server: ChromaHttp, name: string, space: string): Promise<string> {
  const id = await server.create(name, {
    configuration: { hnsw: { space } },
    metadata: { of: name, whole: 1 },
  });
  const all = Array.from({ length: name === 'notes' ? RECORDS : 40 }, (_, index) => index);
  const { status, text } = await server.records(id, 'add', {
    ids: all.map((index) => `r${index}`),
    embeddings: all.map((index) => [index + 0.1, 1, (index % 7) - 3.3]),
    documents: all.map((index) => (index % 5 === 0 ? null : `document ${index}`)),
    metadatas: all.map((index) =>
      index % 4 === 0 ? null : { n: index, third: index / 3, yes: index % 2 === 0 },
    ),
  });
  if (status !== 201) throw new Error(`add: ${status} ${text}`);
  return id;
}

/** The content that both the adopted server and the one that equals it hold. */
async function fill(server: ChromaHttp): Promise<Map<string, string>> {
  const created = new Map<string, string>();
  for (const [name, space] of [
    ['notes', 'l2'],
    ['angles', 'cosine'],
    ['empty', 'ip'],
  ] as const)
    created.set(name, name === 'empty' ? await server.create(name, {}) : await create(server, name, space));
  await server.records(created.get('angles')!, 'delete', { ids: ['r3'] });
  return created;
}

const adoption = (
  settings: Record<string, string> = {},
  report: ReportProgress = () => undefined,
  isDryRun = false,
): Promise<AdoptionReport> =>
  runAdoption(loadConfig({ ...cluster.environment(), ...settings }), { isDryRun, report });

const refusal = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'not refused',
    (error: unknown) => (error as Error).message,
  );

/** An adoption during which something else writes to the server. */
async function adoptionBesideWriter(): Promise<unknown> {
  let written: Promise<unknown> | null = null;
  const body = { ids: ['r7'], documents: ['written beside the adoption'] };
  const message = await refusal(
    adoption({ ...ADOPT, ADOPT_REBUILD: 'node-2,node-4' }, ({ phase, done }) => {
      // After every record of the collection was read for the first time.
      if (phase === 'reading notes' && done >= RECORDS)
        written ??= cluster.node('node-1').records(ids.get('notes')!, 'update', body);
    }),
  );
  await written;
  return message;
}

beforeAll(async () => {
  cluster = await TestCluster.start({
    nodes: 4,
    settings: ADOPT,
    async prepare(prepared) {
      cluster = prepared;
      for (const [name, id] of await fill(cluster.node('node-1'))) ids.set(name, id);
      await fill(cluster.node('node-4'));
      await create(cluster.node('node-2'), 'other', 'l2');
      await cluster.node('node-1').call('POST', '/api/v2/tenants', { name: 'acme' });
      await cluster.node('node-1').call('POST', '/api/v2/tenants/acme/databases', { name: 'sales' });
      dryRun = await adoption({}, undefined, true);
      const start = (settings: Record<string, string>): Promise<unknown> =>
        startGateway(loadConfig({ ...cluster.environment(), ...settings }));
      refusals['without ADOPT'] = await refusal(start({ ADOPT: 'false' }));
      refusals['without ADOPT_REBUILD'] = await refusal(start({ ADOPT_REBUILD: '' }));
      refusals['beside a writer'] = await adoptionBesideWriter();
      refusals['marker'] = (await cluster.node('node-1').call('GET', MARKER_PATH)).status;
      // node-4 is equal again.
      const text = { ids: ['r7'], documents: ['document 7'] };
      await cluster.node('node-1').records(ids.get('notes')!, 'update', text);
    },
  });
}, 120_000);
afterAll(() => cluster.stop());

test('a dry run reports collections, records and other servers, and changes nothing', () => {
  const collections = dryRun.collections.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  expect(collections.map(({ name, records }) => [name, records])).toEqual([
    ['default_tenant/default_database/angles', 39],
    ['default_tenant/default_database/empty', 0],
    ['default_tenant/default_database/notes', RECORDS],
  ]);
  expect(dryRun.hazards).toEqual([]);
  expect(dryRun.others.map(({ node, is }) => [node, is.split(':')[0]])).toEqual([
    ['node-2', 'differs'],
    ['node-3', 'is empty'],
    ['node-4', 'is equal'],
  ]);
});

test('a start is refused without ADOPT, beside other content, and beside another writer', () => {
  expect(refusals).toEqual({
    'without ADOPT': expect.stringContaining('holds data. Set ADOPT=true'),
    'without ADOPT_REBUILD': expect.stringContaining('"node-2" differs'),
    'beside a writer': expect.stringContaining('something else writes to the server'),
    marker: 404,
  });
});

test('collections keep their ids, and every node holds the same while clients write', async () => {
  const notes = ids.get('notes')!;
  for (let n = 0; n < 20; n++) {
    const body = {
      ids: [`r${n}`, `new${n}`],
      embeddings: [
        [n, 0, 1],
        [n, 1, 1],
      ],
      documents: [`again ${n}`, null],
    };
    expect((await cluster.api.records(notes, 'upsert', body)).status).toBe(200);
  }
  expect((await cluster.api.records(notes, 'delete', { ids: ['r100'] })).status).toBe(200);
  await until(
    async () => {
      const left = await sql(
        cluster,
        `select 1 from polychrome.node_shard where suspect is not null and state = 'current'`,
      );
      return left.length === 0;
    },
    'every copy is there',
    60_000,
  );
  await cluster.allServe();
  const listed = JSON.parse((await cluster.api.collections()).text) as { id: string; name: string }[];
  expect(new Map(listed.map(({ id, name }) => [name, id]))).toEqual(ids);
  expect((await cluster.api.records(notes, 'count')).text).toBe(String(RECORDS + 19));
  // Vectors under cosine distance may differ in their last digits (docs/guarantees.md).
  const contents = [...(await cluster.contents()).values()].map((text) =>
    text.replace(/== angles [^]*?(?=== )/, ''),
  );
  expect(new Set(contents).size).toBe(1);
  expect(contents[0]).not.toContain('other');
  expect(contents[0]).toContain('again 19');
});

test('a server with equal content was kept, the others were copied', async () => {
  const rows = await sql<{ node: string; copied: boolean }>(
    cluster,
    `select node, bool_or(copy > 0) as copied from polychrome.node_shard where state = 'current' group by node order by node`,
  );
  expect(rows.map(({ node, copied }) => [node, copied])).toEqual([
    ['node-1', false],
    ['node-2', true],
    ['node-3', true],
    ['node-4', false],
  ]);
});

test('another tenant is adopted, and a later start ignores ADOPT', async () => {
  const path = '/api/v2/tenants/acme/databases/sales/collections';
  expect((await cluster.api.call('POST', path, { name: 'orders' })).status).toBe(200);
  await cluster.stopGateway();
  await cluster.startGateway();
  await cluster.allServe();
  expect(await refusal(adoption(ADOPT))).toContain('is not empty');
});

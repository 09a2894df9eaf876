import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import { Catalog } from './catalog.ts';

const REASON = 'took LSN 7, which is quarantined';
const [COLLECTION, SHARD, NODE] = [randomUUID(), randomUUID(), 'node'];
const PLACE = { tenant: 'default_tenant', database: 'default_database' };
const PEARS = { id: COLLECTION, ...PLACE, name: 'pears', reason: REASON };

let postgres: TestPostgres;
let database: Database;
let catalog: Catalog;
let s: string;

beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

/** The catalog knows the collection and the node, and not yet that the node has a copy. */
beforeEach(async () => {
  database = await postgres.database();
  s = database.schema;
  await database.query(
    `insert into ${s}.collection values ($1, $2, $3, 'pears', 'ready', null, 1, ${s}.next_view())`,
    [COLLECTION, PLACE.tenant, PLACE.database],
  );
  await database.query(`insert into ${s}.shard values ($1, $2, null, 1, false)`, [SHARD, COLLECTION]);
  await database.query(
    `insert into ${s}.node (id, url, incarnation, state, view) values ($1, 'http://node', $2, 'serving', 1)`,
    [NODE, randomUUID()],
  );
  catalog = new Catalog(database);
  await catalog.refresh();
});

const assignShard = (): Promise<unknown> =>
  database.query(
    `insert into ${s}.node_shard (node, shard, physical, name, from_lsn, view)
     values ($1, $2, $3, 'pears', 1, ${s}.next_view())`,
    [NODE, SHARD, randomUUID()],
  );

test('keeps a shard suspect when its row is read without the reason', async () => {
  catalog.markSuspect(NODE, SHARD, REASON);
  await assignShard();
  await catalog.refresh();
  expect(catalog.physical(NODE, SHARD)?.suspect).toBe(REASON);
  expect(catalog.suspects(NODE, 10)).toEqual([PEARS]);
});

test('learns suspect shards from the rows', async () => {
  await assignShard();
  await catalog.refresh();
  expect([catalog.physical(NODE, SHARD)?.suspect, catalog.suspects(NODE, 10)]).toEqual([null, []]);
  await database.query(`update ${s}.node_shard set suspect = $1, view = ${s}.next_view()`, [REASON]);
  await catalog.refresh();
  expect(catalog.physical(NODE, SHARD)?.suspect).toBe(REASON);
  expect(catalog.suspects(NODE, 10)).toEqual([PEARS]);
  expect([catalog.suspects(NODE, 0), catalog.suspects('another', 10)]).toEqual([[], []]);
});

test('keeps a shard of a deleted collection suspect without listing it', async () => {
  await assignShard();
  await catalog.refresh();
  catalog.markSuspect(NODE, SHARD, REASON);
  await database.query(`update ${s}.collection set state = 'deleted', view = ${s}.next_view()`);
  await catalog.refresh();
  expect([catalog.physical(NODE, SHARD), catalog.suspects(NODE, 10)]).toEqual([null, []]);
  expect([catalog.isSuspect(NODE, SHARD), catalog.isSuspect('another', SHARD)]).toEqual([true, false]);
});

test('takes a copy that replaces a suspect one as healthy, and an older row of the suspect one as suspect', async () => {
  await assignShard();
  await catalog.refresh();
  catalog.markSuspect(NODE, SHARD, REASON);
  await database.query(`update ${s}.node_shard set view = ${s}.next_view()`);
  await catalog.refresh();
  expect(catalog.isSuspect(NODE, SHARD)).toBe(true);
  await database.query(`update ${s}.node_shard set state = 'retired', view = ${s}.next_view()`);
  await database.query(
    `insert into ${s}.node_shard (node, shard, physical, name, from_lsn, view, copy)
     values ($1, $2, gen_random_uuid(), 'copy-1', 7, ${s}.next_view(), 1)`,
    [NODE, SHARD],
  );
  await catalog.refresh();
  expect(catalog.isSuspect(NODE, SHARD)).toBe(false);
  expect(catalog.physical(NODE, SHARD)).toMatchObject({ name: 'copy-1', suspect: null });
});

test('is read anew from a server that was promoted without the last changes', async () => {
  await assignShard();
  await catalog.refresh();
  const view = catalog.view;
  catalog.markSuspect(NODE, SHARD, REASON);
  // The promoted server lacks the copy, and numbers other changes with views that this gateway has seen.
  await database.query(`delete from ${s}.node_shard`);
  await database.query(`update ${s}.collection set name = 'plums', view = 1`);
  await database.query(
    `create or replace function ${s}.timeline() returns int language sql as 'select 1000'`,
  );
  await catalog.refresh();
  expect([catalog.view, catalog.collection(COLLECTION)?.name]).toEqual([view, 'plums']);
  expect(catalog.collectionNamed(PLACE.tenant, PLACE.database, 'pears')).toBeNull();
  expect(catalog.physical(NODE, SHARD)).toBeNull();

  await database.query(`update ${s}.collection set state = 'deleted', view = 1`);
  await database.query(`update ${s}.head set view = $1`, [view - 1]);
  await catalog.refresh();
  expect([catalog.view, catalog.collection(COLLECTION)]).toEqual([view - 1, null]);
  expect(catalog.isSuspect(NODE, SHARD)).toBe(true);
});

test('knows the copies of a node that has begun again, also when it learns of them before the beginning', async () => {
  await assignShard();
  await catalog.refresh();
  catalog.forgetNode(NODE);
  expect(catalog.physical(NODE, SHARD)).toBeNull();
  await catalog.refresh();
  expect(catalog.physical(NODE, SHARD)).not.toBeNull();
});

test('reads everything again when a node is forgotten while the catalog is read', async () => {
  const since: unknown[] = [];
  const observed = {
    schema: s,
    query: async (text: string, values: readonly unknown[]) => {
      const rows = await database.query(text, [...values]);
      since.push(values[0]);
      if (since.length === 1) slow.forgetNode(NODE);
      return rows;
    },
  } as unknown as Database;
  const slow = new Catalog(observed);
  await slow.refresh();
  const { view } = slow;
  await slow.refresh();
  await slow.refresh();
  expect(since).toEqual([0, view, 0, view]);
});

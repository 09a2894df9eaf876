import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { takeLease, testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { checksum, type Draft } from '../log/entry.ts';
import { PostgresAppendStore } from '../log/postgres-append-store.ts';
import { PostgresLog } from '../log/postgres-log.ts';
import { NodeStore } from '../nodes/node-store.ts';
import type { Database } from '../postgres/database.ts';
import { Checkpoints } from '../replication/checkpoints.ts';
import { Decisions } from '../replication/decisions.ts';
import { CopyStore } from './copy-store.ts';

const NODE = 'node';
const [COLLECTION, SHARD] = [randomUUID(), randomUUID()];
const [OLD, NEW] = [randomUUID(), randomUUID()];
const NAME = 'copy-1';

let postgres: TestPostgres;
let database: Database;
let store: CopyStore;
let checkpoints: Checkpoints;
let epoch: number;
let generation: number;

beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

const draft = (kind: string, body: string, more: object = {}): Draft => ({
  kind,
  target: COLLECTION,
  header: JSON.stringify({
    shard: SHARD,
    tenant: 'default_tenant',
    database: 'default_database',
    name: 'pears',
    ...more,
  }),
  dimension: null,
  body: Buffer.from(body),
});

/** Appends an entry and decides it. */
async function decided(entry: Draft, outcome: 'accepted' | 'refused' = 'accepted'): Promise<void> {
  const { logId } = await new PostgresLog(database).head();
  const appends = new PostgresAppendStore(database, {
    logId: () => logId,
    takeWarning: () => null,
    seen: () => ({ head: 0, newest: null }),
  });
  await appends.append(randomUUID(), [entry], [checksum(entry)]);
  const { lsn } = await new PostgresLog(database).head();
  const ruling = { outcome, status: 200, body: Buffer.from('{}') };
  await new Decisions(database).record({ epoch, node: NODE, generation }, lsn, ruling);
}

beforeEach(async () => {
  database = await postgres.database();
  epoch = await takeLease(database);
  const nodes = new NodeStore(database);
  await nodes.add(epoch, { id: NODE, url: 'http://node', incarnation: randomUUID(), checkpoint: 0 });
  generation = await nodes.setPrimary(epoch, NODE);
  await decided(draft('create_collection', '{"name":"pears","metadata":{"x":1.0}}'));
  checkpoints = new Checkpoints(database);
  await checkpoints.save(epoch, { id: NODE, resets: 0 }, 1, [
    { shard: SHARD, physical: OLD, name: 'pears', lsn: 1 },
  ]);
  store = new CopyStore(database);
});

const copy = { node: NODE, shard: SHARD, name: NAME };

/** A copy that is complete but not in use. */
async function complete(): Promise<number> {
  const number = await store.begin(epoch, { ...copy, physical: randomUUID() });
  await store.created(epoch, copy, { physical: NEW, fromLSN: 1 });
  await store.marked(epoch, NODE, number);
  return number;
}

test('puts a copy into use and retires the one it replaces, which is forgotten once it is dropped', async () => {
  await checkpoints.suspect(epoch, NODE, SHARD, 'differs');
  const number = await complete();
  expect(await store.swap(epoch, { ...copy, physical: NEW }, 7)).toBe(true);
  expect((await checkpoints.assigned(NODE)).get(SHARD)).toEqual({
    physical: NEW,
    tenant: 'default_tenant',
    database: 'default_database',
    name: NAME,
    fromLSN: 7,
    copy: number,
    suspect: null,
  });
  const [retired] = await store.aside();
  expect(retired).toMatchObject({ physical: OLD, name: 'pears', state: 'retired' });
  expect(await store.isAside(NODE, OLD)).toBe(true);
  await store.rename(epoch, retired!, 'copy-2');
  await store.dropped(epoch, retired!);
  expect(await store.aside()).toEqual([]);
});

test('a node that begins at a later LSN has a suspect copy of every shard that exists there', async () => {
  const nodes = new NodeStore(database);
  const begin = (checkpoint: number): Promise<void> =>
    nodes.add(epoch, { id: 'other', url: 'http://other', incarnation: randomUUID(), checkpoint });
  await begin(1);
  expect([...(await checkpoints.assigned('other'))]).toMatchObject([
    [SHARD, { name: 'pears', suspect: 'not copied to the node yet', copy: 0 }],
  ]);
  // From the first entry of the log on, it creates them itself.
  await begin(0);
  expect((await checkpoints.assigned('other')).size).toBe(0);
});

describe('does not put a copy into use', () => {
  const swap = (at = epoch): Promise<boolean> => store.swap(at, { ...copy, physical: NEW }, 7);

  test('before the marker is known to hold its number', async () => {
    await store.begin(epoch, { ...copy, physical: randomUUID() });
    await store.created(epoch, copy, { physical: NEW, fromLSN: 1 });
    expect(await swap()).toBe(false);
  });

  test('that was abandoned', async () => {
    await complete();
    await store.abandon(epoch, { ...copy, physical: NEW }, 'a call had no response');
    expect(await swap()).toBe(false);
    expect((await store.aside())[0]).toMatchObject({ abandoned: 'a call had no response' });
  });

  test('of a shard that the node has dropped', async () => {
    await complete();
    await checkpoints.save(epoch, { id: NODE, resets: 0 }, 2, [
      { shard: SHARD, physical: null, name: null, lsn: 2 },
    ]);
    expect(await swap()).toBe(false);
  });

  test('under an epoch that is over', async () => {
    await complete();
    expect(await swap(epoch - 1)).toBe(false);
  });
});

test('changes nothing under an epoch that is over', async () => {
  await complete();
  const before = await store.aside();
  const over = epoch - 1;
  await expect(store.begin(over, { ...copy, physical: randomUUID() })).rejects.toThrow('lease');
  await expect(store.created(over, copy, { physical: OLD, fromLSN: 9 })).rejects.toThrow('lease');
  await expect(store.abandon(over, { ...copy, physical: NEW }, 'x')).rejects.toThrow('lease');
  await expect(store.rename(over, { ...copy, physical: NEW }, 'x')).rejects.toThrow('lease');
  await expect(store.dropped(over, { ...copy, physical: NEW })).rejects.toThrow('lease');
  await expect(store.marked(over, NODE, 9)).rejects.toThrow('lease');
  const unaged = (copies: typeof before): object[] => copies.map((each) => ({ ...each, ageMs: 0 }));
  expect(unaged(await store.aside())).toEqual(unaged(before));
});

test('keeps the body of a create and what later modifications replaced', async () => {
  const modify = (body: string, replaces?: string[], outcome?: 'refused'): Promise<void> =>
    decided(draft('modify_collection', body, { shards: [SHARD], new_name: null, replaces }), outcome);
  await modify('{"new_metadata":{"a":1}}', ['metadata']);
  await modify('{"new_configuration":{"hnsw":{"ef_search":50}}}', ['configuration']);
  await modify('{"new_metadata":{"a":2}}', ['metadata']);
  await modify('{"new_name":"plums"}', []);
  await modify('{"new_metadata":{"a":3}}', ['metadata'], 'refused');
  const bodies = (await store.bodies(COLLECTION)).map(({ body }) => body.toString());
  expect(bodies).toEqual([
    '{"name":"pears","metadata":{"x":1.0}}',
    '{"new_configuration":{"hnsw":{"ef_search":50}}}',
    '{"new_metadata":{"a":2}}',
  ]);
  await store.keepBody(COLLECTION, 1, Buffer.from('{}'));
  expect((await store.bodies(COLLECTION))[0]!.body.toString()).toContain('pears');
});

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { takeLease, testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { NodeStore } from '../nodes/node-store.ts';
import type { Database } from '../postgres/database.ts';
import { Checkpoints } from './checkpoints.ts';
import { PostgresTrialStore, type Failure, type FailureKind, type StoredAttempts } from './trials.ts';

let postgres: TestPostgres;
let database: Database;
let store: PostgresTrialStore;

beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

let epoch: number;
beforeEach(async () => {
  database = await postgres.database();
  store = new PostgresTrialStore(database);
  epoch = await takeLease(database);
  const nodes = new NodeStore(database);
  for (const id of ['a', 'b'])
    await nodes.add(epoch, { id, url: `http://${id}`, incarnation: randomUUID(), checkpoint: 0 });
});

function failure(kind: FailureKind = 'response', detail = 'no'): Failure {
  return { kind, status: kind === 'response' ? 500 : 0, body: Buffer.from(detail) };
}

/** Attempts at LSN 7 on node a, unless stated otherwise. */
function stored(count: number, other: Partial<StoredAttempts> = {}): StoredAttempts {
  const counts = { attempts: count, alone: count - 1 };
  return { lsn: 7, node: 'a', ...counts, failure: failure(), appliedRecords: 0, ...other };
}

test('attempts are read back as they were saved', async () => {
  await store.save(epoch, [stored(2), stored(3, { lsn: 8 })]);
  await store.save(epoch, [stored(1, { node: 'b', failure: failure('hung') })]);
  const loaded = await store.load();
  const seen = loaded.map(({ lsn, node, attempts: count, alone }) => ({ lsn, node, count, alone }));
  expect(seen).toHaveLength(3);
  expect(seen).toEqual(
    expect.arrayContaining([
      { lsn: 7, node: 'a', count: 2, alone: 1 },
      { lsn: 7, node: 'b', count: 1, alone: 0 },
      { lsn: 8, node: 'a', count: 3, alone: 2 },
    ]),
  );
  expect(loaded.find(({ node }) => node === 'b')?.failure).toEqual({
    kind: 'hung',
    status: 0,
    body: Buffer.from('no'),
  });
});

test('a later attempt replaces the earlier one of the same node and entry', async () => {
  await store.save(epoch, [stored(1)]);
  await store.save(epoch, [stored(2, { failure: failure('died') })]);
  const [row, ...others] = await store.load();
  expect(others).toEqual([]);
  expect(row).toMatchObject({ attempts: 2, failure: { kind: 'died' } });
});

test('attempts from before further records were applied do not count', async () => {
  await store.save(epoch, [stored(4)]);
  await store.save(epoch, [stored(0, { alone: 0, appliedRecords: 512 })]);
  await store.save(epoch, [stored(5)]);
  await store.save(epoch, [stored(2, { appliedRecords: 512 })]);
  expect(await store.load()).toMatchObject([{ lsn: 7, attempts: 2, alone: 1, appliedRecords: 512 }]);
});

test('nothing is saved when the lease has moved on', async () => {
  await store.save(epoch + 1, [stored(1)]);
  expect(await store.load()).toEqual([]);
});

test('does not load attempts of entries that their node has gone past', async () => {
  for (const node of ['a', 'b scratch'])
    await store.save(epoch, [stored(1, { node }), stored(1, { node, lsn: 8 })]);
  const checkpoints = new Checkpoints(database);
  await checkpoints.save(epoch, { id: 'a', resets: 0 }, 7, []);
  const loaded = async (): Promise<string[]> => (await store.load()).map(({ node, lsn }) => `${node} ${lsn}`);
  expect(await loaded()).toEqual(['b scratch 7', 'a 8', 'b scratch 8']);
  await checkpoints.save(epoch, { id: 'b', resets: 0 }, 9, []);
  expect(await loaded()).toEqual(['a 8']);
});

test('a response that PostgreSQL cannot store as text is kept without what it cannot, and cut', async () => {
  await store.save(epoch, [stored(1, { failure: failure('response', `\0bad${'x'.repeat(1_000)}`) })]);
  const [row] = await store.load();
  expect(row?.failure.body.toString()).toMatch(/^badx{200,300}$/);
});

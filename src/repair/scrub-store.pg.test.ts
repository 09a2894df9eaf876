import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { takeLease, testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { ScrubStore } from './scrub-store.ts';

let epoch = 0;
const NOTHING = { shards: 0, records: 0, uncompared: 0, suspects: 0, skipped: 0 };

let postgres: TestPostgres;
let store: ScrubStore;

beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

beforeEach(async () => {
  const database = await postgres.database();
  store = new ScrubStore(database);
  epoch = await takeLease(database);
});

test('a new cluster has no pass in progress and none requested', async () => {
  const state = await store.load();
  expect(state).toMatchObject({ cursor: null, isPaused: false, isRequested: false, counts: NOTHING });
  expect(state.finishedAt).not.toBeNull();
  expect(state.idleMs).toBeGreaterThanOrEqual(0);
});

test('keeps the position and the counts of a pass, and resets them with the next', async () => {
  await store.request();
  expect((await store.load()).isRequested).toBe(true);
  await store.begin(epoch);
  const shard = randomUUID();
  await store.advance(epoch, shard, { records: 10, uncompared: 1, suspects: 2, skipped: 0 });
  await store.advance(epoch, shard, { records: 5, uncompared: 0, suspects: 0, skipped: 1 });
  expect(await store.load()).toMatchObject({
    cursor: shard,
    finishedAt: null,
    idleMs: null,
    isRequested: false,
    counts: { shards: 2, records: 15, uncompared: 1, suspects: 2, skipped: 1 },
  });
  await store.request();
  await store.finish(epoch);
  expect(await store.load()).toMatchObject({ isRequested: true, counts: { shards: 2 } });
  await store.begin(epoch);
  expect(await store.load()).toMatchObject({ cursor: null, isRequested: false, counts: NOTHING });
});

test('is paused and resumed by any gateway', async () => {
  await store.setPaused(true);
  expect((await store.load()).isPaused).toBe(true);
  await store.setPaused(false);
  expect((await store.load()).isPaused).toBe(false);
});

test('refuses steps of a leader whose lease has moved on', async () => {
  await expect(store.begin(epoch + 1)).rejects.toThrow('another gateway holds the lease');
  await expect(store.advance(epoch + 1, randomUUID(), { ...NOTHING })).rejects.toThrow('another gateway');
  await expect(store.finish(epoch + 1)).rejects.toThrow('another gateway');
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { postgresLeaseStore, type LeaseStore } from './lease.ts';

let postgres: TestPostgres;
let store: LeaseStore;

beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = postgresLeaseStore(await postgres.database(8));
});

describe('the lease in PostgreSQL', () => {
  test('is acquired by one of many concurrent challengers', async () => {
    const seen = await store.read();
    const epochs = await Promise.all(Array.from({ length: 8 }, (_, n) => store.acquire(`g${n}`, seen)));
    expect(epochs.filter((epoch) => epoch !== null)).toEqual([1]);
    expect((await store.read()).holder).toBe(`g${epochs.indexOf(1)}`);
  });

  test('is acquired by one of many that watched a holder disappear', async () => {
    await store.acquire('gone', await store.read());
    const seen = await store.read();
    const epochs = await Promise.all(Array.from({ length: 8 }, (_, n) => store.acquire(`g${n}`, seen)));
    expect(epochs.filter((epoch) => epoch !== null)).toEqual([2]);
  });

  test('stays with a holder that has renewed since it was read', async () => {
    await store.acquire('holder', await store.read());
    const seen = await store.read();
    expect(await store.renew(1)).toBe(true);
    expect(await store.acquire('other', seen)).toBe(null);
    expect(await store.read()).toEqual({ epoch: 1, holder: 'holder', renewal: 1 });
  });

  test('cannot be renewed or released under an old epoch', async () => {
    await store.acquire('one', await store.read());
    await store.acquire('two', await store.read());
    expect(await store.renew(1)).toBe(false);
    await store.release(1);
    expect(await store.read()).toEqual({ epoch: 2, holder: 'two', renewal: 0 });
  });

  test('is free at once when released, and cannot be renewed by its last holder', async () => {
    const before = await store.read();
    await store.acquire('one', before);
    await store.release(1);
    expect(await store.renew(1)).toBe(false);
    expect(await store.acquire('two', before)).toBe(2);
  });
});

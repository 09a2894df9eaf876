import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import { postgresLeaseStore, type LeaseStore } from './lease.ts';
import { generationOf } from './term.ts';

let postgres: TestPostgres;
let database: Database;
let store: LeaseStore;

const generations = (epochs: readonly (number | null)[]): number[] =>
  epochs.filter((epoch) => epoch !== null).map(generationOf);

beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  database = await postgres.database(8);
  store = postgresLeaseStore(database);
});

describe('the lease in PostgreSQL', () => {
  test('is acquired by one of many concurrent challengers', async () => {
    const seen = await store.read();
    const epochs = await Promise.all(Array.from({ length: 8 }, (_, n) => store.acquire(`g${n}`, seen)));
    expect(generations(epochs)).toEqual([1]);
    expect((await store.read()).holder).toBe(`g${epochs.findIndex((epoch) => epoch !== null)}`);
  });

  test('is acquired by one of many that watched a holder disappear', async () => {
    await store.acquire('gone', await store.read());
    const seen = await store.read();
    const epochs = await Promise.all(Array.from({ length: 8 }, (_, n) => store.acquire(`g${n}`, seen)));
    expect(generations(epochs)).toEqual([2]);
  });

  test('stays with a holder that has renewed since it was read', async () => {
    const epoch = (await store.acquire('holder', await store.read()))!;
    const seen = await store.read();
    expect(await store.renew(epoch)).toBe(true);
    expect(await store.acquire('other', seen)).toBe(null);
    expect(await store.read()).toEqual({ epoch, holder: 'holder', renewal: 1 });
  });

  test('cannot be renewed or released under an old epoch', async () => {
    const old = (await store.acquire('one', await store.read()))!;
    const epoch = await store.acquire('two', await store.read());
    expect(await store.renew(old)).toBe(false);
    await store.release(old);
    expect(await store.read()).toEqual({ epoch, holder: 'two', renewal: 0 });
  });

  test('issues another epoch for a term that PostgreSQL has forgotten (R15)', async () => {
    const forgotten = (await store.acquire('one', await store.read()))!;
    // A failover to a standby that did not have the acquisition yet.
    await database.query(`update ${database.schema}.lease set epoch = 0, holder = null, renewal = 0`);
    const epoch = (await store.acquire('two', await store.read()))!;
    expect([generationOf(epoch), generationOf(forgotten)]).toEqual([1, 1]);
    expect(epoch).not.toBe(forgotten);
    expect(await store.renew(forgotten)).toBe(false);
  });

  test('is free at once when released, and cannot be renewed by its last holder', async () => {
    const before = await store.read();
    const epoch = (await store.acquire('one', before))!;
    await store.release(epoch);
    expect(await store.renew(epoch)).toBe(false);
    expect(generations([await store.acquire('two', before)])).toEqual([2]);
  });
});

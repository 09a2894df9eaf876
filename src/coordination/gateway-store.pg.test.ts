import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sleep, systemClock } from '../util/clock.ts';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import { ClusterSnapshots } from './cluster-snapshot.ts';
import { GatewayStore } from './gateway-store.ts';

let postgres: TestPostgres;
let database: Database;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  database = await postgres.database(8);
});

const gateway = (id: string) => ({ id, address: `http://${id}`, version: '1' });

describe('registered gateways', () => {
  test('of those that start together, all but one see another', async () => {
    const store = new GatewayStore(database, 60_000);
    const others = await Promise.all(['a', 'b', 'c', 'd'].map((id) => store.register(gateway(id))));
    expect(others.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3]);
    expect((await new ClusterSnapshots(database, 'a', 60_000).read()).otherGateways).toBe(3);
    expect((await store.list()).map(({ id }) => id).toSorted()).toEqual(['a', 'b', 'c', 'd']);
  });

  test('one that was not seen for long counts no more, and has to register again', async () => {
    const store = new GatewayStore(database, 1);
    await store.register(gateway('a'));
    await sleep(systemClock, 20);
    expect(await store.seen('a', 3)).toBe(false);
    expect(await store.list()).toEqual([]);
    expect(await store.register(gateway('b'))).toBe(0);
  });

  test('one that stops is gone at once', async () => {
    const store = new GatewayStore(database, 60_000);
    await store.register(gateway('a'));
    expect(await store.seen('a', 3)).toBe(true);
    expect(await store.list()).toMatchObject([{ id: 'a', nodesReached: 3 }]);
    await store.leave('a');
    expect(await store.list()).toEqual([]);
  });
});

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
    const registered = await Promise.all(['a', 'b', 'c', 'd'].map((id) => store.register(gateway(id))));
    const byNumber = registered.toSorted((a, b) => a.number - b.number);
    expect(byNumber.map(({ others }) => others)).toEqual([0, 1, 2, 3]);
    const snapshot = await new ClusterSnapshots(database, 'a', 60_000).read();
    const [own, ...others] = registered.map(({ number }) => number);
    expect(own).toBeGreaterThan(0);
    expect(snapshot).toMatchObject({ otherGateways: 3, newestGateway: Math.max(...others) });
    expect((await store.list()).map(({ id }) => id).toSorted()).toEqual(['a', 'b', 'c', 'd']);
  });

  test('one that was not seen for long counts no more, and has to register again', async () => {
    const store = new GatewayStore(database, 1);
    await store.register(gateway('a'));
    await sleep(systemClock, 20);
    expect(await store.seen('a', { nodesReached: 3, knows: 7 })).toBe(false);
    expect(await store.list()).toEqual([]);
    expect(await store.register(gateway('b'))).toMatchObject({ others: 0 });
  });

  test('one that stops is gone at once', async () => {
    const store = new GatewayStore(database, 60_000);
    await store.register(gateway('a'));
    expect(await store.seen('a', { nodesReached: 3, knows: 7 })).toBe(true);
    expect(await store.list()).toMatchObject([{ id: 'a', nodesReached: 3, knows: 7 }]);
    await store.leave('a');
    expect(await store.list()).toEqual([]);
  });
});

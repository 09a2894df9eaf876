import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { SlowRequestStore } from '../history/slow-request-store.ts';
import type { Database } from '../postgres/database.ts';
import { AlertStore, type NewAlert } from './alert-store.ts';

let postgres: TestPostgres;
let database: Database;
let store: AlertStore;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  database = await postgres.database();
  store = new AlertStore(database);
});

const alert = (key: string, gateway: string | null = null): NewAlert => {
  return { key, kind: 'node_down', gateway, sinceMs: 1_000, detail: 'a: refused' };
};

test('of several gateways one opens an alert, and one closes it', async () => {
  const opened = await Promise.all([1, 2, 3].map(() => store.open(alert('node_down:a'))));
  expect(opened.filter(Boolean)).toHaveLength(1);
  expect(await store.listOpen(null)).toEqual([
    { key: 'node_down:a', kind: 'node_down', since: new Date(1_000), detail: 'a: refused' },
  ]);
  const closed = await Promise.all([1, 2, 3].map(() => store.close('node_down:a')));
  expect(closed.filter(Boolean)).toHaveLength(1);
  expect(await store.listOpen(null)).toEqual([]);
});

test('a closed alert can be opened again', async () => {
  await store.open(alert('lag:a'));
  await store.close('lag:a');
  expect(await store.open(alert('lag:a'))).toBe(true);
});

test('lists alerts of gateways that still exist', async () => {
  await store.open(alert('memory:g', 'g'));
  await store.open(alert('memory:gone', 'gone'));
  await store.open(alert('node_down:a'));
  await database.query(`update ${database.schema}.alert set seen_at = seen_at - interval '10 minutes'`);
  expect((await store.listOpen('g')).map(({ key }) => key)).toEqual(['memory:g']);
  expect((await store.listAll()).map(({ key }) => key)).toEqual(['memory:g', 'node_down:a']);
});

test('forgets old alerts, but not open ones about the cluster', async () => {
  for (const [key, gateway] of [
    ['node_down:a', null],
    ['node_down:b', null],
    ['cpu:g', 'g'],
  ] as const)
    await store.open(alert(key, gateway));
  await store.close('node_down:b');
  await database.query(
    `update ${database.schema}.alert set opened_at = opened_at - interval '31 days', closed_at = closed_at - interval '31 days'`,
  );
  await store.forgetOld();
  expect((await database.query(`select key from ${database.schema}.alert`)).map(({ key }) => key)).toEqual([
    'node_down:a',
  ]);
});

test('keeps slow requests, lists the newest or the slowest, and forgets the oldest', async () => {
  const requests = new SlowRequestStore(database, 'g');
  const request = (ms: number, at = Date.now()): Parameters<SlowRequestStore['append']>[0][number] => {
    return { at, route: 'query', collection: 'c', status: null, ms, shape: { bytes: 10, n_results: 3 } };
  };
  await requests.append([request(2_000), request(9_000), request(1_500, Date.now() - 7_200_000)]);
  const list = async (bySlowest: boolean, sinceMs: number): Promise<number[]> =>
    (await requests.list({ sinceMs, bySlowest, limit: 10 })).map(({ ms }) => ms);
  expect(await list(true, 86_400_000)).toEqual([9_000, 2_000, 1_500]);
  expect(await list(false, 3_600_000)).toEqual([9_000, 2_000]);
  expect(await requests.list({ sinceMs: 3_600_000, bySlowest: true, limit: 1 })).toMatchObject([
    { route: 'query', collection: 'c', status: null, gateway: 'g', shape: { bytes: 10, n_results: 3 } },
  ]);
  await database.query(`alter table ${database.schema}.slow_request alter column id restart with 20000`);
  await requests.append([request(1_100)]);
  await requests.append([request(1_200)]);
  expect(await list(false, 86_400_000)).toEqual([1_200, 1_100]);
});

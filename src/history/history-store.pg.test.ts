import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import type { HistoryPoint } from './history-point.ts';
import { HistoryStore } from './history-store.ts';

let postgres: TestPostgres;
let database: Database;
let store: HistoryStore;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  database = await postgres.database();
  store = new HistoryStore(database);
});

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = Date.UTC(2026, 10, 28, 12);

function point(at: number, parts: Partial<HistoryPoint> = {}): HistoryPoint {
  return {
    at,
    gateway: 'g',
    requests: 10,
    failed: 1,
    reads: [1, 2, 0],
    writes: [0, 0, 3],
    memoryBytes: 100,
    memoryPercent: 1.5,
    cpuPercent: 20,
    nodes: [{ node: 'a', serving: 1, lagEntries: 2, lagMs: 3, suspects: 0, calls: [4, 0, 0] }],
    data: { head: 7, logBytes: 8, databaseBytes: null, collections: 9, records: 10, indexBytes: 11 },
    ...parts,
  };
}

const counted = async (step: 10 | 300 | 3_600): Promise<number[]> => {
  const { gateways, nodes, data } = await store.read({ fromMs: 0, toMs: START + 100 * DAY, step });
  return [gateways.length, nodes.length, data.length];
};

test('reads what was stored, in the order of time, and keeps the first of two points for one step', async () => {
  await store.append([point(START + 10_000), point(START, { gateway: 'h', nodes: [], data: null })]);
  await store.append([point(START + 10_000, { requests: 99 })]);
  const { gateways, nodes, data } = await store.read({ fromMs: START, toMs: START + 20_000, step: 10 });
  expect(gateways).toEqual([
    expect.objectContaining({ atMs: START, gateway: 'h' }),
    {
      atMs: START + 10_000,
      gateway: 'g',
      requests: 10,
      failed: 1,
      reads: [1, 2, 0],
      writes: [0, 0, 3],
      memoryBytes: 100,
      memoryPercent: 1.5,
      cpuPercent: 20,
    },
  ]);
  expect(nodes).toEqual([
    { atMs: START + 10_000, node: 'a', serving: 1, lagEntries: 2, lagMs: 3, suspects: 0, calls: [4, 0, 0] },
  ]);
  expect(data).toEqual([{ ...point(0).data, atMs: START + 10_000 }]);
  expect((await store.read({ fromMs: START, toMs: START + 10_000, step: 10 })).nodes).toEqual([]);
});

test('adds up steps that have ended: counts and histograms as sums, lag as the largest, service as a share', async () => {
  const points = Array.from({ length: 31 }, (_each, n) =>
    point(START + n * 10_000, {
      nodes: [{ node: 'a', serving: n < 15 ? 0 : 1, lagEntries: n, lagMs: n, suspects: 0, calls: [1, 1, 0] }],
      data: { head: n, logBytes: null, databaseBytes: n, collections: 1, records: n, indexBytes: n },
    }),
  );
  await store.append(points);
  await store.rollUp(START + 310_000);
  await store.rollUp(START + 310_000);
  const rolled = await store.read({ fromMs: START, toMs: START + HOUR, step: 300 });
  expect(rolled).toEqual({
    gateways: [
      expect.objectContaining({
        atMs: START,
        requests: 300,
        failed: 30,
        reads: [30, 60, 0],
        writes: [0, 0, 90],
      }),
    ],
    nodes: [
      { atMs: START, node: 'a', serving: 0.5, lagEntries: 29, lagMs: 29, suspects: 0, calls: [30, 30, 0] },
    ],
    data: [
      {
        atMs: START,
        head: 29,
        logBytes: null,
        databaseBytes: 29,
        collections: 1,
        records: 29,
        indexBytes: 29,
      },
    ],
  });
  expect(await counted(3_600)).toEqual([0, 0, 0]);
});

test('takes up what a gateway stores late, and adds up hours from what it has added up before', async () => {
  await store.append([point(START)]);
  await store.rollUp(START + HOUR);
  await store.append([point(START + 10_000)]);
  await store.rollUp(START + HOUR + 300_000);
  const { gateways } = await store.read({ fromMs: START, toMs: START + HOUR, step: 3_600 });
  expect(gateways).toMatchObject([{ atMs: START, requests: 20, reads: [2, 4, 0] }]);
});

test('forgets points by their kind and step', async () => {
  await store.append([point(START)]);
  await store.rollUp(START + HOUR);
  const retention = { health: 3, performance: 10 };
  const after = async (days: number): Promise<number[][]> => {
    await store.forgetOld(START + days * DAY + 1, retention);
    return [await counted(10), await counted(300), await counted(3_600)];
  };
  const kept = [1, 1, 1];
  expect(await after(0.9)).toEqual([kept, kept, kept]);
  expect(await after(1)).toEqual([[0, 0, 0], kept, kept]);
  expect(await after(3)).toEqual([
    [0, 0, 0],
    [1, 0, 1],
    [1, 0, 1],
  ]);
  expect(await after(7)).toEqual([
    [0, 0, 0],
    [0, 0, 0],
    [1, 0, 1],
  ]);
  expect(await after(10)).toEqual([
    [0, 0, 0],
    [0, 0, 0],
    [0, 0, 0],
  ]);
});

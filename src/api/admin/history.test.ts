import { expect, test } from 'vitest';
import type { HistoryRows } from '../../history/history-store.ts';
import { historyColumns, rangeOf } from './history.ts';

const NOW = Date.UTC(2026, 10, 28, 12, 0, 7);
const range = (query: string): ReturnType<typeof rangeOf> => rangeOf(new URLSearchParams(query), NOW);
const at = (time: string): number => Date.parse(`2026-11-28T${time}Z`);

test('a range has whole steps, and the finest resolution that is stored and has at most 1,000 values', () => {
  expect(range('')).toEqual({ step: 10, fromMs: at('11:00:00'), toMs: at('12:00:10') });
  expect(range('range=2h').step).toBe(10);
  expect(range('range=3h').step).toBe(300);
  expect(range('range=3d').step).toBe(300);
  expect(range('range=30d').step).toBe(3_600);
  expect(range('range=6h&resolution=10s').step).toBe(10);
  const old = 'from=2026-11-26T10:00:00Z&to=2026-11-26T11:00:00Z';
  expect(range(old).step).toBe(300);
  expect(range(`from=${at('11:30:00')}`)).toEqual({ step: 10, fromMs: at('11:30:00'), toMs: at('12:00:10') });
});

test.each([
  ['from=yesterday', 'from must be a time'],
  ['range=1y', 'range must be a duration'],
  ['resolution=1s', 'resolution must be one of'],
  ['from=2026-11-29T00:00:00Z', 'from must be before to'],
  ['range=1d&resolution=10s', 'at most 5000 values'],
])('%s is refused', (query, message) => {
  expect(() => range(query)).toThrow(message);
});

const gateway = (atMs: number, parts: Partial<HistoryRows['gateways'][number]> = {}) => ({
  atMs,
  gateway: 'g',
  requests: 20,
  failed: 0,
  reads: [10, 0],
  writes: [0, 0],
  memoryBytes: 5,
  memoryPercent: 1,
  cpuPercent: 2,
  ...parts,
});

test('columns have a value for each step: null where nothing was recorded, requests of all gateways together', () => {
  const fromMs = at('12:00:00');
  const rows: HistoryRows = {
    gateways: [
      gateway(fromMs),
      gateway(fromMs, { gateway: 'h', failed: 10, reads: [0, 10] }),
      gateway(fromMs + 20_000, { requests: 0, reads: [0, 0] }),
    ],
    nodes: [
      { atMs: fromMs + 20_000, node: 'a', serving: 0.5, lagEntries: 3, lagMs: 9, suspects: 1, calls: [5, 0] },
    ],
    data: [
      { atMs: fromMs, head: 7, logBytes: 1, databaseBytes: null, collections: 2, records: 3, indexBytes: 4 },
    ],
  };
  const columns = historyColumns(rows, { fromMs, toMs: fromMs + 30_000, step: 10 });
  expect(columns).toMatchObject({
    from: '2026-11-28T12:00:00.000Z',
    to: '2026-11-28T12:00:30.000Z',
    resolutionSeconds: 10,
    times: [fromMs / 1_000, fromMs / 1_000 + 10, fromMs / 1_000 + 20],
    requests: {
      perSecond: [4, null, 0],
      failedPerSecond: [1, null, 0],
      reads: { perSecond: [2, null, 0], p50Ms: [0.5, null, null], p99Ms: [0.99, null, null] },
      writes: { perSecond: [0, null, 0], p50Ms: [null, null, null] },
    },
    nodes: {
      a: {
        serving: [null, null, 0.5],
        lagMs: [null, null, 9],
        suspects: [null, null, 1],
        callsPerSecond: [null, null, 0.5],
      },
    },
    gateways: { g: { requestsPerSecond: [2, null, 0] }, h: { requestsPerSecond: [2, null, null] } },
    data: { head: [7, null, null], logBytes: [1, null, null], databaseBytes: [null, null, null] },
  });
});

test('lists the 20 gateways that were seen last', () => {
  const gateways = Array.from({ length: 25 }, (_each, n) => gateway(n * 10_000, { gateway: `g${n}` }));
  const columns = historyColumns({ gateways, nodes: [], data: [] }, { fromMs: 0, toMs: 250_000, step: 10 });
  expect(Object.keys(columns.gateways).sort()).toEqual(
    gateways
      .slice(5)
      .map(({ gateway: id }) => id)
      .sort(),
  );
});

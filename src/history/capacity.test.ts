import { expect, test } from 'vitest';
import { capacityOf, indexBytesOf, type CapacityLimits } from './capacity.ts';
import type { HistoryDataRow } from './history-store.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;
const START = Date.UTC(2026, 10, 1);
const NO_LIMITS: CapacityLimits = {
  nodeMemoryBytes: null,
  nodeDiskBytes: null,
  databaseBytes: null,
  logBytes: null,
};

/** Ten days, hour by hour; `indexBytes` grows by 100 a day from 1,000, records by 10 from 50. */
const growing = (hours = 240): HistoryDataRow[] =>
  Array.from({ length: hours + 1 }, (_each, hour) => ({
    atMs: START + hour * HOUR,
    head: hour,
    logBytes: null,
    databaseBytes: 5_000,
    collections: 1,
    records: 50 + (10 * hour) / 24,
    indexBytes: 1_000 + (100 * hour) / 24,
  }));
const NOW = START + 10 * DAY;
const resource = (rows: HistoryDataRow[], limits: Partial<CapacityLimits>, name: string) =>
  capacityOf(rows, { ...NO_LIMITS, ...limits }, NOW)?.resources.find((each) => each.resource === name);

test('states size, growth a day, and the date at which the limit is reached', () => {
  expect(capacityOf(growing(), NO_LIMITS, NOW)).toMatchObject({
    at: new Date(NOW).toISOString(),
    records: 150,
    recordsPerDay: 10,
  });
  // 2,000 bytes now; 500 more in five days.
  expect(resource(growing(), { nodeMemoryBytes: 2_500 }, 'node_memory')).toEqual({
    resource: 'node_memory',
    basis: expect.stringContaining('records × (4 × dimension + 144) bytes') as string,
    bytes: 2_000,
    bytesPerDay: 100,
    limitBytes: 2_500,
    limitReached: '2026-11-16',
    advice: 'Give every node more memory, or delete collections.',
  });
  expect(resource(growing(), { nodeDiskBytes: 12_000 }, 'node_disk')).toMatchObject({
    bytes: 8_000,
    bytesPerDay: 400,
    limitReached: '2026-11-21',
  });
});

test('gives no advice for a date that is far away, and no date beyond ten years', () => {
  expect(resource(growing(), { nodeMemoryBytes: 20_000 }, 'node_memory')).toMatchObject({
    limitReached: '2027-05-10',
    advice: null,
  });
  expect(resource(growing(), { nodeMemoryBytes: 1e9 }, 'node_memory')).toMatchObject({ limitReached: null });
});

test('predicts nothing from less than a day, nor for what does not grow', () => {
  expect(resource(growing(23), { nodeMemoryBytes: 2_500 }, 'node_memory')).toMatchObject({
    bytesPerDay: null,
    limitReached: null,
  });
  expect(resource(growing(24), { nodeMemoryBytes: 2_500 }, 'node_memory')).toMatchObject({
    bytesPerDay: 100,
  });
  expect(resource(growing(), { databaseBytes: 6_000 }, 'database')).toMatchObject({
    bytesPerDay: 0,
    limitReached: null,
  });
});

test('a limit that is exceeded was reached today', () => {
  expect(resource(growing(), { databaseBytes: 4_000 }, 'database')).toMatchObject({
    limitReached: '2026-11-11',
    advice: expect.any(String) as string,
  });
});

test('leaves out what was never measured, and is null without any size', () => {
  expect(resource(growing(), {}, 'log')).toBeUndefined();
  expect(capacityOf([], NO_LIMITS, NOW)).toBeNull();
});

test('an index needs the vectors, links and labels; a collection without vectors nothing', () => {
  expect(indexBytesOf(1_000, 128)).toBe(1_000 * (512 + 144));
  expect(indexBytesOf(1_000, null)).toBe(0);
});

// When the room for the data ends: its size, its growth a day, and the date at which a limit is reached. Pure.

import type { HistoryDataRow } from './history-store.ts';

export type CapacityResource = 'node_memory' | 'node_disk' | 'database' | 'log';

export interface CapacityLimits {
  /** Null: not known. */
  readonly nodeMemoryBytes: number | null;
  readonly nodeDiskBytes: number | null;
  readonly databaseBytes: number | null;
  readonly logBytes: number | null;
}

export interface CapacityStatus {
  /** ISO 8601: of the newest size. */
  readonly at: string;
  readonly records: number | null;
  readonly recordsPerDay: number | null;
  readonly resources: readonly ResourceCapacity[];
}

export interface ResourceCapacity {
  readonly resource: CapacityResource;
  /** Whether `bytes` was measured, or how it was estimated. */
  readonly basis: string;
  readonly bytes: number;
  /** Null until the history covers a day. */
  readonly bytesPerDay: number | null;
  readonly limitBytes: number | null;
  /** ISO 8601 date; null: not within ten years, or not known. */
  readonly limitReached: string | null;
  /** What to do, when the limit is reached within 90 days. */
  readonly advice: string | null;
}

const DAY_MS = 86_400_000;
// The load of one day says nothing about the next when only a part of it is known.
const SPAN_MS_MIN = DAY_MS;
// A prediction further ahead than this is worth nothing.
const HORIZON_DAYS = 3_650;
const ADVICE_DAYS = 90;

// An element of hnswlib (hnswalg.h): the vector; links of layer 0, 2 × M and their number, 4 bytes each, with M = 16, the
// default of Chroma; a label of 8 bytes. Higher layers hold one record in sixteen.
const LINKS_BYTES = (2 * 16 + 1) * 4 + 8 + 4;
// The Chroma Cookbook advises 2 to 4 times the memory of the index (cookbook.chromadb.dev/core/resources).
const DISK_FACTOR = 4;

const BASES: Readonly<Record<CapacityResource, string>> = {
  node_memory: `estimated: records × (4 × dimension + ${LINKS_BYTES}) bytes, as hnswlib stores them; all indexes loaded`,
  node_disk: `estimated: ${DISK_FACTOR} × node_memory, as the Chroma Cookbook advises`,
  database: 'measured: pg_database_size',
  log: 'measured: partitions of the log',
};
const ADVICE: Readonly<Record<CapacityResource, string>> = {
  node_memory: 'Give every node more memory, or delete collections.',
  node_disk: 'Give every node a larger disk, or delete collections.',
  database: 'Give PostgreSQL a larger disk, or lower WAL_RETENTION.',
  log: 'Raise WAL_RETENTION_BYTES, lower WAL_RETENTION, or bring back nodes that are away: beyond the limit they must be rebuilt.',
};

/** What the vectors of a collection need in the memory of one node. */
export function indexBytesOf(records: number, dimension: number | null): number {
  return dimension === null ? 0 : records * (4 * dimension + LINKS_BYTES);
}

/** From the sizes of the last weeks in the order of time; null without any. */
export function capacityOf(
  rows: readonly HistoryDataRow[],
  limits: CapacityLimits,
  nowMs: number,
): CapacityStatus | null {
  const last = rows.at(-1);
  if (last === undefined) return null;
  const sizes: Readonly<
    Record<CapacityResource, [bytes: (row: HistoryDataRow) => number | null, limit: number | null]>
  > = {
    node_memory: [({ indexBytes }) => indexBytes, limits.nodeMemoryBytes],
    node_disk: [
      ({ indexBytes }) => (indexBytes === null ? null : DISK_FACTOR * indexBytes),
      limits.nodeDiskBytes,
    ],
    database: [({ databaseBytes }) => databaseBytes, limits.databaseBytes],
    log: [({ logBytes }) => logBytes, limits.logBytes],
  };
  const records = seriesOf(rows, (row) => row.records);
  return {
    at: new Date(last.atMs).toISOString(),
    records: records.at(-1)?.value ?? null,
    recordsPerDay: rounded(growthPerDay(records)),
    resources: Object.entries(sizes).flatMap(([name, [bytes, limit]]) =>
      resourceOf(name as CapacityResource, seriesOf(rows, bytes), { limit, nowMs }),
    ),
  };
}

interface Size {
  readonly atMs: number;
  readonly value: number;
}

function seriesOf(rows: readonly HistoryDataRow[], of: (row: HistoryDataRow) => number | null): Size[] {
  return rows.flatMap((row) => {
    const value = of(row);
    return value === null ? [] : [{ atMs: row.atMs, value }];
  });
}

function resourceOf(
  resource: CapacityResource,
  series: readonly Size[],
  { limit, nowMs }: { limit: number | null; nowMs: number },
): ResourceCapacity[] {
  const bytes = series.at(-1)?.value;
  if (bytes === undefined) return [];
  const bytesPerDay = growthPerDay(series);
  const days = limit === null ? null : daysUntil(bytes, bytesPerDay, limit);
  const isSoon = days !== null && days <= ADVICE_DAYS;
  return [
    {
      resource,
      basis: BASES[resource],
      bytes,
      bytesPerDay: rounded(bytesPerDay),
      limitBytes: limit,
      limitReached: days === null ? null : new Date(nowMs + days * DAY_MS).toISOString().slice(0, 10),
      advice: isSoon ? ADVICE[resource] : null,
    },
  ];
}

/** By the method of least squares; null until the history covers a day. */
function growthPerDay(series: readonly Size[]): number | null {
  const [first, last] = [series[0], series.at(-1)];
  if (first === undefined || last === undefined || last.atMs - first.atMs < SPAN_MS_MIN) return null;
  const days = series.map(({ atMs }) => (atMs - first.atMs) / DAY_MS);
  const meanDay = mean(days);
  const meanValue = mean(series.map(({ value }) => value));
  let [products, squares] = [0, 0];
  for (const [at, day] of days.entries()) {
    products += (day - meanDay) * ((series[at] as Size).value - meanValue);
    squares += (day - meanDay) ** 2;
  }
  return products / squares;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value));

/** Null: never, or not within ten years. */
function daysUntil(bytes: number, perDay: number | null, limit: number): number | null {
  if (bytes >= limit) return 0;
  if (perDay === null || perDay <= 0) return null;
  // A fraction of a second must not decide the date.
  const days = Math.round((1_000 * (limit - bytes)) / perDay) / 1_000;
  return days <= HORIZON_DAYS ? days : null;
}

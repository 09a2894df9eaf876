// GET /admin/history: how the cluster did over time, in columns of one length, as charts need them.
//
//   ?range=6h                       the last 6 hours (default 1h); or
//   ?from=…&to=…                    ISO 8601, or ms since the epoch; `to` is now unless it is given
//   &resolution=10s|5m|1h|auto      seconds that a value covers; auto (default): the finest of at most 1,000 values
//
//   {
//     "from": "2026-11-28T20:00:00.000Z", "to": "2026-11-28T21:00:00.000Z", "resolutionSeconds": 10,
//     "times": [1796068800, …],                        beginning of each step, Unix time in seconds
//     "requests": {                                    of all gateways together
//       "perSecond": […], "failedPerSecond": […],
//       "reads":  { "perSecond": […], "p50Ms": […], "p95Ms": […], "p99Ms": […] },     query, get, count
//       "writes": { … }                                                               add, upsert, update, delete
//     },
//     "nodes": { "node-1": {
//       "serving": […],                                share of the step in which it could serve reads, 0 to 1
//       "lagEntries": […], "lagMs": […], "suspects": […],                             the largest of the step
//       "callsPerSecond": […], "callP95Ms": […]        calls of the leader to it
//     } },
//     "gateways": { "gw-1-7c1f": {                     a gateway has a new id after each start; the 20 newest
//       "requestsPerSecond": […], "memoryBytes": […], "memoryPercent": […], "cpuPercent": […]
//     } },
//     "data": { "head": […], "logBytes": […], "databaseBytes": […], "collections": […], "records": […],
//       "indexBytes": […] }                            vectors of all records in the memory of one node, by estimate
//   }
//
// Every array has as many values as `times`; null: nothing was recorded for that step, or there was no request to measure.

import { PolychromeError } from '../../errors.ts';
import { HISTORY_STEPS, type HistoryDataPoint, type HistoryStep } from '../../history/history-point.ts';
import type { HistoryRange, HistoryRows, HistoryStore } from '../../history/history-store.ts';
import { DURATIONS, quantile } from '../../observability/histogram.ts';
import { privateJson } from './private-json.ts';
import type { AdminRoute } from './routes.ts';

type HistoryColumn = (number | null)[];

export interface HistoryColumns {
  readonly from: string;
  readonly to: string;
  readonly resolutionSeconds: HistoryStep;
  readonly times: readonly number[];
  readonly requests: {
    readonly perSecond: HistoryColumn;
    readonly failedPerSecond: HistoryColumn;
    readonly reads: RequestColumns;
    readonly writes: RequestColumns;
  };
  readonly nodes: Readonly<Record<string, NodeColumns>>;
  readonly gateways: Readonly<Record<string, GatewayColumns>>;
  readonly data: Readonly<Record<keyof HistoryDataPoint, HistoryColumn>>;
}

type RequestColumns = Readonly<Record<'perSecond' | 'p50Ms' | 'p95Ms' | 'p99Ms', HistoryColumn>>;
type NodeColumns = Readonly<
  Record<'serving' | 'lagEntries' | 'lagMs' | 'suspects' | 'callsPerSecond' | 'callP95Ms', HistoryColumn>
>;
type GatewayColumns = Readonly<
  Record<'requestsPerSecond' | 'memoryBytes' | 'memoryPercent' | 'cpuPercent', HistoryColumn>
>;

const RESOLUTIONS: Readonly<Record<string, HistoryStep>> = { '10s': 10, '5m': 300, '1h': 3_600 };
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const HOUR_MS = 3_600_000;
// More values than pixels show nothing more.
const AUTO_VALUES_MAX = 1_000;
// Bounds the response: some 30 columns of numbers.
const VALUES_MAX = 5_000;
const GATEWAYS_MAX = 20;

/** The route names nodes and gateways, so it needs an access check. */
export function historyRoutes({
  store,
  now,
}: {
  readonly store: Pick<HistoryStore, 'read'>;
  readonly now: () => number;
}): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/admin/history',
      handle: async ({ query }) => {
        const range = rangeOf(query, now());
        return privateJson(historyColumns(await store.read(range), range));
      },
    },
  ];
}

/** What a query asks for, at whole steps. Throws PolychromeError. */
export function rangeOf(query: URLSearchParams, now: number): HistoryRange {
  const toMs = timeIn(query, 'to') ?? now;
  const fromMs = timeIn(query, 'from') ?? toMs - durationIn(query);
  if (fromMs >= toMs) throw invalid('from must be before to');
  const step = resolutionOf(query, toMs - fromMs, now - fromMs);
  const stepMs = step * 1_000;
  const range = {
    step,
    fromMs: Math.floor(fromMs / stepMs) * stepMs,
    toMs: Math.ceil(toMs / stepMs) * stepMs,
  };
  if ((range.toMs - range.fromMs) / stepMs > VALUES_MAX)
    throw invalid(
      `a response has at most ${VALUES_MAX} values: choose a shorter range or a coarser resolution`,
    );
  return range;
}

function resolutionOf(query: URLSearchParams, lengthMs: number, ageMs: number): HistoryStep {
  const name = query.get('resolution') ?? 'auto';
  const step = RESOLUTIONS[name];
  if (step !== undefined) return step;
  if (name !== 'auto') throw invalid('resolution must be one of 10s, 5m, 1h, auto');
  // The finest points are kept for a day.
  const fits = HISTORY_STEPS.filter((each) => lengthMs / (each * 1_000) <= AUTO_VALUES_MAX);
  return fits.find((each) => each > HISTORY_STEPS[0] || ageMs < UNIT_MS['d']!) ?? HISTORY_STEPS[2];
}

function timeIn(query: URLSearchParams, name: string): number | null {
  const text = query.get(name);
  if (text === null) return null;
  const ms = /^\d{1,15}$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(ms)) throw invalid(`${name} must be a time as in ISO 8601, or ms since the epoch`);
  return ms;
}

function durationIn(query: URLSearchParams): number {
  const text = query.get('range');
  if (text === null) return HOUR_MS;
  const [, count, unit = ''] = /^([1-9]\d{0,4})([smhd])$/.exec(text) ?? [];
  if (count === undefined) throw invalid('range must be a duration such as 30m, 6h or 7d');
  return Number(count) * (UNIT_MS[unit] ?? 0);
}

const invalid = (message: string): PolychromeError => new PolychromeError('invalid_argument', `${message}.`);

/** Rows as columns. Pure. */
export function historyColumns(
  { gateways, nodes, data }: HistoryRows,
  { fromMs, toMs, step }: HistoryRange,
): HistoryColumns {
  const stepMs = step * 1_000;
  const length = Math.round((toMs - fromMs) / stepMs);
  const columnOf = <Row extends { readonly atMs: number }>(
    rows: readonly Row[],
    value: (row: Row) => number | null,
  ): HistoryColumn => {
    const column: HistoryColumn = Array.from({ length }, () => null);
    for (const row of rows) {
      const at = Math.round((row.atMs - fromMs) / stepMs);
      if (at >= 0 && at < length) column[at] = value(row);
    }
    return column;
  };
  const perSecond = (count: number): number => count / step;
  const all = together(gateways);
  const requestColumns = (of: (row: Together) => readonly number[]): RequestColumns => ({
    perSecond: columnOf(all, (row) => perSecond(sum(of(row)))),
    p50Ms: columnOf(all, (row) => millisecondsAt(0.5, of(row))),
    p95Ms: columnOf(all, (row) => millisecondsAt(0.95, of(row))),
    p99Ms: columnOf(all, (row) => millisecondsAt(0.99, of(row))),
  });
  return {
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    resolutionSeconds: step,
    times: Array.from({ length }, (_each, at) => fromMs / 1_000 + at * step),
    requests: {
      perSecond: columnOf(all, ({ requests }) => perSecond(requests)),
      failedPerSecond: columnOf(all, ({ failed }) => perSecond(failed)),
      reads: requestColumns(({ reads }) => reads),
      writes: requestColumns(({ writes }) => writes),
    },
    nodes: byKey(nodes, 'node', (rows): NodeColumns => ({
      serving: columnOf(rows, ({ serving }) => serving),
      lagEntries: columnOf(rows, ({ lagEntries }) => lagEntries),
      lagMs: columnOf(rows, ({ lagMs }) => lagMs),
      suspects: columnOf(rows, ({ suspects }) => suspects),
      callsPerSecond: columnOf(rows, ({ calls }) => perSecond(sum(calls))),
      callP95Ms: columnOf(rows, ({ calls }) => millisecondsAt(0.95, calls)),
    })),
    gateways: byKey(newest(gateways), 'gateway', (rows): GatewayColumns => ({
      requestsPerSecond: columnOf(rows, ({ requests }) => perSecond(requests)),
      memoryBytes: columnOf(rows, ({ memoryBytes }) => memoryBytes),
      memoryPercent: columnOf(rows, ({ memoryPercent }) => memoryPercent),
      cpuPercent: columnOf(rows, ({ cpuPercent }) => cpuPercent),
    })),
    data: {
      head: columnOf(data, ({ head }) => head),
      logBytes: columnOf(data, ({ logBytes }) => logBytes),
      databaseBytes: columnOf(data, ({ databaseBytes }) => databaseBytes),
      collections: columnOf(data, ({ collections }) => collections),
      records: columnOf(data, ({ records }) => records),
      indexBytes: columnOf(data, ({ indexBytes }) => indexBytes),
    },
  };
}

interface Together {
  readonly atMs: number;
  requests: number;
  failed: number;
  reads: number[];
  writes: number[];
}

/** What all gateways served in each step. */
function together(rows: HistoryRows['gateways']): Together[] {
  const byTime = new Map<number, Together>();
  for (const { atMs, requests, failed, reads, writes } of rows) {
    const sums = byTime.get(atMs) ?? { atMs, requests: 0, failed: 0, reads: [], writes: [] };
    byTime.set(atMs, sums);
    sums.requests += requests;
    sums.failed += failed;
    sums.reads = added(sums.reads, reads);
    sums.writes = added(sums.writes, writes);
  }
  return [...byTime.values()];
}

const added = (a: readonly number[], b: readonly number[]): number[] =>
  b.map((count, at) => count + (a[at] ?? 0));

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

function millisecondsAt(q: number, counts: readonly number[]): number | null {
  const seconds = quantile(q, DURATIONS, { counts, count: sum(counts), sum: 0 });
  return seconds === null ? null : Math.round(seconds * 1e5) / 100;
}

/** Of the gateways that were seen last. */
function newest(rows: HistoryRows['gateways']): HistoryRows['gateways'] {
  const lastSeen = new Map<string, number>();
  for (const { gateway, atMs } of rows) lastSeen.set(gateway, Math.max(atMs, lastSeen.get(gateway) ?? 0));
  const kept = [...lastSeen].sort(([, a], [, b]) => b - a).slice(0, GATEWAYS_MAX);
  const ids = new Set(kept.map(([id]) => id));
  return rows.filter(({ gateway }) => ids.has(gateway));
}

function byKey<Key extends string, Row extends Readonly<Record<Key, string>>, Columns>(
  rows: readonly Row[],
  key: Key,
  columns: (rows: readonly Row[]) => Columns,
): Record<string, Columns> {
  const groups = Map.groupBy(rows, (row) => row[key]);
  return Object.fromEntries(Array.from(groups, ([id, those]) => [id, columns(those)]));
}

// The history of all gateways in PostgreSQL: stores points, adds them up, forgets them, reads them.

import type { Database } from '../postgres/database.ts';
import {
  HISTORY_STEPS,
  type HistoryDataPoint,
  type HistoryGatewayPoint,
  type HistoryNodePoint,
  type HistoryPoint,
  type HistoryStep,
} from './history-point.ts';

/** How long points of each kind are kept, in days. */
export interface HistoryRetention {
  /** Nodes: whether they served, their lag, their calls. */
  readonly health: number;
  /** Gateways and the size of the data. */
  readonly performance: number;
}

export interface HistoryRange {
  /** Multiples of the step, ms since the epoch; `toMs` is not included. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly step: HistoryStep;
}

/** Rows of a range in the order of time; counts are those of one step. */
export interface HistoryRows {
  readonly gateways: readonly HistoryGatewayRow[];
  readonly nodes: readonly HistoryNodeRow[];
  readonly data: readonly HistoryDataRow[];
}

/** Beginning of the step, wall clock, ms since the epoch. */
interface At {
  readonly atMs: number;
}

type HistoryGatewayRow = At & HistoryGatewayPoint;
type HistoryNodeRow = At & HistoryNodePoint;
export type HistoryDataRow = At & HistoryDataPoint;

/** How long points of a step are kept at most: the next step shows longer ranges as well. */
const DAYS_MAX: Readonly<Record<HistoryStep, number>> = { 10: 1, 300: 7, 3_600: Infinity };
// A gateway that could not reach PostgreSQL stores up to an hour of points later (history-recorder.ts).
const LATE_MS = 3_600_000;
const TABLES = [
  ['history_node', 'health'],
  ['history_gateway', 'performance'],
  ['history_data', 'performance'],
] as const;
// Counts are read as float8: pg returns arrays of bigint as texts.
const AT = `floor(extract(epoch from at) * 1000)::bigint as "atMs"`;

export class HistoryStore {
  readonly #database: Pick<Database, 'query' | 'schema'>;

  constructor(database: Pick<Database, 'query' | 'schema'>) {
    this.#database = database;
  }

  /** Stores points of the first step. A point that is there already is kept. */
  async append(points: readonly HistoryPoint[]): Promise<void> {
    const [step] = HISTORY_STEPS;
    const s = this.#database.schema;
    const nodes = points.flatMap(({ at, nodes: those }) => those.map((node) => ({ at, ...node })));
    const data = points.flatMap(({ at, data: those }) => (those === null ? [] : [{ at, ...those }]));
    await this.#database.query(
      `with g as (
         insert into ${s}.history_gateway
         select ${step}, to_timestamp(at / 1000), gateway, requests, failed, reads, writes, "memoryBytes", "memoryPercent", "cpuPercent"
         from jsonb_to_recordset($1) as x(at float8, gateway text, requests bigint, failed bigint, reads bigint[],
           writes bigint[], "memoryBytes" bigint, "memoryPercent" real, "cpuPercent" real)
         on conflict do nothing
       ), n as (
         insert into ${s}.history_node
         select ${step}, to_timestamp(at / 1000), node, serving, "lagEntries", "lagMs", suspects, calls
         from jsonb_to_recordset($2) as x(at float8, node text, serving real, "lagEntries" bigint, "lagMs" bigint,
           suspects int, calls bigint[])
         on conflict do nothing
       )
       insert into ${s}.history_data
       select ${step}, to_timestamp(at / 1000), head, "logBytes", "databaseBytes", collections, records, "indexBytes"
       from jsonb_to_recordset($3) as x(at float8, head bigint, "logBytes" bigint, "databaseBytes" bigint, collections bigint,
         records bigint, "indexBytes" bigint)
       on conflict do nothing`,
      [JSON.stringify(points), JSON.stringify(nodes), JSON.stringify(data)],
    );
  }

  /** Adds up steps that have ended, again for the last hour; repeating it changes nothing. */
  async rollUp(nowMs: number): Promise<void> {
    for (const [index, step] of HISTORY_STEPS.slice(1).entries())
      await this.#rollUp(HISTORY_STEPS[index] as HistoryStep, step, nowMs);
  }

  async #rollUp(from: HistoryStep, to: HistoryStep, nowMs: number): Promise<void> {
    const s = this.#database.schema;
    const stepMs = to * 1_000;
    const untilMs = Math.floor(nowMs / stepMs) * stepMs;
    const sinceMs = Math.floor((untilMs - LATE_MS) / stepMs) * stepMs - stepMs;
    const range = `step = ${from} and at >= to_timestamp($1::float8 / 1000) and at < to_timestamp($2::float8 / 1000)`;
    const begin = `to_timestamp(floor(extract(epoch from at) / ${to}) * ${to})`;
    await this.#database.query(
      `with g as (
         insert into ${s}.history_gateway
         select ${to}, ${begin} as begin, gateway, sum(requests), sum(failed), ${s}.sum_counts(reads), ${s}.sum_counts(writes),
           max(memory_bytes), max(memory_percent), avg(cpu_percent)
         from ${s}.history_gateway where ${range} group by begin, gateway
         on conflict (step, at, gateway) do update set requests = excluded.requests, failed = excluded.failed,
           reads = excluded.reads, writes = excluded.writes, memory_bytes = excluded.memory_bytes,
           memory_percent = excluded.memory_percent, cpu_percent = excluded.cpu_percent
       ), n as (
         insert into ${s}.history_node
         select ${to}, ${begin} as begin, node, avg(serving), max(lag_entries), max(lag_ms), max(suspects), ${s}.sum_counts(calls)
         from ${s}.history_node where ${range} group by begin, node
         on conflict (step, at, node) do update set serving = excluded.serving, lag_entries = excluded.lag_entries,
           lag_ms = excluded.lag_ms, suspects = excluded.suspects, calls = excluded.calls
       )
       insert into ${s}.history_data
       select ${to}, ${begin} as begin, max(head), max(log_bytes), max(database_bytes), max(collections), max(records),
         max(index_bytes)
       from ${s}.history_data where ${range} group by begin
       on conflict (step, at) do update set head = excluded.head, log_bytes = excluded.log_bytes,
         database_bytes = excluded.database_bytes, collections = excluded.collections, records = excluded.records,
         index_bytes = excluded.index_bytes`,
      [sinceMs, untilMs],
    );
  }

  async forgetOld(nowMs: number, retention: HistoryRetention): Promise<void> {
    for (const [table, kind] of TABLES)
      for (const step of HISTORY_STEPS) {
        const days = Math.min(retention[kind], DAYS_MAX[step]);
        await this.#database.query(
          `delete from ${this.#database.schema}.${table}
           where step = ${step} and at < to_timestamp($1::float8 / 1000) - $2 * interval '1 day'`,
          [nowMs, days],
        );
      }
  }

  async read(range: HistoryRange): Promise<HistoryRows> {
    const rows = (table: string, columns: string): Promise<unknown[]> => this.#rows(table, columns, range);
    const [gateways, nodes, data] = await Promise.all([
      rows(
        'history_gateway',
        `gateway, requests, failed, reads::float8[], writes::float8[], memory_bytes as "memoryBytes", memory_percent as "memoryPercent", cpu_percent as "cpuPercent"`,
      ),
      rows(
        'history_node',
        `node, serving, lag_entries as "lagEntries", lag_ms as "lagMs", suspects, calls::float8[]`,
      ),
      this.data(range),
    ]);
    return { gateways, nodes, data } as HistoryRows;
  }

  /** The size of the data within a range. */
  async data({ fromMs, toMs, step }: HistoryRange): Promise<HistoryDataRow[]> {
    const columns = `head, log_bytes as "logBytes", database_bytes as "databaseBytes", collections, records, index_bytes as "indexBytes"`;
    return (await this.#rows('history_data', columns, { fromMs, toMs, step })) as HistoryDataRow[];
  }

  #rows(table: string, columns: string, { fromMs, toMs, step }: HistoryRange): Promise<unknown[]> {
    return this.#database.query(
      `select ${AT}, ${columns} from ${this.#database.schema}.${table}
       where step = $1 and at >= to_timestamp($2::float8 / 1000) and at < to_timestamp($3::float8 / 1000) order by at`,
      [step, fromMs, toMs],
    );
  }
}

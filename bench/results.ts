// Collects measurements round by round and summarizes them per workload and target.

import type { Outcome } from './load.ts';
import { median, percentile, type Spread, spread } from './statistics.ts';

/** Summary of one workload on one target. Milliseconds are latencies unless the workload's title differs. */
export interface Cell {
  readonly qps: Spread;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Failed calls by reason. */
  readonly failures: ReadonlyMap<string, number>;
  /** Additional values by name. */
  readonly more: Readonly<Record<string, number>>;
}

/** Latency at one offered rate. */
export interface SweepPoint {
  readonly rate: number;
  readonly qps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
}

export interface LatencySummary {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly failed: number;
}

/** Paced reads of one kind beside a bulk load of the `loaded` collection. */
export interface ReadStream {
  readonly collection: 'other' | 'loaded';
  readonly operation: 'get' | 'query';
  readonly idle: LatencySummary;
  readonly underLoad: LatencySummary;
}

export interface BesideBulk {
  /** Duration of one part of a split call on the idle target. */
  readonly partMs: number;
  readonly recordsPerSecond: number;
  readonly failedCalls: number;
  readonly streams: readonly ReadStream[];
}

interface Round {
  readonly qps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface Measurements {
  readonly rounds: Round[];
  readonly failures: Map<string, number>;
  readonly more: Record<string, number>;
}

export class Results {
  readonly #measurements = new Map<string, Map<string, Measurements>>();
  readonly #sweeps = new Map<string, Map<string, SweepPoint[]>>();
  readonly #besideBulk = new Map<string, Map<string, BesideBulk>>();
  readonly notes: string[] = [];
  #isIncomplete = false;

  addRound(workload: string, target: string, outcome: Outcome): void {
    const { latenciesMs, operations, elapsedMs, failures } = outcome;
    const measurements = this.#measurementsOf(workload, target);
    if (latenciesMs.length > 0) {
      measurements.rounds.push({
        qps: (operations * 1_000) / elapsedMs,
        p50Ms: percentile(latenciesMs, 0.5),
        p99Ms: percentile(latenciesMs, 0.99),
      });
    }
    for (const [reason, count] of failures) {
      measurements.failures.set(reason, (measurements.failures.get(reason) ?? 0) + count);
    }
  }

  /** Adds named values; of several rounds the largest value counts. */
  addMore(workload: string, target: string, more: Readonly<Record<string, number>>): void {
    const known = this.#measurementsOf(workload, target).more;
    for (const [name, value] of Object.entries(more)) known[name] = Math.max(known[name] ?? value, value);
  }

  /** Records that a round could not be measured. */
  addFailure(workload: string, target: string, reason: string): void {
    this.#isIncomplete = true;
    this.#measurementsOf(workload, target).failures.set(reason, 1);
    this.note(`${workload}, ${target}: ${reason}`);
  }

  addSweepPoint(workload: string, target: string, point: SweepPoint): void {
    const targets = mapIn(this.#sweeps, workload);
    targets.set(target, [...(targets.get(target) ?? []), point]);
  }

  addBesideBulk(load: string, target: string, measured: BesideBulk): void {
    mapIn(this.#besideBulk, load).set(target, measured);
  }

  note(sentence: string): void {
    if (!this.notes.includes(sentence)) this.notes.push(sentence);
  }

  get workloads(): readonly string[] {
    return [...this.#measurements.keys()];
  }

  get sweeps(): ReadonlyMap<string, ReadonlyMap<string, readonly SweepPoint[]>> {
    return this.#sweeps;
  }

  /** By bulk load, then by target. */
  get besideBulk(): ReadonlyMap<string, ReadonlyMap<string, BesideBulk>> {
    return this.#besideBulk;
  }

  targets(workload: string): readonly string[] {
    return [...(this.#measurements.get(workload)?.keys() ?? [])];
  }

  /** Medians over the rounds; undefined when no round was measured. */
  cell(workload: string, target: string): Cell | undefined {
    const measurements = this.#measurements.get(workload)?.get(target);
    if (measurements === undefined || measurements.rounds.length === 0) return undefined;
    const { rounds, failures, more } = measurements;
    return {
      qps: spread(rounds.map(({ qps }) => qps)),
      p50Ms: median(rounds.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(rounds.map(({ p99Ms }) => p99Ms)),
      failures,
      more,
    };
  }

  /** Failures by reason, including those of a target without a cell. */
  failures(workload: string, target: string): ReadonlyMap<string, number> {
    return this.#measurements.get(workload)?.get(target)?.failures ?? new Map();
  }

  /** True when a round could not be measured. */
  get isIncomplete(): boolean {
    return this.#isIncomplete;
  }

  #measurementsOf(workload: string, target: string): Measurements {
    const targets = mapIn(this.#measurements, workload);
    const measurements = targets.get(target) ?? { rounds: [], failures: new Map(), more: {} };
    targets.set(target, measurements);
    return measurements;
  }
}

function mapIn<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const map = maps.get(key) ?? new Map<string, V>();
  maps.set(key, map);
  return map;
}

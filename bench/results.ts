// What was measured, gathered round by round, and the numbers made of it.

import type { Outcome } from './load.ts';
import { median, percentile, type Spread, spread } from './statistics.ts';

/** One target with one workload. Milliseconds are latencies unless the workload says otherwise. */
export interface Cell {
  readonly qps: Spread;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Calls that failed, by what came instead of a 2xx. */
  readonly failures: ReadonlyMap<string, number>;
  /** What else this workload measures, by name. */
  readonly more: Readonly<Record<string, number>>;
}

/** Latency at a given rate of arrival. */
export interface SweepPoint {
  readonly rate: number;
  readonly qps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
}

interface Round {
  readonly qps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface Gathered {
  readonly rounds: Round[];
  readonly failures: Map<string, number>;
  readonly more: Record<string, number>;
}

export class Results {
  readonly #cells = new Map<string, Map<string, Gathered>>();
  readonly #sweeps = new Map<string, Map<string, SweepPoint[]>>();
  readonly notes: string[] = [];
  #incomplete = false;

  addRound(workload: string, target: string, outcome: Outcome): void {
    const { latenciesMs, operations, elapsedMs, failures } = outcome;
    const gathered = this.#gathered(workload, target);
    if (latenciesMs.length > 0) {
      gathered.rounds.push({
        qps: (operations * 1_000) / elapsedMs,
        p50Ms: percentile(latenciesMs, 0.5),
        p99Ms: percentile(latenciesMs, 0.99),
      });
    }
    for (const [reason, count] of failures) {
      gathered.failures.set(reason, (gathered.failures.get(reason) ?? 0) + count);
    }
  }

  /** Further values of this workload; the largest of several rounds stands. */
  addMore(workload: string, target: string, more: Readonly<Record<string, number>>): void {
    const known = this.#gathered(workload, target).more;
    for (const [name, value] of Object.entries(more)) known[name] = Math.max(known[name] ?? value, value);
  }

  /** Something that kept a round from being measured at all. */
  addFailure(workload: string, target: string, reason: string): void {
    this.#incomplete = true;
    this.#gathered(workload, target).failures.set(reason, 1);
    this.note(`${workload}, ${target}: ${reason}`);
  }

  addSweepPoint(workload: string, target: string, point: SweepPoint): void {
    const ofWorkload = this.#sweeps.get(workload) ?? new Map<string, SweepPoint[]>();
    this.#sweeps.set(workload, ofWorkload);
    ofWorkload.set(target, [...(ofWorkload.get(target) ?? []), point]);
  }

  note(sentence: string): void {
    if (!this.notes.includes(sentence)) this.notes.push(sentence);
  }

  get workloads(): readonly string[] {
    return [...this.#cells.keys()];
  }

  get sweeps(): ReadonlyMap<string, ReadonlyMap<string, readonly SweepPoint[]>> {
    return this.#sweeps;
  }

  targets(workload: string): readonly string[] {
    return [...(this.#cells.get(workload)?.keys() ?? [])];
  }

  /** Medians over the rounds; undefined when no round was measured. */
  cell(workload: string, target: string): Cell | undefined {
    const gathered = this.#cells.get(workload)?.get(target);
    if (gathered === undefined || gathered.rounds.length === 0) return undefined;
    const { rounds, failures, more } = gathered;
    return {
      qps: spread(rounds.map(({ qps }) => qps)),
      p50Ms: median(rounds.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(rounds.map(({ p99Ms }) => p99Ms)),
      failures,
      more,
    };
  }

  /** Failures of a target that has no cell, too. */
  failures(workload: string, target: string): ReadonlyMap<string, number> {
    return this.#cells.get(workload)?.get(target)?.failures ?? new Map();
  }

  /** True when something could not be measured. */
  get incomplete(): boolean {
    return this.#incomplete;
  }

  #gathered(workload: string, target: string): Gathered {
    const targets = this.#cells.get(workload) ?? new Map<string, Gathered>();
    this.#cells.set(workload, targets);
    const gathered = targets.get(target) ?? { rounds: [], failures: new Map(), more: {} };
    targets.set(target, gathered);
    return gathered;
  }
}

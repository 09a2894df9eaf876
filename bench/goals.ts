// Performance goals of bulk loading, evaluated on the results of one run.

import type { BesideBulk, Results } from './results.ts';

export interface Goal {
  readonly name: string;
  readonly target: string;
  readonly measured: number;
  readonly bound: 'at least' | 'at most';
  readonly limit: number;
  readonly isMet: boolean;
}

const BULK_WORKLOADS = ['bulk_add', 'bulk_docs', 'bulk_1536'];
/** One gateway in front of one server may cost a tenth of its bulk throughput. */
const BULK_RATIO_MIN = 0.9;
/** A bulk load may triple the p99 of reads of other collections. */
const OTHER_P99_RATIO_MAX = 3;
/** With several nodes one of them always responds, so a read waits for one part of a split call at most. */
const LOADED_SLOWEST_RATIO_MAX = 1;

/** Copying a collection anew must not be much slower than loading it. */
const REBUILD_RATIO_MIN = 0.8;

/** The goals whose workloads and targets are part of this run. */
export function evaluateGoals(results: Results): Goal[] {
  return [
    ...BULK_WORKLOADS.flatMap((workload) => throughputGoals(results, workload)),
    ...rebuildGoals(results),
    ...[...results.besideBulk].flatMap(([load, targets]) => {
      const measured = targets.get('polychrome3');
      return measured === undefined ? [] : readGoals(load, measured);
    }),
  ];
}

function throughputGoals(results: Results, workload: string): Goal[] {
  const direct = results.cell(workload, 'direct')?.qps.median;
  const polychrome = results.cell(workload, 'polychrome1')?.qps.median;
  if (direct === undefined || polychrome === undefined) return [];
  const name = `${workload}: throughput relative to direct`;
  return [atLeast(BULK_RATIO_MIN, { name, target: 'polychrome1', measured: polychrome / direct })];
}

function rebuildGoals(results: Results): Goal[] {
  const direct = results.cell('rebuild', 'direct')?.qps.median;
  const polychrome = results.cell('rebuild', 'polychrome3')?.qps.median;
  if (direct === undefined || polychrome === undefined) return [];
  const name = 'rebuild: records per second relative to a bulk load of direct';
  return [atLeast(REBUILD_RATIO_MIN, { name, target: 'polychrome3', measured: polychrome / direct })];
}

function readGoals(load: string, { partMs, streams }: BesideBulk): Goal[] {
  const target = 'polychrome3';
  const failed = streams.reduce((sum, { underLoad }) => sum + underLoad.failed, 0);
  return [
    ...streams.map(({ collection, operation, idle, underLoad }) =>
      collection === 'other'
        ? atMost(OTHER_P99_RATIO_MAX, {
            name: `${load}: p99 of ${operation} in another collection relative to idle`,
            target,
            measured: underLoad.p99Ms / idle.p99Ms,
          })
        : atMost(LOADED_SLOWEST_RATIO_MAX, {
            name: `${load}: slowest ${operation} in the loaded collection relative to one part of a split call`,
            target,
            measured: underLoad.maxMs / partMs,
          }),
    ),
    atMost(0, { name: `${load}: failed reads`, target, measured: failed }),
  ];
}

type Measured = Pick<Goal, 'name' | 'target' | 'measured'>;

function atLeast(limit: number, measured: Measured): Goal {
  return { ...measured, bound: 'at least', limit, isMet: measured.measured >= limit };
}

function atMost(limit: number, measured: Measured): Goal {
  return { ...measured, bound: 'at most', limit, isMet: measured.measured <= limit };
}

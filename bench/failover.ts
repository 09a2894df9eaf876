// Failover: what clients notice while the primary is killed or hangs.

import { setTimeout as wait } from 'node:timers/promises';
import { type BenchmarkRun, callSource } from './closed-workload.ts';
import { type CallResult, failureCount, type Outcome, runOpen } from './load.ts';
import { processOf } from './node-process.ts';
import { longestPause, sorted } from './statistics.ts';
import type { Target } from './targets.ts';
import type { Workload } from './workloads.ts';

const FAULT_AFTER_MS = 2_000;
/** Well below the throughput of any target, and dense enough to show a pause of 20 ms. */
const READS_PER_SECOND = 100;
const WRITES_PER_SECOND = 50;

const FAULTS = { SIGKILL: 'kill -9', SIGSTOP: 'SIGSTOP' } as const;
export type Fault = keyof typeof FAULTS;
export const FAULT_SIGNALS = Object.keys(FAULTS) as Fault[];

interface Observation {
  readonly outcome: Outcome;
  readonly pauseMs: number;
  readonly slowestMs: number;
}

interface Observations {
  readonly reads: Observation;
  readonly writes: Observation;
}

/** Sends reads and writes at a fixed rate, and `fault` to the primary during the load. */
export async function measureFailover(
  { fault, query, add }: { readonly fault: Fault; readonly query: Workload; readonly add: Workload },
  target: Target,
  run: BenchmarkRun,
): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const collection = await bodies.open(server, 'written');
  const primary = await processOf(server, 'primary');
  const durationMs = FAULT_AFTER_MS + settings.failoverAfterMs;
  const observe = async (workload: Workload, rate: number): Promise<Observation> => {
    const calls: CallResult[] = [];
    const startedAt = performance.now();
    const outcome = await runOpen({
      address: server.address,
      rate,
      durationMs,
      nextCall: callSource({ workload, target, collection }),
      onResult: (call) => calls.push(call),
    });
    return { outcome, ...pauses(calls, startedAt, startedAt + durationMs) };
  };
  const injectFault = async (): Promise<void> => {
    await wait(FAULT_AFTER_MS);
    process.kill(primary.pid, fault);
  };
  try {
    const [reads, writes] = await Promise.all([
      observe(query, READS_PER_SECOND),
      observe(add, WRITES_PER_SECOND),
      injectFault(),
    ]);
    record(fault, { reads, writes }, { target, run });
  } finally {
    if (fault === 'SIGSTOP') resume(primary.pid);
  }
  await server.settle().catch((error: unknown) => {
    results.note(`failover: the nodes did not catch up after ${fault}: ${String(error)}`);
  });
}

/** Does nothing when the supervisor has ended the process because it hung. */
function resume(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The longest time without a success, and the longest latency counted from the intended send time. */
export function pauses(
  calls: readonly CallResult[],
  startedAt: number,
  endedAt: number,
): { readonly pauseMs: number; readonly slowestMs: number } {
  const successes = calls.filter(({ succeeded }) => succeeded).map(({ doneAt }) => doneAt);
  return {
    pauseMs: longestPause(successes, startedAt, endedAt),
    slowestMs: Math.max(0, ...calls.map(({ doneAt, intendedAt }) => doneAt - intendedAt)),
  };
}

function record(
  fault: Fault,
  observations: Observations,
  { target, run }: { readonly target: Target; readonly run: BenchmarkRun },
): void {
  const name = FAULTS[fault];
  const outcomes = Object.values(observations).map(({ outcome }: Observation) => outcome);
  const more: Record<string, number> = {};
  for (const [kind, { outcome, pauseMs, slowestMs }] of Object.entries(observations)) {
    more[`${name}: longest pause of ${kind}, ms`] = pauseMs;
    more[`${name}: slowest of ${kind}, ms`] = slowestMs;
    more[`${name}: failed ${kind}`] = failureCount(outcome);
  }
  run.results.addRound('failover', target.name, {
    latenciesMs: sorted(outcomes.flatMap(({ latenciesMs }) => [...latenciesMs])),
    operations: outcomes.reduce((sum, { operations }) => sum + operations, 0),
    elapsedMs: Math.max(...outcomes.map(({ elapsedMs }) => elapsedMs)),
    failures: new Map(
      Object.entries(observations).flatMap(([kind, { outcome }]) =>
        [...outcome.failures].map(([reason, count]) => [`${kind}: ${reason}`, count] as const),
      ),
    ),
  });
  run.results.addMore('failover', target.name, more);
  run.results.note(
    `failover: ${READS_PER_SECOND} reads/s and ${WRITES_PER_SECOND} writes/s; p50 and p99 cover both.`,
  );
}

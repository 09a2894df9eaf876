// What is measured by doing something to a node's process: catch-up after an absence, and failover of the primary.

import { setTimeout as wait } from 'node:timers/promises';
import { type ClosedRun, feedOf } from './closed.ts';
import { type CallResult, type Outcome, runClosed, runOpen } from './load.ts';
import type { NodeStatus, Server } from './server.ts';
import { longestPause, sorted } from './statistics.ts';
import type { Target } from './targets.ts';
import type { Workload } from './workloads.ts';

const POLL_MS = 10;
/** While a node catches up it needs both cores, and every look takes a millisecond of one. */
const LEVEL_POLL_MS = 50;
const FAULT_AFTER_MS = 2_000;
/** Well below what any target manages, and dense enough to see a pause of 20 ms. */
const READS_PER_SECOND = 100;
const WRITES_PER_SECOND = 50;
const CATCHUP_WAIT_MS = 600_000;

async function nodeWith(server: Server, role: string): Promise<NodeStatus & { readonly pid: number }> {
  const { nodes } = await server.status();
  const node = nodes.find((one) => one.role === role);
  if (node?.pid === undefined) throw new Error(`/status shows no ${role} with a process id.`);
  return { ...node, pid: node.pid };
}

/**
 * A replica hangs while entries are written, is killed, and comes back: from its server's first answer until it has
 * applied the whole log and serves again.
 */
export async function measureCatchup(add: Workload, target: Target, run: ClosedRun): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const collection = await server.freshCollection('bench_written', bodies.fill('written'));
  const replica = await nodeWith(server, 'replica');
  process.kill(replica.pid, 'SIGSTOP');
  let written: Outcome;
  try {
    written = await runClosed({
      address: server.address,
      clients: add.clients,
      feed: feedOf(add, target, collection),
      warmUpMs: 0,
      durationMs: CATCHUP_WAIT_MS,
      callsMax: settings.catchupEntries,
    });
  } finally {
    process.kill(replica.pid, 'SIGKILL'); // its supervisor starts it anew
  }
  const killedAt = performance.now();
  await untilTrue(() => answers(`${replica.url}/api/v2/heartbeat`));
  const answeredAt = performance.now();
  await untilTrue(async () => {
    const { head, nodes } = await server.status();
    const node = nodes.find(({ id }) => id === replica.id);
    return node !== undefined && node.state === 'serving' && node.checkpoint >= head;
  }, LEVEL_POLL_MS);
  const levelAt = performance.now();
  const tookMs = levelAt - answeredAt;
  results.addRound('catchup', target.name, {
    latenciesMs: Float64Array.of(tookMs),
    operations: written.operations,
    elapsedMs: tookMs,
    failures: written.failures,
  });
  results.addMore('catchup', target.name, { 'ms from kill to level': levelAt - killedAt });
}

/** What catch-up is held against: a bare server that takes as many records, in bulk, into a collection of the same content. */
export async function measureBulk(bulk: Workload, target: Target, run: ClosedRun): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const collection = await server.freshCollection('bench_written', bodies.fill('written'));
  const callsMax = Math.ceil(settings.catchupEntries / bulk.perCall);
  const feed = feedOf(bulk, target, collection);
  const load = { address: server.address, clients: bulk.clients, feed, warmUpMs: 0 };
  const outcome = await runClosed({ ...load, durationMs: CATCHUP_WAIT_MS, callsMax });
  results.addRound('catchup', target.name, { ...outcome, latenciesMs: Float64Array.of(outcome.elapsedMs) });
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

async function untilTrue(condition: () => Promise<boolean>, pollMs = POLL_MS): Promise<void> {
  const deadline = performance.now() + CATCHUP_WAIT_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('The node did not catch up within ten minutes.');
    await wait(pollMs);
  }
}

export const FAULTS = ['SIGKILL', 'SIGSTOP'] as const;

/** Reads and writes arrive at a fixed rate while the primary is killed or hangs: what do clients notice? */
export async function measureFailover(
  fault: (typeof FAULTS)[number],
  query: Workload,
  add: Workload,
  target: Target,
  run: ClosedRun,
): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const collection = await server.freshCollection('bench_written', bodies.fill('written'));
  const primary = await nodeWith(server, 'primary');
  const durationMs = FAULT_AFTER_MS + settings.failoverAfterMs;
  const observe = async (workload: Workload, rate: number): Promise<Observation> => {
    const calls: CallResult[] = [];
    const startedAt = performance.now();
    const feed = feedOf(workload, target, collection);
    const outcome = await runOpen({
      address: server.address,
      rate,
      durationMs,
      feed,
      onResult: (call) => calls.push(call),
    });
    return { outcome, ...pauses(calls, startedAt, startedAt + durationMs) };
  };
  const strike = async (): Promise<void> => {
    await wait(FAULT_AFTER_MS);
    process.kill(primary.pid, fault);
  };
  try {
    const [reads, writes] = await Promise.all([
      observe(query, READS_PER_SECOND),
      observe(add, WRITES_PER_SECOND),
      strike(),
    ]);
    record(fault, { reads, writes }, target, run);
  } finally {
    if (fault === 'SIGSTOP') process.kill(primary.pid, 'SIGCONT');
  }
  await server.settle().catch((error: unknown) => {
    results.note(`failover: after ${fault} the nodes did not become level again: ${String(error)}`);
  });
}

interface Observation {
  readonly outcome: Outcome;
  readonly pauseMs: number;
  readonly slowestMs: number;
}

/** The longest time without a success, and the longest that one call took from the moment it was to be sent. */
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
  fault: string,
  seen: { readonly reads: Observation; readonly writes: Observation },
  target: Target,
  run: ClosedRun,
): void {
  const name = fault === 'SIGKILL' ? 'kill -9' : 'SIGSTOP';
  const outcomes = [seen.reads.outcome, seen.writes.outcome];
  const more: Record<string, number> = {};
  for (const [kind, { outcome, pauseMs, slowestMs }] of Object.entries(seen)) {
    more[`${name}: longest pause of ${kind}, ms`] = pauseMs;
    more[`${name}: slowest of ${kind}, ms`] = slowestMs;
    more[`${name}: failed ${kind}`] = [...outcome.failures.values()].reduce((sum, count) => sum + count, 0);
  }
  const latencies = sorted(outcomes.flatMap(({ latenciesMs }) => [...latenciesMs]));
  run.results.addRound('failover', target.name, {
    latenciesMs: latencies,
    operations: outcomes.reduce((sum, { operations }) => sum + operations, 0),
    elapsedMs: Math.max(...outcomes.map(({ elapsedMs }) => elapsedMs)),
    failures: new Map(
      Object.entries(seen).flatMap(([kind, { outcome }]) =>
        [...outcome.failures].map(([reason, count]) => [`${kind}: ${reason}`, count] as const),
      ),
    ),
  });
  run.results.addMore('failover', target.name, more);
  run.results.note(
    `failover (p50, p99: of reads and writes together): ${READS_PER_SECOND} reads and ${WRITES_PER_SECOND} writes a second.`,
  );
}

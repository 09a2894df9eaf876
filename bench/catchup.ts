// Catch-up: how fast a node that was absent applies the entries it missed, against a bare server's bulk rate.

import { setTimeout as wait } from 'node:timers/promises';
import { type BenchmarkRun, callSource } from './closed-workload.ts';
import { type Outcome, runClosed } from './load.ts';
import { type NodeProcess, processOf } from './node-process.ts';
import type { Server } from './server.ts';
import type { Target } from './targets.ts';
import type { Workload } from './workloads.ts';

const HEARTBEAT_POLL_MS = 10;
/** Sparse, because each poll takes 1 ms of CPU time from the node that catches up. */
const STATUS_POLL_MS = 50;
const CATCHUP_TIMEOUT_MS = 600_000;

/**
 * Stops a replica, writes entries, kills the replica and lets its supervisor restart it. Measures from the server's
 * first response until the node has applied the whole log; then everything on it is verified, and it serves again.
 */
export async function measureCatchup(add: Workload, target: Target, run: BenchmarkRun): Promise<void> {
  const { bodies, results } = run;
  const { server } = target;
  const collection = await bodies.open(server, 'written');
  const replica = await processOf(server, 'replica');
  process.kill(replica.pid, 'SIGSTOP');
  let written: Outcome;
  try {
    written = await runClosed({
      address: server.address,
      clients: add.clients,
      nextCall: callSource({ workload: add, target, collection }),
      warmUpMs: 0,
      durationMs: CATCHUP_TIMEOUT_MS,
      callsMax: run.settings.catchupEntries,
    });
  } finally {
    process.kill(replica.pid, 'SIGKILL'); // the supervisor restarts it
  }
  const killedAt = performance.now();
  await until(() => isResponding(`${replica.url}/api/v2/heartbeat`), HEARTBEAT_POLL_MS);
  const respondedAt = performance.now();
  await until(() => hasCaughtUp(server, replica), STATUS_POLL_MS);
  const caughtUpAt = performance.now();
  await until(() => isServing(server, replica), STATUS_POLL_MS);
  const servingAt = performance.now();
  const elapsedMs = caughtUpAt - respondedAt;
  results.addRound('catchup', target.name, {
    latenciesMs: Float64Array.of(elapsedMs),
    operations: written.operations,
    elapsedMs,
    failures: written.failures,
  });
  results.addMore('catchup', target.name, {
    'ms from kill to caught up': caughtUpAt - killedAt,
    'ms from caught up to verified and serving': servingAt - caughtUpAt,
  });
}

/** The reference for catch-up: the same number of records, bulk loaded into an equal collection of a bare server. */
export async function measureBulkReference(bulk: Workload, target: Target, run: BenchmarkRun): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const collection = await bodies.open(server, 'written');
  const outcome = await runClosed({
    address: server.address,
    clients: bulk.clients,
    nextCall: callSource({ workload: bulk, target, collection }),
    warmUpMs: 0,
    durationMs: CATCHUP_TIMEOUT_MS,
    callsMax: Math.ceil(settings.catchupEntries / bulk.recordsPerCall),
  });
  results.addRound('catchup', target.name, { ...outcome, latenciesMs: Float64Array.of(outcome.elapsedMs) });
}

async function isResponding(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

async function hasCaughtUp(server: Server, { id }: NodeProcess): Promise<boolean> {
  const { head, nodes } = await server.status();
  return nodes.some((node) => node.id === id && node.checkpoint >= head);
}

async function isServing(server: Server, { id }: NodeProcess): Promise<boolean> {
  const { nodes } = await server.status();
  return nodes.some((node) => node.id === id && node.state === 'serving');
}

async function until(condition: () => Promise<boolean>, pollMs: number): Promise<void> {
  const deadline = performance.now() + CATCHUP_TIMEOUT_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('the node did not catch up within ten minutes');
    await wait(pollMs);
  }
}

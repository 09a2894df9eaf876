// Rebuild, comparison and scrub: records per second against a bare server's bulk rate, and what a scrub costs reads.

import { setTimeout as wait } from 'node:timers/promises';
import { type BenchmarkRun, callSource } from './closed-workload.ts';
import { type Outcome, runClosed } from './load.ts';
import type { Collection, Server } from './server.ts';
import { median } from './statistics.ts';
import type { Target } from './targets.ts';
import type { Workload } from './workloads.ts';

const TIMEOUT_MS = 1_800_000;
const POLL_MS = 50;
const PAIRS = 3;

interface HealWorkloads {
  readonly bulk: Workload;
  readonly query: Workload;
}

/** The reference on the bare server: the same number of records, bulk loaded. */
export async function measureHealReference(
  { bulk }: HealWorkloads,
  target: Target,
  run: BenchmarkRun,
): Promise<void> {
  const { outcome } = await load(bulk, target, run);
  run.results.addRound('rebuild', target.name, {
    ...outcome,
    latenciesMs: Float64Array.of(outcome.elapsedMs),
  });
}

/** Loads a collection, has one node's copy rebuilt, compares the node, and reads during scrubs. */
export async function measureHeal(
  { bulk, query }: HealWorkloads,
  target: Target,
  run: BenchmarkRun,
): Promise<void> {
  const { server } = target;
  const { collection } = await load(bulk, target, run);
  await server.settle();
  const replica = (await server.status()).nodes.find(({ role }) => role === 'replica')!.id;
  const timed = async (name: string, path: string): Promise<void> => {
    const from = performance.now();
    const { records } = await operation(server, path);
    const operations = records ?? (await collection.count());
    const elapsedMs = performance.now() - from;
    const latenciesMs = Float64Array.of(elapsedMs);
    run.results.addRound(name, target.name, { latenciesMs, operations, elapsedMs, failures: new Map() });
  };
  await timed('rebuild', `/admin/nodes/${replica}/rebuild?collection=${collection.id}`);
  await timed('verify', `/admin/nodes/${replica}/verify`);
  await readsBesideScrub(query, target, run);
}

/** Pairs of equal reads, without a scrub and during one. */
async function readsBesideScrub(query: Workload, target: Target, run: BenchmarkRun): Promise<void> {
  const { server } = target;
  const collection = await run.bodies.open(server, query.collection);
  const read = async (): Promise<number> => {
    const outcome = await runClosed({
      address: server.address,
      clients: query.clients,
      nextCall: callSource({ workload: query, target, collection }),
      warmUpMs: run.settings.warmUpMs,
      durationMs: run.settings.durationMs,
    });
    const index = Math.floor(outcome.latenciesMs.length * 0.99);
    return outcome.latenciesMs[Math.min(index, outcome.latenciesMs.length - 1)] ?? NaN;
  };
  const ratios: number[] = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    // The order alternates, so that a slow phase of the machine does not favour one side.
    const isScrubFirst = pair % 2 === 1;
    const duringScrub = async (): Promise<number> => {
      const scrub = operation(server, '/admin/scrub');
      const p99 = await read();
      await server.request('POST', '/admin/scrub/pause');
      await server.request('POST', '/admin/scrub/resume');
      await scrub;
      return p99;
    };
    const first = isScrubFirst ? await duringScrub() : await read();
    const second = isScrubFirst ? await read() : await duringScrub();
    ratios.push(isScrubFirst ? first / second : second / first);
  }
  run.results.addMore('rebuild', target.name, { 'read p99 during a scrub, ratio': median(ratios) });
}

async function load(
  bulk: Workload,
  target: Target,
  run: BenchmarkRun,
): Promise<{ readonly outcome: Outcome; readonly collection: Collection }> {
  const collection = await run.bodies.open(target.server, bulk.collection);
  const outcome = await runClosed({
    address: target.server.address,
    clients: bulk.clients,
    nextCall: callSource({ workload: bulk, target, collection }),
    warmUpMs: 0,
    durationMs: TIMEOUT_MS,
    callsMax: Math.ceil(run.settings.healRecords / bulk.recordsPerCall),
  });
  return { outcome, collection };
}

/** Starts an operation and resolves when it has ended; throws when it has failed. */
async function operation(server: Server, path: string): Promise<{ readonly records?: number }> {
  const { id } = (await server.request('POST', path)) as { id: string };
  for (const until = performance.now() + TIMEOUT_MS; performance.now() < until; await wait(POLL_MS)) {
    const { state, error, result } = (await server.request('GET', `/admin/operations/${id}`)) as {
      state: string;
      error: string | null;
      result: { records?: number } | null;
    };
    if (state === 'failed') throw new Error(error ?? 'the operation failed');
    if (state === 'done') return result ?? {};
  }
  throw new Error(`${path} did not end`);
}

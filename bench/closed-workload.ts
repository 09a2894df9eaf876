// Runs one closed-loop workload against all targets, alternating between them round by round.

import { type Bodies, isWritten } from './bodies.ts';
import { Connection } from './connection.ts';
import { type CallSource, type Outcome, runClosed } from './load.ts';
import type { Results } from './results.ts';
import type { Collection } from './server.ts';
import type { Settings } from './settings.ts';
import type { Target } from './targets.ts';
import { responseError, type Workload } from './workloads.ts';

/** Concurrency levels tried on the ceiling; the best one counts. */
const CEILING_CLIENTS = [1, 2, 4];
const TEN = 10;
/** A single client makes few calls, so its warm-up takes this many times as long. */
const SINGLE_CLIENT_WARM_UPS = 4;

export interface BenchmarkRun {
  readonly settings: Settings;
  readonly bodies: Bodies;
  readonly targets: readonly Target[];
  readonly results: Results;
  /** Called before each measurement. */
  readonly onStep: (description: string) => void;
}

/** The ceiling batches single operations of many clients; other workloads skip it. */
export function appliesTo(workload: Workload, target: Target): boolean {
  return target.batch === 1 || (workload.clients > 1 && workload.recordsPerCall === 1);
}

/** Measures one workload. An error on one target is recorded in the results; the other targets continue. */
export async function runClosedWorkload(workload: Workload, run: BenchmarkRun): Promise<void> {
  const targets = run.targets.filter((target) => appliesTo(workload, target));
  const clients = new Map<Target, number>();
  for (let round = 0; round < run.settings.rounds; round += 1) {
    for (let index = 0; index < targets.length; index += 1) {
      // Rotating the first target spreads slow phases of the machine over all targets.
      const target = targets[(index + round) % targets.length]!;
      run.onStep(`${workload.name} · ${target.name} · round ${round + 1}`);
      try {
        const count = clients.get(target) ?? (await chooseClients(workload, target, run));
        clients.set(target, count);
        const durationMs = durationOf(workload, run.settings);
        const outcome = await measure({ workload, target, clients: count, durationMs }, run);
        run.results.addRound(workload.name, target.name, outcome);
      } catch (error) {
        run.results.addFailure(workload.name, target.name, String(error));
      }
    }
  }
  const ceiling = targets.find((target) => target.batch > 1 && clients.has(target));
  if (ceiling !== undefined) {
    run.results.note(
      `${workload.name}: the ceiling's throughput peaks at concurrency ${clients.get(ceiling)}.`,
    );
  }
}

async function chooseClients(workload: Workload, target: Target, run: BenchmarkRun): Promise<number> {
  if (target.batch === 1) return workload.clients;
  let best = { clients: 1, rate: 0 };
  for (const clients of CEILING_CLIENTS) {
    const durationMs = run.settings.durationMs / 2;
    const outcome = await measure({ workload, target, clients, durationMs }, run);
    const rate = outcome.operations / outcome.elapsedMs;
    if (rate > best.rate) best = { clients, rate };
  }
  return best.clients;
}

interface Measurement {
  readonly workload: Workload;
  readonly target: Target;
  readonly clients: number;
  readonly durationMs: number;
}

async function measure(
  { workload, target, clients, durationMs }: Measurement,
  run: BenchmarkRun,
): Promise<Outcome> {
  const { server } = target;
  const collection = await run.bodies.open(server, workload.collection);
  await checkResponses(workload, target, collection);
  const countsRecords = isWritten(workload.collection);
  const before = countsRecords ? await collection.count() : 0;
  let added = 0;
  const outcome = await runClosed({
    address: server.address,
    clients,
    nextCall: callSource({ workload, target, collection, onAdd: (records) => (added += records) }),
    warmUpMs: warmUpOf(workload, run.settings),
    durationMs,
  });
  await server.settle();
  if (countsRecords) await checkCount(collection, before + added, outcome);
  return outcome;
}

function durationOf({ recordsPerCall }: Workload, { durationMs, bulkMs }: Settings): number {
  return recordsPerCall > 1 ? bulkMs : durationMs;
}

function warmUpOf({ clients, recordsPerCall }: Workload, { warmUpMs }: Settings): number {
  // The checked call has warmed up the server; further bulk calls would take seconds each.
  if (recordsPerCall > 1) return 0;
  return clients === 1 ? SINGLE_CLIENT_WARM_UPS * warmUpMs : warmUpMs;
}

/** Makes one call of each part and throws unless its status and shape are right. */
export async function checkResponses(
  workload: Workload,
  target: Target,
  collection: Collection,
): Promise<void> {
  for (const { operation, supply } of workload.parts) {
    const connection = new Connection(target.server.address);
    const call = collection.call(operation, supply(batchOf(workload, target)), workload.headers);
    const status = await new Promise<number>((resolve) => connection.exchange(call, resolve, true));
    const { body, failure } = connection;
    connection.close();
    if (status !== (operation === 'add' ? 201 : 200)) {
      throw new Error(`${operation} failed: HTTP ${status} ${failure}${body.subarray(0, 300).toString()}`);
    }
    const mismatch = responseError(operation, target.batch, body);
    if (mismatch !== null) throw new Error(`${operation} returned a wrong response: ${mismatch}`);
  }
  await target.server.settle();
}

/** Throws unless the collection holds exactly the acknowledged records. */
async function checkCount(collection: Collection, expected: number, outcome: Outcome): Promise<void> {
  if (outcome.failures.size > 0) return; // the outcome of a failed add is unknown
  const count = await collection.count();
  if (count !== expected)
    throw new Error(`the collection holds ${count} records; ${expected} were acknowledged`);
}

function batchOf(workload: Workload, target: Target): number {
  return workload.recordsPerCall === 1 ? target.batch : 1;
}

interface CallSourceOptions {
  readonly workload: Workload;
  readonly target: Target;
  readonly collection: Collection;
  /** Receives the number of records of each add. */
  readonly onAdd?: (records: number) => void;
}

/** The calls of a workload in a fixed order that gives each part its tenths. */
export function callSource({ workload, target, collection, onAdd }: CallSourceOptions): CallSource {
  const supplies = workload.parts.map((part) => ({ part, supply: part.supply(batchOf(workload, target)) }));
  const pattern = supplies.flatMap((one) => Array.from({ length: one.part.tenths }, () => one));
  let turn = 0;
  return () => {
    const { part, supply } = pattern[turn % TEN]!;
    turn += 1;
    if (part.operation === 'add') onAdd?.(supply.operations);
    return collection.call(part.operation, supply, workload.headers);
  };
}

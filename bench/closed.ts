// Runs one closed-loop workload against all targets, in turn, round by round.

import { Connection } from './connection.ts';
import { type Feed, type Outcome, runClosed } from './load.ts';
import type { Results } from './results.ts';
import type { Collection } from './server.ts';
import type { Settings } from './settings.ts';
import type { Target } from './targets.ts';
import { type Bodies, type Workload, wrongAnswer } from './workloads.ts';

/** What the ceiling may be asked with at once; its best is its result. */
const CEILING_CLIENTS = [1, 2, 4];
const TEN = 10;
/** A lone client warms up for so many times as long as others. */
const LONE_WARM_UPS = 4;

export interface ClosedRun {
  readonly settings: Settings;
  readonly bodies: Bodies;
  readonly targets: readonly Target[];
  readonly results: Results;
  /** Told before each (round, target). */
  readonly onStep: (what: string) => void;
}

/** The ceiling is there for workloads of many clients with single operations: nothing else can be batched. */
export function applies(workload: Workload, target: Target): boolean {
  return target.batch === 1 || (workload.clients > 1 && workload.perCall === 1);
}

/** Measures one workload; an error of a target becomes a note in the results and does not stop the others. */
export async function runClosedWorkload(workload: Workload, run: ClosedRun): Promise<void> {
  const taking = run.targets.filter((target) => applies(workload, target));
  const clients = new Map<Target, number>();
  for (let round = 0; round < run.settings.rounds; round += 1) {
    for (let index = 0; index < taking.length; index += 1) {
      // Each round begins with another target: whatever the machine does in between hits all alike.
      const target = taking[(index + round) % taking.length]!;
      run.onStep(`${workload.name} · ${target.name} · round ${round + 1}`);
      try {
        const chosen = clients.get(target) ?? (await chooseClients(workload, target, run));
        clients.set(target, chosen);
        const outcome = await measure(workload, target, run, chosen, run.settings.durationMs);
        run.results.addRound(workload.name, target.name, outcome);
      } catch (error) {
        run.results.addFailure(workload.name, target.name, String(error));
      }
    }
  }
  const best = taking.find((target) => target.batch > 1 && clients.has(target));
  if (best !== undefined) {
    run.results.note(`${workload.name}: the ceiling is best with ${clients.get(best)} in flight.`);
  }
}

async function chooseClients(workload: Workload, target: Target, run: ClosedRun): Promise<number> {
  if (target.batch === 1) return workload.clients;
  let best = { clients: 1, rate: 0 };
  for (const clients of CEILING_CLIENTS) {
    const outcome = await measure(workload, target, run, clients, run.settings.durationMs / 2);
    const rate = outcome.operations / outcome.elapsedMs;
    if (rate > best.rate) best = { clients, rate };
  }
  return best.clients;
}

async function measure(
  workload: Workload,
  target: Target,
  run: ClosedRun,
  clients: number,
  durationMs: number,
): Promise<Outcome> {
  const { server } = target;
  const fill = run.bodies.fill(workload.collection);
  const written = workload.collection === 'written';
  const name = `bench_${workload.collection}`;
  const collection = written ? await server.freshCollection(name, fill) : await server.collection(name, fill);
  await checkAnswers(workload, target, collection);
  const before = written ? await collection.count() : 0;
  const added = { records: 0 };
  const outcome = await runClosed({
    address: server.address,
    clients,
    feed: feedOf(workload, target, collection, added),
    warmUpMs: warmUpOf(workload, run.settings),
    durationMs,
  });
  await server.settle();
  if (written) await checkCount(collection, before + added.records, outcome);
  return outcome;
}

function warmUpOf({ clients, perCall }: Workload, { warmUpMs }: Settings): number {
  // The call that was checked has warmed up a server to which each further one is a second's work.
  if (perCall > 1) return 0;
  // One client makes few calls in the time in which many make thousands.
  return clients === 1 ? LONE_WARM_UPS * warmUpMs : warmUpMs;
}

/** One call of each kind, its answer read: status, and shape. */
async function checkAnswers(workload: Workload, target: Target, collection: Collection): Promise<void> {
  for (const { operation, supply } of workload.parts) {
    const connection = new Connection(target.server.address);
    const call = collection.call(operation, supply(batchOf(workload, target)), workload.headers);
    const status = await new Promise<number>((resolve) => connection.exchange(call, resolve, true));
    const { body, failure } = connection;
    connection.close();
    if (status !== (operation === 'add' ? 201 : 200)) {
      throw new Error(
        `${operation} is answered with ${status} ${failure}${body.subarray(0, 300).toString()}`,
      );
    }
    const wrong = wrongAnswer(operation, target.batch, body);
    if (wrong !== null) throw new Error(`${operation} is answered wrongly: ${wrong}`);
  }
  await target.server.settle();
}

/** Every record acknowledged must be there, and no other. */
async function checkCount(collection: Collection, expected: number, outcome: Outcome): Promise<void> {
  if (outcome.failures.size > 0) return; // what failed may or may not have been taken
  const count = await collection.count();
  if (count !== expected) throw new Error(`${count} records are there, ${expected} were acknowledged`);
}

function batchOf(workload: Workload, target: Target): number {
  return workload.perCall === 1 ? target.batch : 1;
}

/** The calls of a workload: of ten, as many of each part as it says, always in the same order. */
export function feedOf(
  workload: Workload,
  target: Target,
  collection: Collection,
  added: { records: number } = { records: 0 },
): Feed {
  const supplies = workload.parts.map((part) => ({ part, supply: part.supply(batchOf(workload, target)) }));
  const pattern = supplies.flatMap((one) => Array.from({ length: one.part.tenths }, () => one));
  let turn = 0;
  return () => {
    const { part, supply } = pattern[turn % TEN]!;
    turn += 1;
    if (part.operation === 'add') added.records += supply.operations;
    return collection.call(part.operation, supply, workload.headers);
  };
}

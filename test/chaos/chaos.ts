// Random, overlapping faults of real processes under clients that record what they observe, and the checks of it: the
// histories of records, the promises to every writer, and the content of the nodes.

import { faultsOf } from '../histories/checker.ts';
import { notLinearizable } from '../histories/porcupine.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { CheckedWorkload } from '../support/workload.ts';
import { ChaosCluster } from './chaos-cluster.ts';
import { HistoryClients } from './history-clients.ts';
import { Loads } from './loads.ts';
import { Nemesis } from './nemesis.ts';
import type { ChaosResult } from './report.ts';
import { RoamingHttp } from './roaming.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly forMs: number;
  readonly longestFaultMs: number;
  readonly faultsMin?: number;
  readonly gateways: number;
  /** Whether porcupine checks the histories too. */
  readonly comparesPorcupine: boolean;
  readonly log: (line: string) => void;
}

// Each part has records of its own: a history of one record is checked as a whole.
const PART_MS = 45_000;

/** Runs faults under load on a new cluster. */
export async function chaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, forMs, longestFaultMs, gateways, log, faultsMin = 0 } = options;
  const cluster = await ChaosCluster.start(gateways, {});
  try {
    const random = seededRandom(seed);
    const targets = {
      nodes: cluster.local.nodes.map(({ id }) => id),
      gateways: cluster.gateways.map(({ name }) => name),
    };
    const nemesis = new Nemesis({ random, targets, longestFaultMs, faultsMin, log });
    const total = emptyTotal();
    const until = performance.now() + forMs;
    for (let part = 0; performance.now() < until && total.lost.length + total.wrong.length === 0; part++) {
      const endsAt = Math.min(until, performance.now() + PART_MS);
      await runPart({
        ...options,
        cluster,
        nemesis,
        total,
        endsAt,
        name: `chaos-${part}`,
        seed: seed + part,
      });
      log(`checked: ${total.operations} operations, ${nemesis.struck} faults`);
    }
    const broken = total.lost.length + total.wrong.length + total.stopped.length;
    if (broken > 0) for (const { name, output } of cluster.gateways) log(`${name}: ${output.slice(-4_000)}`);
    const exits = cluster.gateways.reduce((sum, gateway) => sum + gateway.exits, 0);
    return { ...total, seed, faults: nemesis.byKind, skipped: nemesis.skipped, gatewayExits: exits };
  } finally {
    await cluster.stop();
  }
}

type Total = {
  -readonly [
    Key in keyof Omit<ChaosResult, 'seed' | 'faults' | 'skipped' | 'gatewayExits'>
  ]: ChaosResult[Key];
};

function emptyTotal(): Total & { readonly statuses: Map<string, number> } {
  return {
    operations: 0,
    observed: 0,
    records: 0,
    statuses: new Map(),
    longestWritePauseMs: 0,
    longestReadPauseMs: 0,
    longestRecoveryMs: 0,
    lost: [],
    wrong: [],
    stopped: [],
    comparedWithPorcupine: 0,
  };
}

interface Part extends ChaosOptions {
  readonly cluster: ChaosCluster;
  readonly nemesis: Nemesis;
  readonly total: ReturnType<typeof emptyTotal>;
  readonly endsAt: number;
  readonly name: string;
}

async function runPart({ cluster, nemesis, total, endsAt, name, seed, ...options }: Part): Promise<void> {
  const addresses = cluster.gateways.map((gateway) => ({ name: gateway.name, url: gateway.url }));
  const clients = await HistoryClients.prepare(addresses, name, seededRandom(seed));
  const api = new RoamingHttp(addresses);
  const workload = await CheckedWorkload.prepare(() => api, name);
  const loads = new Loads(addresses, name, workload);
  const stop = new AbortController();
  const load = Promise.all([clients.run(stop.signal), workload.run(stop.signal)]);
  try {
    await nemesis.strikeUntil(endsAt, { cluster, loads });
  } finally {
    stop.abort();
    await Promise.all([load, loads.ended()]);
  }
  const overAt = performance.now();
  try {
    await cluster.allServe();
    total.longestRecoveryMs = Math.max(total.longestRecoveryMs, performance.now() - overAt);
    await clients.readAll();
  } catch (error) {
    total.stopped = [...total.stopped, `${(error as Error).message}: ${String((error as Error).cause)}`];
    return;
  }
  add(total, clients, workload);
  await check(total, { clients, workload, cluster, options });
}

function add(total: Part['total'], clients: HistoryClients, workload: CheckedWorkload): void {
  const { write, read } = clients.pauses;
  for (const [status, count] of [...clients.statuses, ...Object.entries(workload.statuses)])
    total.statuses.set(status, (total.statuses.get(status) ?? 0) + count);
  total.operations = [...total.statuses.values()].reduce((sum, count) => sum + count, 0);
  total.observed += clients.observed.length;
  total.records += new Set(clients.observed.map(({ record }) => record)).size;
  total.longestWritePauseMs = Math.max(total.longestWritePauseMs, write.longestMs);
  total.longestReadPauseMs = Math.max(total.longestReadPauseMs, read.longestMs);
}

interface Checked {
  readonly clients: HistoryClients;
  readonly workload: CheckedWorkload;
  readonly cluster: ChaosCluster;
  readonly options: Pick<ChaosOptions, 'comparesPorcupine'>;
}

async function check(total: Part['total'], { clients, workload, cluster, options }: Checked): Promise<void> {
  const history = faultsOf(clients.observed);
  total.wrong = [...total.wrong, ...clients.wrong, ...history];
  total.lost = [...total.lost, ...(await workload.faults(cluster))];
  if (!options.comparesPorcupine) return;
  const found = notLinearizable(clients.observed);
  total.comparedWithPorcupine += new Set(clients.observed.map(({ record }) => record)).size;
  const own = history.filter((fault) => fault.includes('no order'));
  if (found.length !== own.length)
    total.wrong = [
      ...total.wrong,
      `porcupine finds ${found.length} records without an order, the checker ${own.length}: ${found.join()}`,
    ];
}

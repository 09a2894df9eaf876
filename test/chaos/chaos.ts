// Random, overlapping faults under a checked load, and the comparison of every node with what the writers were promised.

import { setTimeout as pause } from 'node:timers/promises';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { CheckedWorkload } from '../support/workload.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { draw } from './faults.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly forMs: number;
  readonly longestFaultMs: number;
  readonly log: (line: string) => void;
}

export interface ChaosResult {
  readonly faults: number;
  readonly acknowledged: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** Broken promises; [] when all were kept. */
  readonly broken: readonly string[];
}

// So many overlap that at times two of three nodes and PostgreSQL are down at once.
const AT_ONCE_MAX = 3;
const LOAD_PARTS_MS = 60_000;

/** Runs faults under load on a new cluster. */
export async function chaos({ seed, forMs, longestFaultMs, log }: ChaosOptions): Promise<ChaosResult> {
  const cluster = await TestCluster.start({ proxied: true, ownProcess: {} });
  try {
    const next = seededRandom(seed);
    const until = performance.now() + forMs;
    const broken: string[] = [];
    const statuses: Record<string, number> = {};
    let [faults, acknowledged, part] = [0, 0, 0];
    // A new workload each minute, because its comparison reads everything that it wrote.
    while (performance.now() < until && broken.length === 0) {
      const workload = await CheckedWorkload.prepare(() => cluster.api, `chaos-${part++}`);
      const stop = new AbortController();
      const load = workload.run(stop.signal);
      const partEnds = Math.min(until, performance.now() + LOAD_PARTS_MS);
      faults += await strikeUntil(partEnds, { cluster, next, longestFaultMs, log });
      stop.abort();
      await load;
      await cluster.allServe();
      acknowledged += workload.acknowledged;
      for (const [status, count] of Object.entries(workload.statuses))
        statuses[status] = (statuses[status] ?? 0) + count;
      broken.push(...(await workload.faults(cluster)), ...(await suspects(cluster)));
      if (broken.length > 0 && cluster.output !== '') log(cluster.output);
      log(`checked: ${acknowledged} writes acknowledged, ${faults} faults, ${broken.length} promises broken`);
    }
    return { faults, acknowledged, statuses, broken };
  } catch (error) {
    const status = await cluster.status().catch(String);
    log(
      `${cluster.output}\nPostgreSQL: ${cluster.local.postgres.state()}; gateway: ${JSON.stringify(status)}`,
    );
    throw error;
  } finally {
    await cluster.stop();
  }
}

/** Suspect shards: there may be none while servers lose no data. */
async function suspects(cluster: TestCluster): Promise<string[]> {
  const text =
    "select node, suspect from polychrome.node_shard where state = 'current' and suspect is not null";
  const rows = await sql<{ node: string; suspect: string }>(cluster, text);
  return rows.map(({ node, suspect }) => `a shard of ${node} is suspect: ${suspect}`);
}

interface Striking {
  readonly cluster: TestCluster;
  readonly next: () => number;
  readonly longestFaultMs: number;
  readonly log: (line: string) => void;
}

/** Causes faults until `end` and ends each of them; returns their number. */
async function strikeUntil(end: number, { cluster, next, longestFaultMs, log }: Striking): Promise<number> {
  const nodes = cluster.local.nodes.map(({ id }) => id);
  const active = new Set<Promise<void>>();
  let struck = 0;
  while (performance.now() < end) {
    const fault = draw(next, nodes, longestFaultMs);
    log(`${fault.name}, ${fault.lastsMs} ms`);
    struck += 1;
    const over = await fault.strike(cluster);
    if (over !== null) {
      const lasting = pause(fault.lastsMs)
        .then(over)
        .finally(() => active.delete(lasting));
      active.add(lasting);
    }
    while (active.size >= AT_ONCE_MAX) await Promise.race(active);
    await pause(next() * 1_500);
  }
  await Promise.all(active);
  return struck;
}

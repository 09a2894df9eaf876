// kill -9 of nodes: with a batch in flight, and in every phase of the copy, the swap and the drop of a shard.

import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { CrashPoint } from '../../src/util/crash-point.ts';
import { TestCluster } from '../support/cluster.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { until } from '../support/until.ts';
import { sql } from '../support/postgres-faults.ts';
import { age, differences, fill, type HealDrill, put, replicaOf, suspect, withCluster } from './drill.ts';

const KILLS = 30;
const KILLS_SHORT = 3;
/** A batch takes a server some tenths of a second. */
const BATCH = 2_000;

/** The node dies at a moment of the batch that the seed draws; the batch is acknowledged, or is repeated by its client. */
export const killedMidBatch: HealDrill = {
  name: 'killed-mid-batch',
  about: 'a node is killed again and again with a batch in flight',
  run: ({ seed, isShort, log }) =>
    withCluster(TestCluster.start(), async (cluster) => {
      const next = seededRandom(seed);
      const id = await cluster.api.create('batches');
      const lost: string[] = [];
      const kills = isShort ? KILLS_SHORT : KILLS;
      for (let round = 0; round < kills; round++) {
        await cluster.allServe();
        const isPrimary = next() < 0.5;
        const node = isPrimary ? await cluster.primary() : await replicaOf(cluster);
        const began = performance.now();
        const batch = put(cluster, id, { from: round * BATCH, count: BATCH, text: `batch ${round}` });
        const delayMs = Math.round(next() * 400);
        await pause(delayMs);
        cluster.local.killNode(node);
        await batch;
        log(
          `${round + 1} of ${kills}: ${isPrimary ? 'primary' : 'replica'} ${node} killed after ${delayMs} ms, acknowledged after ${Math.round(performance.now() - began)} ms`,
        );
      }
      const faults = await differences(cluster);
      const { text } = await cluster.api.records(id, 'count');
      if (text !== String(kills * BATCH))
        lost.push(`${text} of ${kills * BATCH} acknowledged records are there`);
      return [...faults, ...lost];
    }),
};

/** Moments of a rebuild at which a node dies; the gateway is frozen there meanwhile. */
const PHASES: readonly CrashPoint[] = [
  'copy_recorded',
  'copy_created',
  'copy_halfway',
  'copy_complete',
  'copy_marked',
  'swap_before',
  'swap_after',
  'drop_renamed',
  'drop_done',
];
const PHASES_SHORT: readonly CrashPoint[] = ['swap_before'];
const RECORDS = 600;

export const nodeKilledInPhases: HealDrill = {
  name: 'node-killed-in-phases',
  about: 'the target and the donor are killed in phases of copy, swap and drop',
  run: ({ isShort, log }) =>
    withCluster(
      TestCluster.start({
        ownProcess: { NODE_ENV: 'test', CRASH_SIGNAL: 'SIGSTOP' },
        // The gateway keeps its term while it is frozen.
        settings: { LEASE_MS: '60000' },
      }),
      async (cluster) => {
        const id = await fill(cluster, 'phases', RECORDS);
        const faults: string[] = [];
        for (const point of isShort ? PHASES_SHORT : PHASES) {
          const roles = isShort || point.startsWith('drop_') ? ['target'] : ['target', 'donor'];
          for (const role of roles) {
            log(`${role} killed at ${point}`);
            const found = await killAt(cluster, id, { point, role });
            faults.push(...found.map((fault) => `${role} killed at ${point}: ${fault}`));
          }
        }
        return faults;
      },
    ),
};

async function killAt(
  cluster: TestCluster,
  id: string,
  { point, role }: { readonly point: CrashPoint; readonly role: string },
): Promise<string[]> {
  await cluster.stopGateway('SIGTERM');
  await cluster.startGateway({ CRASH_AT: point });
  await cluster.allServe();
  const target = await replicaOf(cluster);
  const donor = await donorFor(cluster, target);
  const before = await copyOf(cluster, target, id);
  const isDrop = point.startsWith('drop_');
  if (isDrop) {
    await suspect(cluster, target, id);
    await healed(cluster, target, id, before);
  }
  cluster.process.kill('SIGUSR2');
  if (isDrop) await age(cluster);
  else await suspect(cluster, target, id);
  await until(async () => isFrozen(cluster.process.pid!), `the gateway is frozen at ${point}`, 90_000);
  const killed = role === 'target' ? target : donor;
  await killAndAwait(cluster, killed);
  cluster.process.kill('SIGCONT');
  if (!isDrop) await healed(cluster, target, id, before);
  return differences(cluster);
}

/** Resolves when the supervisor has started another process, and it responds. */
async function killAndAwait(cluster: TestCluster, id: string): Promise<void> {
  const node = cluster.local.nodes.find((each) => each.id === id)!;
  const before = node.pid();
  cluster.local.killNode(id);
  await until(async () => {
    const pid = node.pid();
    return pid !== null && pid !== before && (await fetch(`${node.url}/api/v2/heartbeat`)).status === 200;
  }, `${id} runs again`);
}

/** Replicas are preferred as donors. */
async function donorFor(cluster: TestCluster, target: string): Promise<string> {
  const { nodes } = await cluster.status();
  return nodes.find(({ id, role }) => id !== target && role === 'replica')!.id;
}

async function copyOf(cluster: TestCluster, node: string, collection: string): Promise<string> {
  const [row] = await sql<{ physical: string }>(
    cluster,
    `select n.physical from polychrome.node_shard n join polychrome.shard x on x.id = n.shard
     where n.state = 'current' and n.node = $1 and x.collection = $2`,
    [node, collection],
  );
  return row?.physical ?? '';
}

async function healed(cluster: TestCluster, node: string, collection: string, before: string): Promise<void> {
  const isNew = async (): Promise<boolean> => (await copyOf(cluster, node, collection)) !== before;
  await until(isNew, `the copy on ${node} is another`, 120_000);
}

/** Whether the process is stopped by a signal (proc(5)). */
async function isFrozen(pid: number): Promise<boolean> {
  return /\) T /.test(await readFile(`/proc/${pid}/stat`, 'utf8'));
}

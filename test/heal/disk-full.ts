// The disk of one node is full: writes go on without it; freed, it recovers by itself, and nothing is lost.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { TestCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';
import { differences, type HealDrill, put, replicaOf, suspectEvents, withCluster } from './drill.ts';

const DISK_MIB = 16;
const ROOM_MIB = 512;
const BATCH = 100;
const TEXT = 'some text that fills the disk '.repeat(40);
/** More than any disk of this size holds. */
const BATCHES_MAX = 300;
const MORE_BATCHES = 20;
const SERVES: ReadonlySet<string> = new Set(['serving', 'busy']);

export const diskFull: HealDrill = {
  name: 'disk-full',
  about: 'the disk of a node is full, and freed; needs root, for a disk of its own',
  run: ({ log }) =>
    withCluster(TestCluster.start({ restartsNodes: true }), async (cluster) => {
      const node = await replicaOf(cluster);
      const folder = cluster.local.nodes.find(({ id }) => id === node)!.dataDir;
      await cluster.local.stopNode(node);
      const release = onOwnDisk(folder);
      try {
        await cluster.local.startNode(node);
        await cluster.allServe();
        return await fillAndFree(cluster, { node, folder, log });
      } finally {
        await cluster.local.stopNode(node);
        release();
      }
    }),
};

async function fillAndFree(
  cluster: TestCluster,
  { node, folder, log }: { node: string; folder: string; log: (line: string) => void },
): Promise<string[]> {
  const id = await cluster.api.create('filling');
  const stateOf = async (): Promise<string> =>
    (await cluster.status()).nodes.find((each) => each.id === node)!.state;
  let batches = 0;
  const write = async (): Promise<void> =>
    put(cluster, id, { from: batches++ * BATCH, count: BATCH, text: TEXT });
  while (SERVES.has(await stateOf()) && batches < BATCHES_MAX) await write();
  if (batches === BATCHES_MAX) throw new Error(`the disk of ${node} was not filled`);
  log(
    `${node} is ${await stateOf()} after ${batches * BATCH} records; ${lastErrorOf(await cluster.status(), node)}`,
  );
  // Acknowledged by the others.
  for (let more = 0; more < MORE_BATCHES; more++) await write();
  log(`freed after ${batches * BATCH} records`);
  execFileSync('mount', ['-o', `remount,size=${ROOM_MIB}m`, folder]);
  const since = performance.now();
  await until(
    async () => {
      const shown = (await cluster.status()).nodes.find((each) => each.id === node)!;
      if (SERVES.has(shown.state)) return true;
      throw new Error(JSON.stringify(shown));
    },
    `${node} serves again`,
    120_000,
  );
  const faults = await differences(cluster);
  log(
    `healed after ${Math.round((performance.now() - since) / 1_000)} s; ${(await suspectEvents(cluster)).length} copies were suspect`,
  );
  const { text } = await cluster.api.records(id, 'count');
  return text === String(batches * BATCH)
    ? faults
    : [...faults, `${text} of ${batches * BATCH} records are there`];
}

function lastErrorOf(status: Awaited<ReturnType<TestCluster['status']>>, node: string): string {
  return status.nodes.find(({ id }) => id === node)?.reason ?? 'no reason';
}

/** Puts the folder on a disk of its own; returns what undoes that. */
function onOwnDisk(folder: string): () => void {
  const kept = `${folder}.kept`;
  renameSync(folder, kept);
  mkdirSync(folder);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', folder]);
  cpSync(kept, folder, { recursive: true });
  rmSync(kept, { recursive: true });
  // Lazily: a process may still be about to end.
  return () => void execFileSync('umount', ['-l', folder]);
}

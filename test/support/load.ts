// Runs a workload and readers on a cluster during a fault, and checks the nodes afterwards.

import { setTimeout as pause } from 'node:timers/promises';
import type { TestCluster } from './cluster.ts';
import { until } from './until.ts';
import { CheckedWorkload } from './workload.ts';

export interface UnderLoad {
  readonly workload: CheckedWorkload;
  /** Resolves when this many more writes are acknowledged. */
  readonly more: (writes: number) => Promise<void>;
  readonly reads: () => number;
}

export interface LoadResult {
  /** Differences of the nodes from what was promised, and from each other. */
  readonly faults: readonly string[];
  /** Responses to writes that were neither accepted nor refused as invalid. */
  readonly failedWrites: readonly string[];
  readonly failedReads: readonly string[];
}

/** Readers without a pause would take the CPU that the writes and the recovery need. */
const READ_EVERY_MS = 10;

/** `name` is the prefix of everything that the load creates; `serveMs`: within which every node serves at the end. */
export async function underLoad(
  cluster: TestCluster,
  name: string,
  fault: (load: UnderLoad) => Promise<void>,
  serveMs?: number,
): Promise<LoadResult> {
  const { api } = cluster;
  const workload = await CheckedWorkload.prepare(() => api, name);
  const id = await api.create(`${name}-read`);
  await api.records(id, 'add', { ids: ['a'], embeddings: [[1, 2]], documents: ['kept'] });
  const stop = new AbortController();
  const failedReads: string[] = [];
  let reads = 0;
  const read = async (action: string, body?: object): Promise<void> => {
    while (!stop.signal.aborted) {
      const { status, text } = await api.records(id, action, body);
      reads += 1;
      if (status !== 200) failedReads.push(`${action}: ${status} ${text}`);
      await pause(READ_EVERY_MS);
    }
  };
  const more = (writes: number): Promise<void> => {
    const enough = workload.acknowledged + writes;
    return until(async () => workload.acknowledged >= enough, `${writes} more writes are acknowledged`);
  };
  const load = [
    workload.run(stop.signal),
    read('get', { ids: ['a'] }),
    read('query', { query_embeddings: [[1, 2]], n_results: 1 }),
    read('count'),
  ];
  try {
    await more(20);
    await fault({ workload, more, reads: () => reads });
    await more(20);
  } finally {
    stop.abort();
    await Promise.allSettled(load);
  }
  await cluster.allServe(serveMs);
  return { faults: await workload.faults(cluster), failedWrites: workload.failed, failedReads };
}

// A node at a tenth of its speed: its process runs for 20 ms of every 200 ms.

import { setTimeout as pause } from 'node:timers/promises';
import type { TestCluster } from '../support/cluster.ts';

// Short enough that every probe is answered in time: the node is slow, not silent.
const RUN_MS = 20;
const STOP_MS = 180;

/** Slows one node from now on; the result ends that. */
export function slowNode(cluster: TestCluster, node: string): () => void {
  const end = new AbortController();
  void (async () => {
    while (!end.signal.aborted) {
      cluster.local.pauseNode(node);
      await pause(STOP_MS, undefined, { signal: end.signal }).catch(() => undefined);
      cluster.local.resumeNode(node);
      await pause(RUN_MS, undefined, { signal: end.signal }).catch(() => undefined);
    }
  })();
  return () => end.abort();
}

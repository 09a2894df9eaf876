// One cluster for all tests of a file. A test that fails may leave a broken cluster behind, so the next one gets a new one.

import { afterAll, afterEach, beforeEach } from 'vitest';
import { TestCluster, type ClusterOptions } from './cluster.ts';

/** Registers the hooks of a file; returns its cluster, which exists while a test runs. */
export function sharedCluster(options: ClusterOptions = {}): () => TestCluster {
  let cluster: TestCluster | null = null;
  const stop = async (): Promise<void> => {
    const stopping = cluster;
    cluster = null;
    await stopping?.stop();
  };
  beforeEach(async () => {
    cluster ??= await TestCluster.start(options);
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') await stop();
  });
  afterAll(stop);
  return () => cluster!;
}

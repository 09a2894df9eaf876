// SIGTERM under load: requests in flight get their response, later ones are refused, and the next gateway leads at once.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';
import { CheckedWorkload } from '../support/workload.ts';

// Far longer than a start, so that waiting for the lease to expire would be visible.
const LEASE_MS = 20_000;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ ownProcess: {}, settings: { LEASE_MS: String(LEASE_MS) } });
});
afterAll(() => cluster.stop());

test('leaves no write with an unknown outcome when a gateway stops under load', async () => {
  const workload = await CheckedWorkload.prepare(() => cluster.api, 'stop');
  // A request that the gateway never read ends without a response, and was not executed.
  workload.cutIsRefused = true;
  const load = workload.run(new AbortController().signal, true);
  await until(async () => workload.acknowledged > 100, 'the load is running');
  const { process } = cluster;
  const exited = new Promise((resolve) => process.once('exit', (code, signal) => resolve([code, signal])));
  process.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  await load;
  expect(workload.outcomeUnknown).toEqual([]);

  const behind = await sql(
    cluster,
    `select id, checkpoint, lsn from polychrome.node, polychrome.head where checkpoint < lsn`,
  );
  expect(behind).toEqual([]);

  const startedAt = performance.now();
  await cluster.startGateway();
  expect(performance.now() - startedAt).toBeLessThan(LEASE_MS / 2);
  await cluster.allServe();
  expect(await workload.faults(cluster)).toEqual([]);
});

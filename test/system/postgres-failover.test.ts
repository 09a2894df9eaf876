// PostgreSQL with a standby: kill -9 of the primary under load and promotion of the standby. Nothing acknowledged is
// lost, and service resumes without a restart of the gateway.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { PostgresPair } from '../support/postgres-pair.ts';
import { until } from '../support/until.ts';
import { CheckedWorkload } from '../support/workload.ts';

const settings = { LOG_TIMEOUT_MS: '1500', WRITE_TIMEOUT_MS: '3000', LEASE_MS: '1500' };

describe('with a synchronous standby', () => {
  let cluster: TestCluster;
  let pair: PostgresPair;
  beforeAll(async () => {
    pair = await PostgresPair.start({ synchronous: true });
    cluster = await TestCluster.start({ nodes: 2, settings, databaseUrl: async () => pair.url });
  });
  afterAll(async () => {
    await cluster?.stop();
    await pair?.stop();
  });

  test('loses no acknowledged write and resumes when the primary is killed and the standby promoted', async () => {
    const workload = await CheckedWorkload.prepare(() => cluster.api, 'failover');
    const stop = new AbortController();
    const running = workload.run(stop.signal);
    await until(async () => workload.acknowledged > 100, 'writes succeed');
    pair.primary.signal('SIGKILL');
    await pair.promote();
    const before = workload.acknowledged;
    await until(async () => workload.acknowledged > before + 100, 'writes succeed on the new primary');
    stop.abort();
    await running;
    await cluster.allServe();
    expect((await cluster.status()).halted).toBeNull();
    expect(await workload.faults(cluster)).toEqual([]);
  });
});

// PostgreSQL killed, frozen, cut off, out of disk, and its responses lost, under load. Reads continue; writes succeed or
// get 503 in time; the cluster recovers by itself; no acknowledged write is lost or appended twice.

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { freezePostgres, SmallDisk, sql, terminateConnections } from '../support/postgres-faults.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';
import { CheckedWorkload } from '../support/workload.ts';

// `npm run chaos -- --long` tests the default settings; the suite tests shorter timeouts.
const chaos = process.env['CHAOS'] === '1';
const settings: Record<string, string> = chaos
  ? {}
  : { LOG_TIMEOUT_MS: '1500', WRITE_TIMEOUT_MS: '3000', LEASE_MS: '3000' };
const frozenMs = chaos ? 60_000 : 12_000;
/** The timeouts above, one after the other, and a margin for a machine busy with other tests. */
const lateMs = chaos ? 45_000 : 10_000;

vi.setConfig({ testTimeout: chaos ? 180_000 : 60_000 });

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ settings });
});
afterAll(() => cluster.stop());

/** Runs writers and readers through `fault`, and checks what every node holds afterwards. */
async function survives(
  name: string,
  fault: (workload: CheckedWorkload) => Promise<void>,
): Promise<CheckedWorkload> {
  const { api } = cluster;
  // The previous fault may have cost the gateway its lease.
  await until(async () => (await fetch(`${cluster.url}/health`)).status === 200, 'the gateway leads');
  const workload = await CheckedWorkload.prepare(() => api, name);
  workload.lateMs = lateMs;
  const id = await api.create(`read-${name}`);
  await api.records(id, 'add', { ids: ['a'], embeddings: [[1, 2]], documents: ['kept'] });
  const stop = new AbortController();
  const failedReads: string[] = [];
  let reads = 0;
  const read = async (action: string, body?: object): Promise<void> => {
    while (!stop.signal.aborted) {
      const { status, text } = await api.records(id, action, body);
      reads += 1;
      if (status !== 200) failedReads.push(`${action}: ${status} ${text}`);
    }
  };
  const load = [
    workload.run(stop.signal),
    read('get', { ids: ['a'] }),
    read('query', { query_embeddings: [[1, 2]], n_results: 1 }),
    read('count'),
  ];
  const more = async (count: number, what: string): Promise<void> => {
    const enough = workload.acknowledged + count;
    await until(async () => workload.acknowledged >= enough, what);
  };
  await more(40, 'the load is running');
  const readsBefore = reads;
  await fault(workload);
  expect(reads).toBeGreaterThan(readsBefore);
  await more(40, 'writes succeed again');
  stop.abort();
  await Promise.all(load);
  await cluster.allServe();
  expect(failedReads).toEqual([]);
  expect(workload.late).toEqual([]);
  expect(await workload.faults(cluster)).toEqual([]);
  expect(await duplicateEntries()).toEqual([]);
  return workload;
}

/** Every add of the workload has its own ids, so equal entries are one write that was appended twice. */
function duplicateEntries(): Promise<object[]> {
  return sql(
    cluster,
    `select convert_from(body, 'UTF8') as body, array_agg(lsn) as lsns from polychrome.log
     where kind = 'add' group by target, body having count(*) > 1`,
  );
}

describe('keeps every promise when PostgreSQL', () => {
  test('is killed and restarted by its supervisor', async () => {
    await survives('killed', async () => {
      const pid = cluster.local.postgres.pid();
      cluster.local.postgres.signal('SIGKILL');
      await until(async () => ![pid, null].includes(cluster.local.postgres.pid()), 'PostgreSQL runs again');
    });
  });

  test('is frozen', async () => {
    const { statuses } = await survives('frozen', async () => {
      const thaw = freezePostgres(cluster);
      await pause(frozenMs).finally(thaw);
    });
    expect(statuses['503']).toBeGreaterThan(0);
  });

  test('ends all connections repeatedly', async () => {
    await survives('cut', async () => {
      for (let n = 0; n < 5; n++) await terminateConnections(cluster);
    });
  });

  const noDisk = SmallDisk.unavailable();
  if (noDisk !== null) console.warn(`not tested: PostgreSQL out of disk (${noDisk})`);
  test.skipIf(noDisk !== null)('has no disk space', async () => {
    const disk = await SmallDisk.under(cluster, 400);
    try {
      const { statuses } = await survives('full', async (workload) => {
        disk.fill();
        const tooMuch = "create table too_much as select repeat('x', 1000) from generate_series(1, 100000)";
        await expect(sql(cluster, tooMuch)).rejects.toThrow();
        const refused = workload.statuses['503'] ?? 0;
        const more = async (): Promise<boolean> => (workload.statuses['503'] ?? 0) > refused + 10;
        await until(more, 'writes are refused for lack of disk space').finally(() => disk.makeRoom());
        // Without disk space PostgreSQL may have exited more often than its supervisor restarts it.
        await until(async () => {
          if (cluster.local.postgres.state() === 'given_up') await cluster.local.postgres.start();
          return cluster.local.postgres.state() === 'running';
        }, 'PostgreSQL runs');
      });
      expect(statuses['503']).toBeGreaterThan(0);
    } finally {
      disk.makeRoom();
      await cluster.stopGateway();
      await disk.remove(cluster);
    }
  });
});

test('neither loses nor repeats a write when the response of PostgreSQL is lost after its commit', async () => {
  // The disk test has stopped PostgreSQL if it could run.
  await cluster.stop();
  cluster = await TestCluster.start({ settings });
  const proxy = await TcpProxy.start(cluster.local.databaseUrl);
  const proxied = new URL(cluster.local.databaseUrl);
  proxied.port = String(proxy.port);
  await cluster.stopGateway();
  await cluster.startGateway({ DATABASE_URL: proxied.href });
  try {
    await survives('lost', async (workload) => {
      for (let n = 0; n < 8; n++) {
        const resets = proxy.resets;
        await proxy.set('reset');
        await until(async () => proxy.resets > resets + 2, 'responses are lost');
        await proxy.set('pass');
        const before = workload.acknowledged;
        await until(async () => workload.acknowledged > before + 5, 'writes succeed again');
      }
    });
  } finally {
    await cluster.stopGateway();
    await proxy.stop();
  }
});

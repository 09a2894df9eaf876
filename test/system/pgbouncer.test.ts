// A gateway whose PostgreSQL is behind PgBouncer in transaction mode: consecutive statements of one client run on
// different connections of the server, so nothing may depend on the state of a session.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { PgBouncer } from '../support/pgbouncer.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';
import { CheckedWorkload } from '../support/workload.ts';

const missing = PgBouncer.unavailable();
if (missing !== null) console.warn(`not tested: PgBouncer in transaction mode (${missing})`);

describe.skipIf(missing !== null)('behind PgBouncer in transaction mode', () => {
  // Fewer than the gateway opens, so that its statements change connections all the time.
  const CONNECTIONS = 3;
  let cluster: TestCluster;
  let bouncer: PgBouncer;
  beforeAll(async () => {
    cluster = await TestCluster.start({
      nodes: 2,
      databaseUrl: async (own) => {
        bouncer = await PgBouncer.start(own, CONNECTIONS);
        return bouncer.url;
      },
    });
  });
  afterAll(async () => {
    await cluster?.stop();
    await bouncer?.stop();
  });

  test('every kind of write succeeds, and the nodes end with what was acknowledged', async () => {
    const workload = await CheckedWorkload.prepare(() => cluster.api, 'pooled');
    const stop = new AbortController();
    const running = workload.run(stop.signal);
    await until(async () => {
      if (workload.acknowledged > 150) return true;
      throw new Error(JSON.stringify(workload.statuses));
    }, 'writes succeed');
    // A restarted gateway starts on a migrated schema, with connections that PgBouncer has used before.
    stop.abort();
    await running;
    await cluster.stopGateway();
    await cluster.startGateway();
    await cluster.allServe();
    expect(workload.statuses['503'] ?? 0).toBe(0);
    expect(await workload.faults(cluster)).toEqual([]);
  });

  test('the gateway leaves no state of a session behind', async () => {
    const left = await sql(
      cluster,
      `select (select count(*)::int from pg_locks where locktype = 'advisory') as locks,
              (select count(*)::int from pg_class where relpersistence = 't') as "temporaryTables",
              (select count(*)::int from pg_stat_activity where usename = current_user
                 and backend_type = 'client backend' and pid <> pg_backend_pid()) <= ${CONNECTIONS} as "arePooled"`,
    );
    expect(left).toEqual([{ locks: 0, temporaryTables: 0, arePooled: true }]);
  });
});

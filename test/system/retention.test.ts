// The log is trimmed under load; a node that was away for longer is filled anew, by copies.

import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';
import { CheckedWorkload } from '../support/workload.ts';

const PARTITION = 64;
/** The workload creates collections as fast as the machine allows, and each is copied anew. */
const HEAL_MS_MAX = 240_000;

vi.setConfig({ testTimeout: 480_000 });

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ settings: { WAL_RETENTION: '2s' } });
  await sql(cluster, `update polychrome.head set partition_entries = ${PARTITION}`);
});
afterAll(() => cluster.stop());

interface WalStatus {
  readonly head: number;
  readonly trimmed: number;
}

const walStatus = async (): Promise<WalStatus> =>
  (await (await fetch(`${cluster.url}/wal/status`)).json()) as WalStatus;

const count = async (table: string, where = 'true'): Promise<number> =>
  Number(
    (await sql<{ n: string }>(cluster, `select count(*) as n from polychrome.${table} where ${where}`))[0]!.n,
  );

test('loses nothing when the log is trimmed under load, and fills a node that was left behind', async () => {
  const workload = await CheckedWorkload.prepare(() => cluster.api, 'trim');
  const stop = new AbortController();
  const load = workload.run(stop.signal);
  await until(async () => (await walStatus()).trimmed > 0, 'the log is trimmed');
  await sql(cluster, `update polychrome.append_batch set appended_at = now() - interval '61 minutes'`);

  const away = 'node-3';
  await cluster.local.stopNode(away);
  const state = async (): Promise<string> =>
    (await cluster.status()).nodes.find(({ id }) => id === away)!.state;
  await until(async () => (await state()) === 'needs_rebuild', 'the node has been left behind');
  await cluster.local.startNode(away);
  stop.abort();
  await load;

  await cluster.allServe(HEAL_MS_MAX);
  const isHealed = async (): Promise<boolean> =>
    (await count('node_shard', `state = 'current' and suspect is not null`)) === 0;
  await until(isHealed, 'every copy is healed', HEAL_MS_MAX);
  expect((await cluster.status()).halted).toBeNull();
  expect(await workload.faults(cluster)).toEqual([]);

  const [log] = await sql(
    cluster,
    `select lsn - trimmed = (select count(*) from polychrome.log) as whole,
            trimmed + 1 = (select min(lsn) from polychrome.log) as "endsThere" from polychrome.head`,
  );
  expect(log).toEqual({ whole: true, endsThere: true });
  const old = (): Promise<number> => count('append_batch', `appended_at < now() - interval '1 hour'`);
  await until(async () => (await old()) === 0, 'old batches are deleted');
});

test('deletes the rows of deleted collections with their entries', async () => {
  const gone = `name like 'gone-%' and state = 'deleted' and exists (select from polychrome.shard x
     where x.collection = collection.id and x.last_lsn <= (select trimmed from polychrome.head))`;
  const { trimmed } = await walStatus();
  await until(async () => {
    for (let n = 0; n < PARTITION / 2; n++) {
      await cluster.api.create(`gone-${n}`);
      await cluster.api.call(
        'DELETE',
        `/api/v2/tenants/default_tenant/databases/default_database/collections/gone-${n}`,
      );
    }
    return (await walStatus()).trimmed > trimmed;
  }, 'the log is trimmed');
  await until(async () => (await count('collection', gone)) === 0, 'the rows are deleted');
  // The last partition stays. How many entries the others hold depends on the speed of the machine.
  const left = (): Promise<number> => count('collection', `name like 'gone-%'`);
  await until(async () => (await left()) <= PARTITION, 'the rows of all other partitions are deleted');
});

test('trims the log before its retention time when it exceeds WAL_RETENTION_BYTES', async () => {
  const retentionMs = 20_000;
  await cluster.stopGateway();
  await cluster.startGateway({ WAL_RETENTION: `${retentionMs / 1_000}s`, WAL_RETENTION_BYTES: '1' });
  const { head } = await walStatus();
  const startedAt = performance.now();
  const workload = await CheckedWorkload.prepare(() => cluster.api, 'bytes');
  const stop = new AbortController();
  const load = workload.run(stop.signal);
  // Entries of this load, none of which has reached the retention time.
  await until(async () => (await walStatus()).trimmed > head, 'entries of this load are trimmed');
  expect(performance.now() - startedAt).toBeLessThan(retentionMs);
  stop.abort();
  await load;
  expect((await cluster.status()).halted).toBeNull();
});

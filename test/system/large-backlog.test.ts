// A gateway that starts 100,000 entries behind serves within seconds; a lagging node delays no other.

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checksum, type Draft } from '../../src/log/entry.ts';
import { PostgresAppendStore } from '../../src/log/postgres-append-store.ts';
import { PostgresLog } from '../../src/log/postgres-log.ts';
import { Database } from '../../src/postgres/database.ts';
import { PostgresServers } from '../../src/postgres/postgres-servers.ts';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';

const ENTRIES = 100_000;
const BATCH = 1_000;
/** A dozen seconds on a quiet machine. */
const TEST_MS_MAX = 120_000;
/** For a start with one node behind, on a machine that runs other tests too. */
const START_MS_MAX = 10_000;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start();
});
afterAll(() => cluster.stop());

/** Appends entries that cost a node almost nothing: deletes of records that never existed. */
async function append(shard: string): Promise<void> {
  const database = new Database({
    servers: new PostgresServers({ url: cluster.local.databaseUrl }),
    schema: 'polychrome',
    connectionsMax: 1,
    statementTimeoutMs: 10_000,
    applicationName: 'test',
    onError: () => undefined,
  });
  const { logId } = await new PostgresLog(database).head();
  const store = new PostgresAppendStore(database, {
    logId: () => logId,
    takeWarning: () => null,
    seen: () => ({ head: 0, newest: null }),
  });
  for (let at = 0; at < ENTRIES; at += BATCH) {
    const drafts = Array.from({ length: BATCH }, (_, n): Draft => ({
      kind: 'delete',
      target: shard,
      header: '{}',
      dimension: null,
      body: Buffer.from(`{"ids":["missing-${at + n}"]}`),
    }));
    await store.append(randomUUID(), drafts, drafts.map(checksum));
  }
  await database.close();
}

test(
  'serves at once when its nodes are 100,000 entries behind, and replicates to them meanwhile',
  async () => {
    const { api } = cluster;
    const id = await api.create('behind');
    await api.records(id, 'add', { ids: ['kept'], embeddings: [[1]] });
    await cluster.allServe();
    await cluster.local.stopNode('node-3');
    await cluster.stopGateway();
    const [row] = await sql<{ id: string }>(
      cluster,
      'select id from polychrome.shard where collection = $1',
      [id],
    );
    await append(row!.id);

    // All nodes are behind, and one of them does not run.
    await cluster.startGateway();
    expect((await api.records(id, 'count')).text).toBe('1');
    await cluster.stopGateway();

    await cluster.local.startNode('node-3');
    const startedAt = performance.now();
    await cluster.startGateway();
    expect(performance.now() - startedAt).toBeLessThan(START_MS_MAX);
    const lag = (await cluster.status()).nodes.find((node) => node.id === 'node-3')!.lag.entries;
    expect(lag).toBeGreaterThan(0);
    expect((await api.records(id, 'count')).text).toBe('1');
    expect((await api.records(id, 'add', { ids: ['new'], embeddings: [[2]] })).status).toBe(201);

    await cluster.allServe();
    expect(new Set((await cluster.contents()).values()).size).toBe(1);
  },
  TEST_MS_MAX,
);

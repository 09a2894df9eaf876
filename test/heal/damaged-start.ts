// A server that does not start, because the first pages of its database file are damaged, is emptied and filled anew.

import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';
import { differences, fill, type HealDrill, put, replicaOf, withCluster } from './drill.ts';

const RECORDS = 1_000;

export const damagedStart: HealDrill = {
  name: 'damaged-start',
  about: 'a server does not start because its database file is damaged',
  run: ({ log }) =>
    withCluster(TestCluster.start({ restartsNodes: true }), async (cluster) => {
      const id = await fill(cluster, 'kept', RECORDS);
      await cluster.allServe();
      const node = await replicaOf(cluster);
      const { dataDir } = cluster.local.nodes.find((each) => each.id === node)!;
      const file = openSync(join(dataDir, 'chroma.sqlite3'), 'r+');
      writeSync(file, Buffer.alloc(64, 0xaa), 0, 64, 0);
      closeSync(file);
      cluster.local.killNode(node);
      const since = performance.now();
      const damaged = `select 1 from polychrome.event where kind = 'node_damaged' and node = '${node}'`;
      await until(async () => (await sql(cluster, damaged)).length > 0, 'the damage is noticed', 180_000);
      log(`noticed after ${Math.round((performance.now() - since) / 1_000)} s`);
      await put(cluster, id, { from: RECORDS, count: 100, text: 'meanwhile' });
      const faults = await differences(cluster);
      log(`healed after ${Math.round((performance.now() - since) / 1_000)} s`);
      return faults;
    }),
};

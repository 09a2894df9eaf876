// A collection is renamed, deleted and created again by clients while a copy of it is built anew.

import { TestCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';
import { differences, fill, type HealDrill, put, replicaOf, suspect, withCluster } from './drill.ts';

const RECORDS = 1_500;
const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';

type Change = (cluster: TestCluster, id: string, name: string) => Promise<void>;

const CHANGES: Readonly<Record<string, Change>> = {
  renamed: async (cluster, id, name) => {
    const { status } = await cluster.api.call('PUT', `${COLLECTIONS}/${id}`, { new_name: `${name}-renamed` });
    if (status !== 200) throw new Error(`rename: ${status}`);
    await put(cluster, id, { from: 7, count: 20, text: 'after the rename' });
  },
  dropped: async (cluster, _id, name) => {
    const { status } = await cluster.api.call('DELETE', `${COLLECTIONS}/${name}`);
    if (status !== 200) throw new Error(`delete: ${status}`);
  },
  recreated: async (cluster, _id, name) => {
    await cluster.api.call('DELETE', `${COLLECTIONS}/${name}`);
    await fill(cluster, name, 40);
  },
};

export const changedMeanwhile: HealDrill = {
  name: 'changed-meanwhile',
  about: 'a collection is renamed, deleted and created again while a copy of it is built anew',
  run: ({ log }) =>
    // Slow enough that each change meets the copy.
    withCluster(TestCluster.start({ settings: { REBUILD_BYTES_PER_SECOND: '25000' } }), async (cluster) => {
      const faults: string[] = [];
      for (const [name, change] of Object.entries(CHANGES)) {
        const id = await fill(cluster, name, RECORDS);
        await cluster.allServe();
        const node = await replicaOf(cluster);
        await suspect(cluster, node, id);
        await until(async () => {
          const { current } = (await cluster.status()).rebuilds;
          return current?.collection === id && current.phase === 'copying' && current.done > 0;
        }, `the copy of ${name} is being made`);
        await change(cluster, id, name);
        const found = await differences(cluster);
        log(`${name} while it was copied: ${found.length === 0 ? 'the nodes are equal' : found.join('; ')}`);
        faults.push(...found.map((fault) => `${name}: ${fault}`));
      }
      const listed = JSON.parse((await cluster.api.collections()).text) as { name: string }[];
      const names = listed.map(({ name }) => name).filter((name) => !name.startsWith('noticed-'));
      const expected = ['recreated', 'renamed-renamed'];
      if (JSON.stringify(names.sort()) !== JSON.stringify(expected))
        faults.push(`collections: ${names.join(', ')}`);
      return faults;
    }),
};

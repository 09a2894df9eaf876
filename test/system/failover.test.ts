// kill -9 of the primary under load: no request fails, no write is lost, and the node recovers by itself.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start();
});
afterAll(() => cluster.stop());

test('fails no request of 8 writers and 2 readers when the primary is killed, and ends with identical nodes', async () => {
  const { api } = cluster;
  const id = await api.create('records');
  const acknowledged = new Map<string, number>();
  const failures: string[] = [];
  let running = true;

  const writer = async (name: number): Promise<void> => {
    for (let n = 0; running; n++) {
      const record = `w${name}-${n % 40}`;
      const body = { ids: [record], embeddings: [[name, n, 1]], documents: [`${n}`], metadatas: [{ n }] };
      const response = await api.records(id, 'upsert', body);
      if (response.status === 200) acknowledged.set(record, n);
      else failures.push(`${response.status} ${response.text}`);
    }
  };
  const reader = async (): Promise<void> => {
    while (running) {
      const [known] = [...acknowledged].slice(-1);
      const before = known === undefined ? [] : [known];
      const response = await api.records(id, 'get', {
        ids: before.map(([record]) => record),
        include: ['documents'],
      });
      const documents =
        response.status === 200 ? (JSON.parse(response.text) as { documents: string[] }).documents : [];
      // Never stale: at least the writes acknowledged before the read was sent.
      const fresh = before.every(([, n]) => Number(documents[0]) >= n);
      if (!fresh) failures.push(`read ${JSON.stringify(before)}: ${response.status} ${response.text}`);
    }
  };
  const load = [...Array.from({ length: 8 }, (_, n) => writer(n)), reader(), reader()];

  const enough = async (count: number): Promise<void> => {
    while (acknowledged.size < count && failures.length === 0) await new Promise(setImmediate);
  };
  await enough(40);
  const primary = await cluster.primary();
  cluster.local.killNode(primary);
  acknowledged.clear();
  await enough(200);
  expect(await cluster.primary()).not.toBe(primary);
  running = false;
  await Promise.all(load);
  expect(failures).toEqual([]);

  await cluster.allServe();
  const contents = [...(await cluster.contents()).values()];
  expect(new Set(contents).size).toBe(1);
  const lines = contents[0]!.split('\n').slice(1);
  expect(new Set(lines.map((line) => (JSON.parse(line) as string[])[0])).size).toBe(lines.length);
  for (const [record, n] of acknowledged) {
    expect(lines.some((line) => line.startsWith(`["${record}","${n}"`))).toBe(true);
  }
});

test('the comparison of contents reports a single lost record', async () => {
  const { api } = cluster;
  const id = await api.create('checked');
  await api.records(id, 'add', { ids: ['a', 'b'], embeddings: [[1], [2]] });
  await cluster.allServe();
  const node = cluster.node('node-2');
  const listed = JSON.parse((await node.collections()).text) as { id: string; name: string }[];
  const physical = listed.find(({ name }) => name === 'checked')!.id;
  await node.records(physical, 'delete', { ids: ['b'] });
  const contents = await cluster.contents();
  expect(contents.get('node-2')).not.toBe(contents.get('node-1'));
  expect(contents.get('node-3')).toBe(contents.get('node-1'));
});

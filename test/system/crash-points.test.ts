// kill -9 of the gateway at each named point on the way of every write, under load. What was acknowledged is there, what
// was refused is nowhere, what had no answer is whole or absent, and all nodes hold the same in the same order.

import { expect, test } from 'vitest';
import { CRASH_POINTS } from '../../src/util/crash-point.ts';
import { DECIDING_POINTS, killedAtEach, WAY_POINTS } from '../support/crash-points.ts';
import { until } from '../support/until.ts';
import { Workload } from '../support/workload.ts';

const aliveCluster = killedAtEach(WAY_POINTS);

test('no point is left out', () => {
  expect([...Object.keys(WAY_POINTS), ...Object.keys(DECIDING_POINTS)].sort()).toEqual(
    [...CRASH_POINTS].sort(),
  );
});

test('the reckoning sees a lost write, a write that came back, and nodes that differ', async () => {
  const cluster = await aliveCluster();
  const workload = await Workload.prepare(() => cluster.api, 'reckoning');
  const stop = new AbortController();
  const load = workload.run(stop.signal);
  await until(async () => workload.acknowledged > 200, 'there is something to reckon');
  stop.abort();
  await load;
  await cluster.allServe();
  expect(await workload.faults(cluster)).toEqual([]);

  const nodes = cluster.local.nodes.map(({ id }) => cluster.node(id));
  const everywhere = async (action: string, body: object): Promise<void> => {
    for (const node of nodes) {
      const listed = JSON.parse((await node.collections()).text) as { id: string; name: string }[];
      const { id } = listed.find(({ name }) => name === 'reckoning-records')!;
      expect((await node.records(id, action, body)).status).toBeLessThan(300);
    }
  };
  const refused = { ids: ['reckoning-mistakes0:bad0/0'], embeddings: [[1, 1]] };
  await everywhere('delete', { ids: ['reckoning-adds0:0/1'] });
  await everywhere('add', refused);
  const faults = await workload.faults(cluster);
  expect(faults.map((fault) => fault.split(' ')[0])).toEqual([
    'reckoning-adds0:0',
    'reckoning-mistakes0:bad0',
  ]);

  nodes.splice(1);
  await everywhere('delete', refused);
  expect((await workload.faults(cluster)).some((fault) => fault.startsWith('node-2 differs'))).toBe(true);
});

// kill -9 of the gateway under load at each named point of a write. Afterwards acknowledged writes are present, refused
// writes are absent, writes without a response are whole or absent, and all nodes are identical.

import { expect, test } from 'vitest';
import { CRASH_POINTS } from '../../src/util/crash-point.ts';
import { DECIDING_POINTS, killedAtEach, REBUILD_POINTS, WRITE_POINTS } from '../support/crash-points.ts';
import { until } from '../support/until.ts';
import { CheckedWorkload } from '../support/workload.ts';

const clusterAfterwards = killedAtEach(WRITE_POINTS);

test('the lists name every crash point', () => {
  const covered = [...Object.keys(WRITE_POINTS), ...Object.keys(DECIDING_POINTS), ...REBUILD_POINTS];
  expect(covered.sort()).toEqual([...CRASH_POINTS].sort());
});

test('the workload reports a lost write, a refused write that is present, and nodes that differ', async () => {
  const cluster = await clusterAfterwards();
  const workload = await CheckedWorkload.prepare(() => cluster.api, 'report');
  const stop = new AbortController();
  const load = workload.run(stop.signal);
  await until(async () => workload.acknowledged > 200, 'the workload has written');
  stop.abort();
  await load;
  await cluster.allServe();
  expect(await workload.faults(cluster)).toEqual([]);

  const nodes = cluster.local.nodes.map(({ id }) => cluster.node(id));
  const everywhere = async (action: string, body: object): Promise<void> => {
    for (const node of nodes) {
      const listed = JSON.parse((await node.collections()).text) as { id: string; name: string }[];
      const { id } = listed.find(({ name }) => name === 'report-records')!;
      expect((await node.records(id, action, body)).status).toBeLessThan(300);
    }
  };
  const refused = { ids: ['report-mistakes0:bad0/0'], embeddings: [[1, 1]] };
  await everywhere('delete', { ids: ['report-adds0:0/1'] });
  await everywhere('add', refused);
  const faults = await workload.faults(cluster);
  expect(faults.map((fault) => fault.split(' ')[0])).toEqual(['report-adds0:0', 'report-mistakes0:bad0']);

  nodes.splice(1);
  await everywhere('delete', refused);
  expect((await workload.faults(cluster)).some((fault) => fault.startsWith('node-2 differs'))).toBe(true);
});

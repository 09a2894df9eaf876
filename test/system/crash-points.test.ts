// kill -9 of the gateway at each named point, under load. What was acknowledged is there, what was refused is nowhere,
// what had no answer is whole or absent, and all nodes hold the same in the same order.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CRASH_POINTS, type CrashPoint } from '../../src/util/crash-point.ts';
import { TestCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';
import { Workload } from '../support/workload.ts';

/** At which of the times it is reached once the load is under way. */
const TIMES: Record<CrashPoint, number> = {
  append_before: 10,
  append_sent: 10,
  append_committed: 10,
  append_published: 10,
  call_sent: 20,
  call_answered: 20,
  checkpoint_before: 15,
  checkpoint_after: 15,
  decision_before: 4,
  decision_recorded: 3,
  delete_halfway: 1,
  marker_before: 1,
  marker_after: 1,
};
// The largest batch of a stock server is 5,461 records (chroma-facts: pre-flight-checks).
const BULK = 6_000;

let cluster: TestCluster;
let armedFor: CrashPoint | undefined;
beforeAll(async () => {
  cluster = await TestCluster.start({ ownProcess: { NODE_ENV: 'test' }, settings: { LEASE_MS: '1000' } });
});
afterAll(() => cluster.stop());

/** Runs the gateway so that it dies at `point` once armed; the next point's gateway is the one that recovers. */
async function gatewayThatDiesAt(point: CrashPoint): Promise<void> {
  if (armedFor === point && cluster.process.signalCode === null) return;
  await cluster.stopGateway('SIGKILL');
  await cluster.startGateway({ CRASH_AT: `${point}:${TIMES[point]}` });
  armedFor = point;
}

describe('a gateway killed at', () => {
  test.each(CRASH_POINTS.map((point, index) => [point, CRASH_POINTS[index + 1] ?? point] as const))(
    '%s keeps every promise',
    async (point, next) => {
      await gatewayThatDiesAt(point);
      const workload = await Workload.prepare(() => cluster.api, point.replace('_', '-'));
      if (point === 'delete_halfway') await workload.prepareBulk(BULK);
      await cluster.allServe();

      const { process } = cluster;
      const died = new Promise<NodeJS.Signals | null>((resolve) =>
        process.once('exit', (_code, signal) => resolve(signal)),
      );
      const stop = new AbortController();
      const load = workload.run(stop.signal, true);
      await until(async () => workload.acknowledged > 20, 'the load is under way');
      process.kill('SIGUSR2');
      if (point === 'delete_halfway') await workload.deleteBulk();
      expect(await died).toBe('SIGKILL');
      stop.abort();
      await load;

      armedFor = undefined;
      await gatewayThatDiesAt(next);
      await cluster.allServe();
      expect(await workload.faults(cluster)).toEqual([]);
    },
  );
});

test('the reckoning sees a lost write, a write that came back, and nodes that differ', async () => {
  await cluster.stopGateway('SIGKILL');
  await cluster.startGateway();
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

// Kills the gateway at named points under load: the tests for the files that list the points.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CrashPoint } from '../../src/util/crash-point.ts';
import { TestCluster } from './cluster.ts';
import { until } from './until.ts';
import { CheckedWorkload } from './workload.ts';

/** Points that every write passes. */
export const WRITE_POINTS = {
  append_before: 10,
  append_sent: 10,
  append_committed: 10,
  append_published: 10,
  call_sent: 20,
  call_responded: 20,
  checkpoint_before: 15,
  checkpoint_after: 15,
} as const satisfies Times;
/** Points of decisions by the primary and of markers. */
export const DECIDING_POINTS = {
  part_halfway: 1,
  decision_before: 4,
  decision_recorded: 3,
  delete_halfway: 1,
  marker_before: 1,
  marker_after: 1,
} as const satisfies Times;

/** Points of rebuilds (test/system/rebuild.test.ts). */
export const REBUILD_POINTS = [
  'copy_recorded',
  'copy_created',
  'copy_halfway',
  'copy_complete',
  'copy_marked',
  'swap_before',
  'swap_after',
  'fill_reset',
  'fill_emptied',
  'fill_recorded',
  'fill_marked',
  'drop_renamed',
  'drop_done',
] as const satisfies readonly CrashPoint[];

/** How often each point is passed under load before the gateway dies there. */
type Times = Partial<Record<CrashPoint, number>>;

// The largest batch of a stock server is 5,461 records (docs/chroma-behaviour.md#calls-above-max_batch_size).
const BULK = 6_000;

/** Every second point; all of them in `npm run chaos -- --long`. */
export function pointsOfThisRun<Point>(points: readonly Point[]): Point[] {
  return points.filter((_point, index) => process.env['CHAOS'] === '1' || index % 2 === 0);
}

/** Defines a test for each point of this run; returns their cluster with a gateway that does not die. */
export function killedAtEach(times: Times): () => Promise<TestCluster> {
  const points = pointsOfThisRun(Object.keys(times) as CrashPoint[]);
  let cluster: TestCluster;
  let armedFor: CrashPoint | undefined;
  beforeAll(async () => {
    cluster = await TestCluster.start({ ownProcess: { NODE_ENV: 'test' }, settings: { LEASE_MS: '2000' } });
  });
  afterAll(() => cluster.stop());

  /** Starts a gateway that dies at `point` once armed; it recovers from the previous point's death. */
  async function gatewayThatDiesAt(point: CrashPoint): Promise<void> {
    if (armedFor === point && cluster.process.signalCode === null) return;
    await cluster.stopGateway('SIGKILL');
    await cluster.startGateway({ CRASH_AT: `${point}:${times[point]}` });
    armedFor = point;
  }

  describe('keeps every promise when the gateway is killed at', () => {
    test.each(points.map((point, index) => [point, points[index + 1] ?? point] as const))(
      '%s',
      async (point, next) => {
        await gatewayThatDiesAt(point);
        const workload = await CheckedWorkload.prepare(() => cluster.api, point.replace('_', '-'));
        if (point === 'delete_halfway') await workload.prepareBulk(BULK);
        await cluster.allServe();

        const { process } = cluster;
        const died = new Promise<NodeJS.Signals | null>((resolve) =>
          process.once('exit', (_code, signal) => resolve(signal)),
        );
        const stop = new AbortController();
        const load = workload.run(stop.signal, true);
        await until(async () => workload.acknowledged > 20, 'the load is running');
        process.kill('SIGUSR2');
        if (point === 'delete_halfway') await workload.deleteBulk();
        if (point === 'part_halfway') await workload.addLarge(BULK);
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

  return async () => {
    await cluster.stopGateway('SIGKILL');
    await cluster.startGateway();
    return cluster;
  };
}

// Latency against throughput: calls arrive at a share of what the target managed in the closed loop, and latency
// counts from the moment of arrival. Timers have a grain of 1 ms, alike for all targets.

import { type ClosedRun, feedOf } from './closed.ts';
import { runOpen } from './load.ts';
import { percentile } from './statistics.ts';
import type { Workload } from './workloads.ts';

/** The workloads whose curves tell most: one that reads, one that writes. */
export const SWEPT = ['query_c64', 'add_c64'];

/** Takes the curve of every target measured with `workload`; the ceiling has none, its calls are not single ones. */
export async function sweep(workload: Workload, run: ClosedRun): Promise<void> {
  const { settings, targets, results, bodies, onStep } = run;
  for (const load of settings.sweepLoads) {
    for (const target of targets) {
      const capacity = results.cell(workload.name, target.name)?.qps.median;
      if (capacity === undefined || target.batch > 1) continue;
      const rate = Math.max(1, Math.round(capacity * load));
      onStep(`${workload.name} · ${target.name} · ${rate}/s`);
      const fill = bodies.fill(workload.collection);
      const name = `bench_${workload.collection}`;
      const { server } = target;
      const collection =
        workload.collection === 'written'
          ? await server.freshCollection(name, fill)
          : await server.collection(name, fill);
      const feed = feedOf(workload, target, collection);
      const outcome = await runOpen({ address: server.address, rate, durationMs: settings.sweepMs, feed });
      await server.settle();
      results.addSweepPoint(workload.name, target.name, {
        rate,
        qps: (outcome.operations * 1_000) / outcome.elapsedMs,
        p50Ms: percentile(outcome.latenciesMs, 0.5),
        p99Ms: percentile(outcome.latenciesMs, 0.99),
        failed: [...outcome.failures.values()].reduce((sum, count) => sum + count, 0),
      });
    }
  }
}

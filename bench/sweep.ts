// Latency against throughput: an open loop at fractions of the target's closed-loop throughput. Latency counts from the
// intended send time; timer resolution is 1 ms for all targets.

import { type BenchmarkRun, callSource } from './closed-workload.ts';
import { failureCount, runOpen } from './load.ts';
import { percentile } from './statistics.ts';
import type { Workload } from './workloads.ts';

/** One read and one write workload. */
export const SWEPT = ['query_c64', 'add_c64'];

/** Measures the curve of every target that has run `workload`, except the ceiling, whose calls are batches. */
export async function sweep(workload: Workload, run: BenchmarkRun): Promise<void> {
  const { settings, targets, results, bodies, onStep } = run;
  for (const load of settings.sweepLoads) {
    for (const target of targets) {
      const capacity = results.cell(workload.name, target.name)?.qps.median;
      if (capacity === undefined || target.batch > 1) continue;
      const rate = Math.max(1, Math.round(capacity * load));
      onStep(`${workload.name} · ${target.name} · ${rate}/s`);
      const { server } = target;
      const collection = await bodies.open(server, workload.collection);
      const nextCall = callSource({ workload, target, collection });
      const outcome = await runOpen({
        address: server.address,
        rate,
        durationMs: settings.sweepMs,
        nextCall,
      });
      await server.settle();
      results.addSweepPoint(workload.name, target.name, {
        rate,
        qps: (outcome.operations * 1_000) / outcome.elapsedMs,
        p50Ms: percentile(outcome.latenciesMs, 0.5),
        p99Ms: percentile(outcome.latenciesMs, 0.99),
        failed: failureCount(outcome),
      });
    }
  }
}

// Registers drills as tests that share a cluster for as long as it stays good.

import { afterAll, expect, test } from 'vitest';
import type { TestCluster } from '../support/cluster.ts';
import { runDrill, type Scenario, startDrillCluster, stopDrillCluster } from './drill.ts';
import { drillReport, isGood } from './report.ts';

/** Fixed, so that the suite says the same twice; other seeds are for `npm run drills`. */
const SEED = 20_261_128;
/** A drill that fails waits for its bounds: an outcome, a later write, and the other nodes. */
const DRILL_MS_MAX = 300_000;
const SETTLE_MS_MAX = 60_000;

export function drillTests(scenarios: readonly Scenario[]): void {
  let cluster: TestCluster | null = null;
  const stop = async (): Promise<void> => {
    const stopping = cluster;
    cluster = null;
    if (stopping !== null) expect(await stopDrillCluster(stopping)).toBeNull();
  };
  afterAll(stop);
  test.each(scenarios)(
    'keeps serving through $about ($name)',
    { timeout: DRILL_MS_MAX },
    async (scenario) => {
      cluster ??= await startDrillCluster();
      const result = await runDrill(cluster, scenario, { seed: SEED, settleMsMax: SETTLE_MS_MAX });
      console.log(drillReport(result));
      // What one drill leaves behind must not be another's finding.
      if (!isGood(result)) await stop();
      expect(result.findings.filter(({ faults }) => faults.length > 0)).toEqual([]);
    },
  );
}

/** The scenarios of these names, in this order. */
export function named(scenarios: readonly Scenario[], names: readonly string[]): readonly Scenario[] {
  return names.map((name) => {
    const found = scenarios.find((scenario) => scenario.name === name);
    if (found === undefined) throw new Error(`no scenario is named ${name}`);
    return found;
  });
}

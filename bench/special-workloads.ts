// Workloads that are not closed loops: each has its own targets and its own measurement.

import type { BenchmarkRun } from './closed-workload.ts';
import { measureBulkReference, measureCatchup } from './catchup.ts';
import { FAULT_SIGNALS, measureFailover } from './failover.ts';
import { measureHeal, measureHealReference } from './heal.ts';
import { measureLag } from './lag.ts';
import { measureMemory } from './memory.ts';
import { BULK_LOADS, measureReadsBesideBulk } from './read-beside-bulk.ts';
import type { Settings } from './settings.ts';
import type { Target, TargetName } from './targets.ts';
import type { Workload } from './workloads.ts';

interface Context {
  readonly run: BenchmarkRun;
  readonly target: Target;
  /** The closed-loop workload of this name. */
  readonly workload: (name: string) => Workload;
  /** Reports that the step described by `detail` begins. */
  readonly onStep: (detail: string) => void;
}

export interface SpecialWorkload {
  readonly name: string;
  /** One line for the report. */
  readonly title: string;
  readonly targets: readonly TargetName[];
  readonly rounds: (settings: Settings) => number;
  readonly measure: (context: Context) => Promise<void>;
}

const once = (): number => 1;

/** In the order they run. */
export const SPECIAL_WORKLOADS: readonly SpecialWorkload[] = [
  {
    name: 'read_beside_bulk',
    title: 'paced reads of the loaded and of another collection, without load and during each bulk load',
    targets: ['direct', 'polychrome1', 'polychrome3'],
    rounds: once,
    async measure({ run, target, workload, onStep }) {
      for (const load of BULK_LOADS) {
        onStep(load);
        await measureReadsBesideBulk({ load, workload: workload(load) }, target, run);
      }
    },
  },
  {
    name: 'lag',
    title: 'time from acknowledgement to application on every node, at half load (latencies are lags)',
    targets: ['polychrome3'],
    rounds: once,
    async measure({ run, target, workload, onStep }) {
      onStep('half load');
      await measureLag(workload('add_c64'), target, run);
    },
  },
  {
    name: 'catchup',
    title:
      'entries/s from the first response of a restarted node until it has applied them, before it is verified; direct: the same number of records, bulk loaded into an equal collection (latencies are durations)',
    targets: ['direct', 'polychrome3'],
    rounds: ({ catchupRounds }) => catchupRounds,
    async measure({ run, target, workload, onStep }) {
      onStep(target.name === 'direct' ? 'bulk reference' : 'restart of a replica');
      await (target.name === 'direct'
        ? measureBulkReference(workload('bulk_add'), target, run)
        : measureCatchup(workload('add_c64'), target, run));
    },
  },
  {
    name: 'rebuild',
    title:
      'records/s of a rebuilt copy (verify: of a compared node); direct: the same number of records, bulk loaded (latencies are durations)',
    targets: ['direct', 'polychrome3'],
    rounds: ({ catchupRounds }) => catchupRounds,
    async measure({ run, target, workload, onStep }) {
      onStep(target.name === 'direct' ? 'bulk reference' : 'rebuild, verify, scrub');
      const workloads = { bulk: workload('bulk_add'), query: workload('query_c1') };
      await (target.name === 'direct'
        ? measureHealReference(workloads, target, run)
        : measureHeal(workloads, target, run));
    },
  },
  {
    name: 'failover',
    title: 'reads and writes while the primary is killed, and while it hangs',
    targets: ['polychrome3'],
    rounds: once,
    async measure({ run, target, workload, onStep }) {
      const workloads = { query: workload('query_c64'), add: workload('add_c64') };
      for (const fault of FAULT_SIGNALS) {
        onStep(fault);
        await measureFailover({ fault, ...workloads }, target, run);
      }
    },
  },
  {
    name: 'memory',
    title: 'peak resident set size of the gateway during bulk adds',
    targets: ['polychrome1'],
    rounds: once,
    async measure({ run, target, onStep }) {
      onStep('bulk adds');
      await measureMemory(target, run);
    },
  },
];

/** Measures one workload. An error on one target is recorded in the results; the other targets continue. */
export async function runSpecialWorkload(
  special: SpecialWorkload,
  closed: readonly Workload[],
  run: BenchmarkRun,
): Promise<void> {
  const targets = run.targets.filter(({ name }) => special.targets.includes(name));
  for (let round = 1; round <= special.rounds(run.settings); round += 1) {
    for (const target of targets) {
      await special
        .measure({
          run,
          target,
          workload: (name) => closed.find((workload) => workload.name === name)!,
          onStep: (detail) => run.onStep(`${special.name} · ${target.name} · ${detail}`),
        })
        .catch((error: unknown) => run.results.addFailure(special.name, target.name, String(error)));
    }
  }
  run.bodies.releaseSupplies();
}

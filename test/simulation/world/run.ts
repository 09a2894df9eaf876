// Runs the plan of a seed, and makes a failing plan small.

import { faultsOf } from '../../histories/checker.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { Violation } from './violation.ts';
import type { Plan } from './plan.ts';
import { drawPlan } from './plan-drawing.ts';
import { withEpilogue } from './plan-epilogue.ts';
import { World, type RunResult } from './world.ts';

/** Length of a plan where nothing else is asked for. */
export const STEPS = 40;

const EPILOGUE = 0x5ca1ab1e;

export function planOf(seed: number, steps: number = STEPS): Plan {
  // A generator of its own: what it draws changes nothing before.
  return withEpilogue(drawPlan(seed, steps, seededRandom(seed)), seededRandom(seed ^ EPILOGUE));
}

/** Runs a plan; what clients observed is checked as well. */
export async function runPlan(plan: Plan, options: { readonly traces?: boolean } = {}): Promise<RunResult> {
  // Stack traces of errors, and of aborted signals, take a quarter of the time, and nothing reads them.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = options.traces === true ? stackTraceLimit : 0;
  try {
    return await runWhole(plan, options);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

async function runWhole(plan: Plan, options: { readonly traces?: boolean }): Promise<RunResult> {
  const world = new World(plan, options);
  const result = await world.run();
  if (result.violation !== null) return result;
  // Entries that a promoted standby lacks were acknowledged, and are lost; a delayed call is found, not prevented
  // (docs/guarantees.md).
  const isExempt = (collection: string): boolean =>
    world.exemptions.has(collection) || world.invariants.wasTainted(collection);
  const kept = result.observed.filter(({ record }) => !isExempt(record.split(' ')[0]!));
  const [fault] = faultsOf(kept);
  return fault === undefined ? result : { ...result, violation: new Violation('history', fault) };
}

const RUNS_MAX = 80;

/** A plan of fewer steps that breaks the same invariant. */
async function shrink(plan: Plan, invariant: string): Promise<Plan> {
  let smallest = plan;
  let runs = 0;
  for (let size = Math.ceil(plan.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < smallest.steps.length && runs < RUNS_MAX; runs++) {
      const steps = smallest.steps.filter((_step, i) => i < from || i >= from + size);
      const candidate = { ...smallest, steps };
      const { violation } = await runPlan(candidate);
      if (violation?.invariant === invariant) smallest = candidate;
      else from += size;
    }
  }
  return smallest;
}

/** Everything needed to understand a failure: the seed, the invariant, the steps that remain, and what happened. */
export async function describeFailure(plan: Plan, violation: Violation): Promise<string> {
  const smallest = await shrink(plan, violation.invariant);
  const { violation: found, trace } = await runPlan(smallest, { traces: true });
  return [
    `seed ${plan.seed} breaks ${(found ?? violation).message}`,
    `${smallest.steps.length} of ${plan.steps.length} steps remain, ${smallest.nodes.length} nodes, ${smallest.gateways.length} gateways:`,
    ...smallest.steps.map((step) => JSON.stringify(step)),
    'trace:',
    ...trace,
  ].join('\n');
}

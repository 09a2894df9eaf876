// Whole clusters simulated under seeds; npm run simulate runs more of them.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { describeFailure, planOf, runPlan } from '../simulation/world/run.ts';

const COMMAND = fileURLToPath(new URL('../simulation/main.ts', import.meta.url));
const SEEDS = 20;
/** Others than those of the command's defaults. */
const FIRST_SEED = 900_001;

describe('simulated clusters', () => {
  test(`keep every invariant and converge, ${SEEDS} seeds`, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const plan = planOf(seed);
      const { violation } = await runPlan(plan);
      if (violation !== null) expect.fail(await describeFailure(plan, violation));
    }
  }, 120_000);

  test('leave the same trace for the same seed, byte for byte, in every process', async () => {
    const { trace } = await runPlan(planOf(FIRST_SEED), { traces: true });
    const again = await runPlan(planOf(FIRST_SEED), { traces: true });
    expect(again.trace.join('\n')).toBe(trace.join('\n'));
    const options = ['--trace', '--seed', String(FIRST_SEED)];
    const output = execFileSync(process.execPath, [COMMAND, ...options], {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    expect(output.split('\n').slice(0, trace.length).join('\n')).toBe(trace.join('\n'));
    expect(trace.length).toBeGreaterThan(300);
  });
});

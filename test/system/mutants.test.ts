// Deliberate bugs in src/, each of which the simulator catches; npm run simulate -- --mutants tries any number of seeds.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { MUTANTS } from '../simulation/mutants.ts';
import { textOf } from '../simulation/mutation.ts';
import { planOf, runPlan } from '../simulation/world/run.ts';

const COMMAND = fileURLToPath(new URL('../simulation/main.ts', import.meta.url));

const CAUGHT = MUTANTS.flatMap(({ seed }) => (seed === null ? [] : [seed]));

describe('deliberate bugs', () => {
  test('fit the code', () => {
    for (const mutant of MUTANTS) expect(textOf(mutant)).not.toBe('');
    expect(CAUGHT.length).toBeGreaterThanOrEqual(20);
  });

  test('are each caught by their recorded seed', () => {
    const run = spawnSync(process.execPath, [COMMAND, '--mutants', '--recorded'], { encoding: 'utf8' });
    expect(run.stdout).not.toContain('ESCAPED');
    expect({ status: run.status, caught: run.stdout.trim().split('\n').length }).toEqual({
      status: 0,
      caught: CAUGHT.length,
    });
  }, 180_000);

  test('are what is caught: the same seeds find nothing without them', async () => {
    for (const seed of new Set(CAUGHT)) expect((await runPlan(planOf(seed))).violation).toBeNull();
  }, 120_000);
});

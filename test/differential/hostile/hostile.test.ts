// Polychrome survives hostile requests, responds to them as one bare server does, or refuses them and changes nothing.

import { expect, test } from 'vitest';
import { checkHostile, titleOf } from './check.ts';

// Fixed, so that the suite says the same twice; other seeds are for `npm run differential -- --hostile`.
const SEED = 20_261_128;
const RUNS = 34;

test(
  `stays live and correct through ${RUNS} hostile cases of seed ${SEED}`,
  { timeout: 300_000 },
  async () => {
    const results = await checkHostile({ seed: SEED, runs: RUNS, chroma: process.env['CHROMA_COMMAND'] });
    const faults = results.filter(({ fault }) => fault !== null);
    expect(faults.map((result) => `${titleOf(result)}\n${result.fault}`).join('\n\n')).toBe('');
    // A run in which everything is refused proves nothing.
    const equal = results.filter(({ outcomes }) => outcomes.includes('equal')).length;
    expect(equal).toBeGreaterThan(RUNS / 3);
  },
);

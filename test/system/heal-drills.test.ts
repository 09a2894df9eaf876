// Drills of `npm run heal`, with few rounds and a fixed seed; quiet rounds are in damaged-copies.test.ts too.

import { expect, test } from 'vitest';
import { changedMeanwhile } from '../heal/changes.ts';
import { killedMidBatch, nodeKilledInPhases } from '../heal/kills.ts';

const SEED = 20_261_129;

test.each([killedMidBatch, nodeKilledInPhases, changedMeanwhile])(
  'heals when $about',
  async ({ run }) => {
    const lines: string[] = [];
    const broken = await run({ seed: SEED, isShort: true, log: (line) => lines.push(line) });
    expect(broken, lines.join('\n')).toEqual([]);
  },
  300_000,
);

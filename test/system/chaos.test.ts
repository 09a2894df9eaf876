// Random faults under load from a fixed seed; `npm run chaos` runs longer.

import { expect, test } from 'vitest';
import { chaos } from '../chaos/chaos.ts';
import { draw } from '../chaos/faults.ts';
import { seededRandom } from '../support/seeded-random.ts';

test('keeps every promise and ends with identical nodes when random faults strike', async () => {
  const lines: string[] = [];
  const result = await chaos({
    seed: 20_260_801,
    forMs: 12_000,
    longestFaultMs: 3_000,
    log: (line) => lines.push(line),
  });
  expect(result.broken, [...lines, ...result.broken].join('\n')).toEqual([]);
  expect(result.faults).toBeGreaterThan(3);
  expect(result.acknowledged).toBeGreaterThan(50);
}, 120_000);

test('draws the same faults from the same seed, and others from another', () => {
  const drawn = (seed: number): string[] => {
    const next = seededRandom(seed);
    return Array.from({ length: 40 }, () => draw(next, ['a', 'b', 'c'], 1_000)).map(
      ({ name, lastsMs }) => `${name} ${lastsMs}`,
    );
  };
  expect(drawn(1)).toEqual(drawn(1));
  expect(drawn(1)).not.toEqual(drawn(2));
});

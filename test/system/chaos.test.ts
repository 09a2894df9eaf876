// Random faults under load, short and always the same; `npm run chaos` does it for longer.

import { expect, test } from 'vitest';
import { chaos } from '../chaos/chaos.ts';
import { draw } from '../chaos/faults.ts';
import { seededRandom } from '../support/seeded-random.ts';

test('random faults of one seed: every promise is kept, all nodes end identical', async () => {
  const lines: string[] = [];
  const result = await chaos({
    seed: 20_260_801,
    forMs: 12_000,
    longestFaultMs: 3_000,
    log: (line) => lines.push(line),
  });
  expect(result.broken, lines.join('\n')).toEqual([]);
  expect(result.faults).toBeGreaterThan(3);
  expect(result.acknowledged).toBeGreaterThan(50);
}, 120_000);

test('a seed draws the same faults again, another draws others', () => {
  const drawn = (seed: number): string[] => {
    const next = seededRandom(seed);
    return Array.from({ length: 40 }, () => draw(next, ['a', 'b', 'c'], 1_000)).map(
      ({ name, lastsMs }) => `${name} ${lastsMs}`,
    );
  };
  expect(drawn(1)).toEqual(drawn(1));
  expect(drawn(1)).not.toEqual(drawn(2));
});

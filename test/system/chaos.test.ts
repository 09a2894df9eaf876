// Random faults of real processes under a recorded load, from a fixed seed; `npm run chaos` runs longer.

import { expect, test } from 'vitest';
import { chaos } from '../chaos/chaos.ts';
import { drawFault, kinds } from '../chaos/faults.ts';
import { isWhole, reportOf } from '../chaos/report.ts';
import { seededRandom } from '../support/seeded-random.ts';

test('keeps every promise and ends with identical nodes when random faults strike', async () => {
  const lines: string[] = [];
  const result = await chaos({
    seed: 20_260_802,
    forMs: 8_000,
    longestFaultMs: 2_000,
    faultsMin: 4,
    gateways: 2,
    comparesPorcupine: false,
    log: (line) => lines.push(line),
  });
  const report = [...lines, reportOf(result)].join('\n');
  expect(isWhole(result), report).toBe(true);
  expect(result.observed, report).toBeGreaterThan(0);
}, 240_000);

test('draws the same faults from the same seed, and others from another', () => {
  const targets = { nodes: ['a', 'b', 'c'], gateways: ['g', 'h'] };
  const drawn = (seed: number): string[] => {
    const next = seededRandom(seed);
    return Array.from({ length: 400 }, () => drawFault(next, targets, 1_000)).map(
      ({ kind, target, lastsMs }) => `${kind} ${target} ${lastsMs}`,
    );
  };
  expect(drawn(1)).toEqual(drawn(1));
  expect(drawn(1)).not.toEqual(drawn(2));
  for (const kind of kinds()) expect(drawn(1).some((line) => line.startsWith(kind))).toBe(true);
});

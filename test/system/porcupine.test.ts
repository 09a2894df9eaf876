// The checker of histories and porcupine, which share no code, agree. Runs where Go is installed.

import { expect, test } from 'vitest';
import type { Effect, Observed } from '../histories/history.ts';
import { faultsOf } from '../histories/checker.ts';
import { isGoInstalled, notLinearizable } from '../histories/porcupine.ts';
import { Draw } from '../simulation/world/plan-drawing.ts';
import { seededRandom } from '../support/seeded-random.ts';

const HISTORIES = 300;

/** A random history of one record; many of them can be right. */
function drawHistory(record: string, draw: Draw): Observed[] {
  const length = 3 + draw.below(5);
  return Array.from({ length }, (_, i) => {
    const value = i + 1;
    const effect = draw.of<Effect>([
      { does: 'set', value },
      { does: 'add', value },
      { does: 'update', value },
      { does: 'delete' },
      { does: 'delete_if', matches: (each) => each % 2 === 0 },
      { does: 'read', saw: draw.of([null, ...Array.from({ length }, (_each, n) => n + 1)]) },
      { does: 'read', saw: draw.of([null, 1, 2]) },
    ]);
    const invokedAt = draw.below(20);
    const outcome =
      effect.does === 'read' ? 'ok' : draw.of(['ok', 'ok', 'ok', 'indeterminate', 'refused'] as const);
    const returnedAt = outcome === 'ok' ? invokedAt + 1 + draw.below(6) : null;
    const shared = { client: `c${i}`, gateway: 'g', record, guarantee: 'strong', echoes: false } as const;
    return { ...shared, effect, invokedAt, returnedAt, outcome };
  });
}

test.skipIf(!isGoInstalled())('porcupine refuses the same histories', () => {
  const draw = new Draw(seededRandom(1));
  const histories = Array.from({ length: HISTORIES }, (_, n) => drawHistory(`r${n}`, draw));
  const refused = notLinearizable(histories.flat());
  const own = histories.filter((history) => faultsOf(history).some((fault) => fault.includes('no order')));
  expect(refused.toSorted()).toEqual(own.map(([first]) => first!.record).toSorted());
  expect(refused.length).toBeGreaterThan(HISTORIES / 10);
  expect(refused.length).toBeLessThan((HISTORIES * 9) / 10);
});

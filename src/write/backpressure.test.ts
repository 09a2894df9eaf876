import { expect, test } from 'vitest';
import { slowDownMs } from './backpressure.ts';

const node = (applied: number, lagMs: number): { applied: number; lagMs: number } => ({ applied, lagMs });

test.each([
  ['nobody waits while the second node follows', [node(9, 0), node(8, 900), node(1, 60_000)], 0],
  ['everybody waits when only the best one follows', [node(9, 0), node(4, 6_000), node(1, 60_000)], 250],
  ['never longer than half a second', [node(9, 0), node(1, 3_600_000)], 500],
  ['a single node is followed by its own lag', [node(3, 10_000)], 500],
  ['nobody waits for nodes that do not serve', [], 0],
])('%s', (_name, serving, delayMs) => {
  expect(slowDownMs(serving)).toBe(delayMs);
});

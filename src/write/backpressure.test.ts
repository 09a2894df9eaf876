import { expect, test } from 'vitest';
import { backpressureDelayMs } from './backpressure.ts';

const node = (applied: number, lagMs: number): { applied: number; lagMs: number } => ({ applied, lagMs });

test.each([
  ['is 0 while the second-best node follows', [node(9, 0), node(8, 900), node(1, 60_000)], 0],
  ['grows with the lag of the second-best node', [node(9, 0), node(4, 6_000), node(1, 60_000)], 250],
  ['is never longer than half a second', [node(9, 0), node(1, 3_600_000)], 500],
  ['follows the lag of a single node', [node(3, 10_000)], 500],
  ['is 0 when no node serves', [], 0],
])('the delay of a write %s', (_name, serving, delayMs) => {
  expect(backpressureDelayMs(serving)).toBe(delayMs);
});

import { expect, test } from 'vitest';
import { decideRestart, type RestartPolicy } from './restart-policy.ts';

const policy: RestartPolicy = { delayMsMin: 100, delayMsMax: 1_000, stableAfterMs: 2_000, quickExitsMax: 6 };

test('goes on with the longest delay without end, if the policy says so', () => {
  const endless = { ...policy, isEndless: true };
  expect(decideRestart(endless, 5, 0)).toEqual({ action: 'restart', delayMs: 1_000, quickExits: 6 });
  expect(decideRestart(endless, 5_000, 0)).toEqual({ action: 'restart', delayMs: 1_000, quickExits: 5_001 });
});

test.each([
  { before: 0, readyMs: 0, expected: { action: 'restart', delayMs: 100, quickExits: 1 } },
  { before: 1, readyMs: 1_999, expected: { action: 'restart', delayMs: 200, quickExits: 2 } },
  { before: 2, readyMs: 0, expected: { action: 'restart', delayMs: 400, quickExits: 3 } },
  { before: 3, readyMs: 0, expected: { action: 'restart', delayMs: 800, quickExits: 4 } },
  { before: 4, readyMs: 0, expected: { action: 'restart', delayMs: 1_000, quickExits: 5 } },
  { before: 5, readyMs: 0, expected: { action: 'give_up', quickExits: 6 } },
  { before: 5, readyMs: 2_000, expected: { action: 'restart', delayMs: 100, quickExits: 0 } },
])(
  'decides $expected.action after $before quick exits when the child was ready for $readyMs ms',
  ({ before, readyMs, expected }) => {
    expect(decideRestart(policy, before, readyMs)).toEqual(expected);
  },
);

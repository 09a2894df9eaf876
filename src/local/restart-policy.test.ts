import { expect, test } from 'vitest';
import { decideRestart, type RestartPolicy } from './restart-policy.ts';

const policy: RestartPolicy = { delayMsMin: 100, delayMsMax: 1_000, soundAfterMs: 2_000, quickDeathsMax: 6 };

test.each([
  { before: 0, readyMs: 0, expected: { action: 'restart', delayMs: 100, quickDeaths: 1 } },
  { before: 1, readyMs: 1_999, expected: { action: 'restart', delayMs: 200, quickDeaths: 2 } },
  { before: 2, readyMs: 0, expected: { action: 'restart', delayMs: 400, quickDeaths: 3 } },
  { before: 3, readyMs: 0, expected: { action: 'restart', delayMs: 800, quickDeaths: 4 } },
  { before: 4, readyMs: 0, expected: { action: 'restart', delayMs: 1_000, quickDeaths: 5 } },
  { before: 5, readyMs: 0, expected: { action: 'give_up', quickDeaths: 6 } },
  { before: 5, readyMs: 2_000, expected: { action: 'restart', delayMs: 100, quickDeaths: 0 } },
])(
  'after $before quick deaths, dead $readyMs ms after ready: $expected.action',
  ({ before, readyMs, expected }) => {
    expect(decideRestart(policy, before, readyMs)).toEqual(expected);
  },
);

import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { RetryBudget } from './retry-budget.ts';

function budgetOf(share: number): { clock: ManualClock; budget: RetryBudget; taken: () => number } {
  const clock = new ManualClock();
  const budget = new RetryBudget(share, clock);
  const taken = (): number => {
    let count = 0;
    while (budget.take()) count += 1;
    return count;
  };
  return { clock, budget, taken };
}

test('the reserve, then a share of the reads can be repeated', () => {
  const { budget, taken } = budgetOf(0.25);
  expect(taken()).toBe(1_000);
  for (let n = 0; n < 40; n++) budget.readStarted();
  expect(taken()).toBe(10);
  expect(budget.counts).toEqual({ retries: 1_010, refused: 2 });
});

test('with time the reserve comes back', async () => {
  const { clock, taken } = budgetOf(0.25);
  taken();
  await clock.pass(2_000);
  expect(taken()).toBe(20);
  await clock.pass(3_600_000);
  expect(taken()).toBe(1_000);
});

test('with the share 0 nothing is repeated', () => {
  const { budget, taken } = budgetOf(0);
  budget.readStarted();
  expect(taken()).toBe(0);
});

import { expect, test } from 'vitest';
import { eachInTurns } from './next-turn.ts';

test('visits every item once, in order, with turns of the event loop in between', async () => {
  const items = Array.from({ length: 10_000 }, (_, n) => n);
  const visited: number[] = [];
  const atTurn: number[] = [];
  let isDone = false;
  const look = (): void => {
    atTurn.push(visited.length);
    if (!isDone) setImmediate(look);
  };
  setImmediate(look);
  await eachInTurns(items, (item, index) => visited.push(item + index));
  isDone = true;
  expect(visited).toEqual(items.map((n) => 2 * n));
  expect(atTurn.filter((count) => count > 0 && count < items.length).length).toBeGreaterThanOrEqual(2);
});

test('visits nothing of an empty list', async () => {
  await eachInTurns([], () => expect.unreachable());
});

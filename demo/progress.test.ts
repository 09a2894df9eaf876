import { expect, test } from 'vitest';
import { systemClock as clock } from '../src/util/clock.ts';
import { Progress } from './progress.ts';

function on(terminal: boolean, total: number) {
  let text = '';
  const output = { isTTY: terminal, columns: 60, write: (piece: string) => (text += piece) };
  return { progress: new Progress('Work', total, { output, clock }), written: () => text };
}

test('without a terminal it writes a plain line for every tenth', () => {
  const { progress, written } = on(false, 40);
  for (let i = 0; i < 40; i++) progress.advance(1);
  const lines = written().split('\n').slice(0, -1);
  expect(lines).toHaveLength(10);
  expect(lines[0]).toBe('Work 10 %  4 of 40');
  expect(lines[9]).toBe('Work 100 %  40 of 40');
});

test('on a terminal it redraws one line, ends it once, and keeps notes above it', () => {
  const { progress, written } = on(true, 4);
  progress.advance(2);
  progress.note('half of it');
  progress.advance(2);
  progress.advance(0);
  const lines = written().split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[0]).toMatch(/half of it$/);
  expect(lines[1]).toMatch(/100 % {2}4 of 4$/);
  for (const drawn of written().split('\r')) expect(drawn.length).toBeLessThanOrEqual(64);
});

test('a share of the total can be waited for, before and after it is reached', async () => {
  const { progress } = on(false, 10);
  let reached = false;
  const waiting = progress.reached(0.4).then(() => (reached = true));
  progress.advance(3);
  await Promise.resolve();
  expect(reached).toBe(false);
  progress.advance(1);
  await waiting;
  await progress.reached(0.4);
});

import { expect, test } from 'vitest';
import { readAhead } from './read-ahead.ts';

test('asks for the next value while one is used, and ends with the last', async () => {
  const values = ['a', 'b'];
  let asked = 0;
  const seen: string[] = [];
  const next = async (): Promise<IteratorResult<string>> => {
    const value = values[asked++];
    return value === undefined ? { done: true, value } : { done: false, value };
  };
  for await (const value of readAhead(next)) seen.push(`${value} of ${asked}`);
  expect(seen).toEqual(['a of 2', 'b of 3']);
});

test('throws what a read has failed with, once the value before it was used', async () => {
  let reads = 0;
  const next = async (): Promise<IteratorResult<number>> => {
    if (++reads === 2) throw new Error('no response');
    return { done: false, value: reads };
  };
  const seen: number[] = [];
  const all = async (): Promise<void> => {
    for await (const value of readAhead(next)) seen.push(value);
  };
  await expect(all()).rejects.toThrow('no response');
  expect(seen).toEqual([1]);
});

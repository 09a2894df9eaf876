// The comparison of clients' results reports real differences and ignores ids and addresses.

import { expect, test } from 'vitest';
import { Side, type ClientStep } from './side.ts';

const side = (url: string): Side<string> => new Side(url, url);
const ID = ['3f6bd5b0-0000-4000-8000-000000000001', '3f6bd5b0-0000-4000-8000-000000000002'] as const;

async function same(ours: () => unknown, theirs: () => unknown): Promise<boolean> {
  const step = (run: () => unknown): ClientStep<string> => ['a step', async () => run()];
  const [a, b] = [await side('http://a').run(step(ours)), await side('http://b').run(step(theirs))];
  return JSON.stringify(a) === JSON.stringify(b);
}

function raises(error: Error): () => never {
  return () => {
    throw error;
  };
}

test.each([
  ['another value', () => ({ n: 1 }), () => ({ n: 2 })],
  ['nothing', () => ({ n: 1 }), () => undefined],
  ['an error', () => ({ n: 1 }), raises(new Error('x'))],
  ['another error class', raises(new TypeError('x')), raises(new RangeError('x'))],
  ['another message', raises(new Error('x')), raises(new Error('y'))],
  ['one id twice instead of two', () => [ID[0], ID[1]], () => [ID[0], ID[0]]],
])('reports %s as a difference', async (_name, ours, theirs) => {
  expect(await same(ours, theirs)).toBe(false);
});

test.each([
  ['ids', () => [ID[0], ID[1], ID[0]], () => [ID[1], ID[0], ID[1]]],
  ['addresses', raises(new Error('http://a/x')), raises(new Error('http://b/x'))],
])('reports no difference of %s', async (_name, ours, theirs) => {
  expect(await same(ours, theirs)).toBe(true);
});

test('numbers an id equally in all steps of one server', async () => {
  const subject = side('http://a');
  const give = (id: string): ClientStep<string> => ['give', () => Promise.resolve(id)];
  expect(await subject.run(give(ID[1]))).toEqual({ result: '<id 1>' });
  expect(await subject.run(give(ID[0]))).toEqual({ result: '<id 2>' });
  expect(await subject.run(give(ID[1]))).toEqual({ result: '<id 1>' });
});

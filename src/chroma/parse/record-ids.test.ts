import { expect, test } from 'vitest';
import { EncodedIds, idPages, repeatsId } from './record-ids.ts';

const TEXT = '{"ids":[ "a" ,"\\u0062","é\\"]" , "a"\n]}';
const encoded = (): EncodedIds => {
  const body = Buffer.from(TEXT);
  return new EncodedIds(body, { start: body.indexOf('[') + 1, end: body.lastIndexOf(']') }, 4);
};

test('decodes ids from the body, again whenever they are needed', () => {
  const ids = encoded();
  expect([...ids]).toEqual(['a', 'b', 'é"]', 'a']);
  expect([...ids]).toEqual(['a', 'b', 'é"]', 'a']);
});

test('pages end at their number of ids or of characters, and the event loop turns between them', async () => {
  let turns = 0;
  const turn = (): void => {
    turns += 1;
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  const ids = ['a', 'b', 'x'.repeat(600_000), 'c', 'd'];
  const sizes: number[] = [];
  for await (const page of idPages(ids, 2)) sizes.push(page.length);
  clearImmediate(next);
  expect(sizes).toEqual([2, 1, 2]);
  expect(turns).toBeGreaterThanOrEqual(2);
});

test('finds an id that repeats', async () => {
  expect(await repeatsId(encoded(), 'a')).toBe(true);
  expect(await repeatsId(encoded(), 'b')).toBe(false);
});

import { expect, test } from 'vitest';
import { mapKey } from './map-key.ts';

const LONGEST_KEPT = 16_383;

test('returns the text itself up to 16,383 characters', () => {
  for (const text of ['', 'a', 'é"\n', 'x'.repeat(LONGEST_KEPT)]) expect(mapKey(text)).toBe(text);
});

test('returns short, distinct and stable keys for longer texts', () => {
  const prefix = 'x'.repeat(LONGEST_KEPT);
  const texts = ['a', 'b', 'aa', '\ud800', '\ud801'].map((end) => prefix + end);
  const keys = texts.map(mapKey);
  expect(new Set(keys).size).toBe(texts.length);
  for (const key of keys) expect(key.length).toBeLessThan(100);
  expect(texts.map(mapKey)).toEqual(keys);
});

test('does not return the digest of a long text for a short text spelled like that digest', () => {
  const digest = mapKey('x'.repeat(LONGEST_KEPT + 1));
  expect(mapKey(digest)).not.toBe(digest);
});

import { expect, test } from 'vitest';
import { onlyShard } from './only-shard.ts';

test('returns the shard of a collection of one shard', () => {
  expect(onlyShard({ shards: ['a'] })).toBe('a');
});

test.each([[[]], [['a', 'b']]])('throws for a collection of the shards %j', (shards) => {
  expect(() => onlyShard({ shards })).toThrow(`this one has ${shards.length}`);
});

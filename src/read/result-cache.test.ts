import { describe, expect, test } from 'vitest';
import { ResultCache } from './result-cache.ts';

const answer = (text: string, label: number): { body: Buffer; label: number } => ({
  body: Buffer.from(text),
  label,
});

describe('a kept answer', () => {
  test('is served while the shard has no entry beyond it, and never after', () => {
    const cache = new ResultCache(1e6);
    cache.keep('k', answer('a', 5), cache.generation);
    expect(cache.find('k', 5)?.body.toString()).toBe('a');
    expect(cache.find('k', 6)).toBeNull();
    // Gone for good: positions do not go back.
    expect(cache.find('k', 5)).toBeNull();
    expect(cache.counts).toEqual({ hits: 1, misses: 2 });
  });

  test('is forgotten with any suspicion, also when its question was under way', () => {
    const cache = new ResultCache(1e6);
    const { generation } = cache;
    cache.keep('old', answer('a', 5), generation);
    cache.clear();
    cache.keep('late', answer('b', 5), generation);
    expect([cache.find('old', 0), cache.find('late', 0), cache.bytes]).toEqual([null, null, 0]);
  });

  test('keeps no more memory than it counts, whatever it is a slice of', () => {
    const cache = new ResultCache(1e6);
    const merged = Buffer.alloc(200_000, 'm');
    cache.keep('k', { body: merged.subarray(100, 1_100), label: 1 }, cache.generation);
    const { body } = cache.find('k', 1)!;
    expect([body.length, body.buffer.byteLength]).toEqual([1_000, 1_000]);
    expect(body.equals(merged.subarray(100, 1_100))).toBe(true);
    expect(cache.bytes).toBeGreaterThan(1_000);

    const most = merged.subarray(0, 190_000);
    const large = new ResultCache(1e8);
    large.keep('k', { body: most, label: 1 }, large.generation);
    expect(large.find('k', 1)!.body).toBe(most);
    expect(large.bytes).toBeGreaterThan(merged.length);
  });

  test('makes room for newer ones, those unused longest first', () => {
    const cache = new ResultCache(100_000);
    for (let n = 0; n < 40; n++) {
      cache.keep(`k${n}`, answer('x'.repeat(4_000), 1), cache.generation);
      cache.find('k0', 1);
    }
    expect(cache.bytes).toBeLessThanOrEqual(100_000);
    expect(cache.find('k0', 1)).not.toBeNull();
    expect(cache.find('k1', 1)).toBeNull();
  });

  test('is not kept when it alone would push out many', () => {
    const cache = new ResultCache(100_000);
    cache.keep('big', answer('x'.repeat(50_000), 1), cache.generation);
    expect(cache.bytes).toBe(0);
  });

  test('is one of many questions: shard, path and body tell them apart', () => {
    const keys = [
      ResultCache.key('s', 'get', Buffer.from('{}')),
      ResultCache.key('s', 'query', Buffer.from('{}')),
      ResultCache.key('t', 'get', Buffer.from('{}')),
      ResultCache.key('s', 'get', Buffer.from('{ }')),
    ];
    expect(new Set(keys).size).toBe(4);
  });
});

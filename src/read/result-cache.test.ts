import { describe, expect, test } from 'vitest';
import { ResultCache, type CachedResponse } from './result-cache.ts';

const response = (text: string, label: number): CachedResponse => ({
  body: Buffer.from(text),
  label,
});

describe('a cached response', () => {
  test('is served until the shard has a later entry, and never after', () => {
    const cache = new ResultCache(1e6);
    cache.store('k', response('a', 5), cache.generation);
    expect(cache.find('k', 5)?.body.toString()).toBe('a');
    expect(cache.find('k', 6)).toBeNull();
    // Removed for good: an LSN is never lowered.
    expect(cache.find('k', 5)).toBeNull();
    expect(cache.counts).toEqual({ hits: 1, misses: 2 });
  });

  test('is dropped on any suspicion, also when its read was in flight', () => {
    const cache = new ResultCache(1e6);
    const { generation } = cache;
    cache.store('old', response('a', 5), generation);
    cache.clear();
    cache.store('late', response('b', 5), generation);
    expect([cache.find('old', 0), cache.find('late', 0), cache.bytes]).toEqual([null, null, 0]);
  });

  test('holds no more memory than is counted, even as a slice of a larger buffer', () => {
    const cache = new ResultCache(1e6);
    const merged = Buffer.alloc(200_000, 'm');
    cache.store('k', { body: merged.subarray(100, 1_100), label: 1 }, cache.generation);
    const { body } = cache.find('k', 1)!;
    expect([body.length, body.buffer.byteLength]).toEqual([1_000, 1_000]);
    expect(body.equals(merged.subarray(100, 1_100))).toBe(true);
    expect(cache.bytes).toBeGreaterThan(1_000);

    const most = merged.subarray(0, 190_000);
    const large = new ResultCache(1e8);
    large.store('k', { body: most, label: 1 }, large.generation);
    expect(large.find('k', 1)!.body).toBe(most);
    expect(large.bytes).toBeGreaterThan(merged.length);
  });

  test('is evicted for newer ones when least recently used', () => {
    const cache = new ResultCache(100_000);
    for (let n = 0; n < 40; n++) {
      cache.store(`k${n}`, response('x'.repeat(4_000), 1), cache.generation);
      cache.find('k0', 1);
    }
    expect(cache.bytes).toBeLessThanOrEqual(100_000);
    expect(cache.find('k0', 1)).not.toBeNull();
    expect(cache.find('k1', 1)).toBeNull();
  });

  test('is not cached when it alone would evict many', () => {
    const cache = new ResultCache(100_000);
    cache.store('big', response('x'.repeat(50_000), 1), cache.generation);
    expect(cache.bytes).toBe(0);
  });

  test('has a key of its shard, path and body', () => {
    const keys = [
      ResultCache.key('s', 'get', Buffer.from('{}')),
      ResultCache.key('s', 'query', Buffer.from('{}')),
      ResultCache.key('t', 'get', Buffer.from('{}')),
      ResultCache.key('s', 'get', Buffer.from('{ }')),
    ];
    expect(new Set(keys).size).toBe(4);
  });
});

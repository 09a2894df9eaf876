import { expect, test, vi } from 'vitest';
import { LruMap } from './lru-map.ts';

test('evicts the least recently used entry beyond the bound', () => {
  const map = new LruMap<string, number>({ weightMax: 2 });
  map.set('a', 1);
  map.set('b', 2);
  expect(map.get('a')).toBe(1);
  map.set('c', 3);
  expect([...map]).toEqual([
    ['a', 1],
    ['c', 3],
  ]);
  expect(map.get('b')).toBeNull();
});

test('neither peek, has nor iterating counts as a use', () => {
  const map = new LruMap<string, number>({ weightMax: 2 });
  map.set('a', 1);
  map.set('b', 2);
  expect(map.peek('a')).toBe(1);
  expect(map.has('a')).toBe(true);
  expect([...map]).toHaveLength(2);
  map.set('c', 3);
  expect(map.has('a')).toBe(false);
});

test('replacing a value makes it the most recently used and replaces its weight', () => {
  const map = new LruMap<string, string>({ weightMax: 10, weigh: (value) => value.length });
  map.set('a', 'xxxx');
  map.set('b', 'xxxx');
  map.set('a', 'xx');
  expect(map.weight).toBe(6);
  map.set('c', 'xxxxx');
  expect([...map].map(([key]) => key)).toEqual(['a', 'c']);
  expect(map.weight).toBe(7);
});

test('evicts as many entries as a heavy one needs', () => {
  const onEvict = vi.fn();
  const map = new LruMap<string, string>({ weightMax: 4, weigh: (value) => value.length, onEvict });
  for (const key of ['a', 'b', 'c']) map.set(key, 'x');
  map.set('d', 'xxx');
  expect(onEvict.mock.calls).toEqual([
    ['a', 'x'],
    ['b', 'x'],
  ]);
  expect(map.weight).toBe(4);
});

test('does not keep a value heavier than the bound', () => {
  const map = new LruMap<string, string>({ weightMax: 4, weigh: (value, key) => key.length + value.length });
  map.set('a', 'xxxxx');
  expect(map.size).toBe(0);
  expect(map.weight).toBe(0);
});

test('deleted and cleared entries are not reported as evicted and free their weight', () => {
  const onEvict = vi.fn();
  const map = new LruMap<string, string>({ weightMax: 4, weigh: (value) => value.length, onEvict });
  map.set('a', 'xx');
  map.set('b', 'xx');
  expect(map.delete('a')).toBe(true);
  expect(map.delete('a')).toBe(false);
  expect(map.weight).toBe(2);
  map.clear();
  expect([map.size, map.weight]).toEqual([0, 0]);
  expect(onEvict).not.toHaveBeenCalled();
});

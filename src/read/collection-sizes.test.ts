import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { CollectionSizes } from './collection-sizes.ts';

function setUp(records: Record<string, number>) {
  const clock = new ManualClock();
  const positions = new Map<string, number>();
  const asked: string[] = [];
  const failing = new Set<string>();
  const sizes = new CollectionSizes({
    shards: () => Object.keys(records),
    positionOf: (shard) => positions.get(shard) ?? 0,
    count: async (shard) => {
      asked.push(shard);
      if (failing.has(shard)) throw new Error('no node');
      return records[shard]!;
    },
    clock,
  });
  const stop = new AbortController();
  void sizes.run(stop.signal);
  return { clock, positions, asked, failing, sizes, stop };
}

test('each collection is counted once, and again after a change', async () => {
  const records: Record<string, number> = { a: 3, b: 4 };
  const { clock, positions, asked, sizes } = setUp(records);
  expect(sizes.total()).toBeNull();
  await clock.pass(10_000, 500);
  expect([asked, sizes.total(), sizes.of('a')]).toEqual([['a', 'b'], 7, 3]);
  records['a'] = 9;
  positions.set('a', 1);
  await clock.pass(10_000, 500);
  expect([asked, sizes.total()]).toEqual([['a', 'b', 'a'], 13]);
});

test('a total is unknown while a collection could not be counted, and deleted ones do not count', async () => {
  const records: Record<string, number> = { a: 3, b: 4 };
  const { clock, failing, sizes } = setUp(records);
  failing.add('b');
  await clock.pass(5_000, 500);
  expect([sizes.of('a'), sizes.total()]).toEqual([3, null]);
  delete records['b'];
  await clock.pass(2_000, 500);
  expect(sizes.total()).toBe(3);
});

test('nothing is counted once no dashboard is open', async () => {
  const { clock, positions, asked, stop } = setUp({ a: 1 });
  await clock.pass(2_000, 500);
  stop.abort();
  positions.set('a', 5);
  await clock.pass(20_000, 500);
  expect(asked).toEqual(['a']);
});

import { expect, test } from 'vitest';
import { FakeCopy } from '../../test/support/fake-copy.ts';
import { seededRandom } from '../../test/support/seeded-random.ts';
import type { ReadCopy } from './copy-content.ts';
import { indexFaults, indexSample, sampleOf, withoutTouched, type IndexSample } from './index-check.ts';

const LOCATION = { tenant: 't', database: 'd', physical: 'p' };

test('searches for each sampled record by its own vector', async () => {
  const copy = new FakeCopy(100);
  const ids = sampleOf([...copy.records.keys()], ['r99', 'r1']);
  expect(ids.slice(0, 3)).toEqual(['r99', 'r1', 'r0']);
  expect(ids.length).toBeGreaterThan(30);
  const all = await indexSample(copy.read, LOCATION, ids);
  expect([[...all.asked].sort(), all.missed]).toEqual([[...ids].sort(), []]);
  for (let index = 0; index < 50; index++) copy.unindexed.add(`r${index}`);
  const { missed } = await indexSample(copy.read, LOCATION, ids);
  expect(missed.length).toBeGreaterThan(10);
  expect(missed.every((id) => copy.unindexed.has(id))).toBe(true);
});

test('counts a record as missed only if a search of many candidates misses it too', async () => {
  const copy = new FakeCopy(40);
  for (const id of copy.records.keys()) copy.remote.add(id);
  copy.unindexed.add('r3');
  const { asked, missed } = await indexSample(copy.read, LOCATION, [...copy.records.keys()]);
  expect([asked.length, missed]).toEqual([40, ['r3']]);
});

test('leaves out records whose distance is no number', async () => {
  const read: ReadCopy = async (request) =>
    request.path.endsWith('query')
      ? { status: 200, body: Buffer.from('{"distances":[[null],[7],[]]}') }
      : new FakeCopy(3).read(request);
  expect((await indexSample(read, LOCATION, ['r0', 'r1', 'r2'])).asked).toEqual(['r1', 'r2']);
});

test('samples every record of a small shard once, and nothing of an empty one', () => {
  expect(sampleOf(['a', 'b'], ['b'])).toEqual(['b', 'a']);
  expect(sampleOf([], [])).toEqual([]);
});

test('samples other records of a large shard the second time', () => {
  const ids = Array.from({ length: 1_000 }, (_, index) => `r${index}`);
  const [one, other] = [sampleOf(ids, []), sampleOf(ids, [], 1)];
  expect(other).toHaveLength(one.length);
  expect(other.filter((id) => one.includes(id))).toEqual([]);
});

const sample = (asked: number, missed: number): IndexSample => {
  const ids = Array.from({ length: asked }, (_, index) => `r${index}`);
  return { asked: ids, missed: ids.slice(0, missed) };
};

test('counts nothing that entries touched, and nothing at all when they touched most', () => {
  const isTouched = (id: string): boolean => id === 'r0';
  expect(withoutTouched(sample(3, 2), isTouched)).toEqual({ asked: ['r1', 'r2'], missed: ['r1'] });
  expect(withoutTouched(sample(3, 3), (id) => id !== 'r0')).toEqual({ asked: [], missed: [] });
});

test.each<[string, Readonly<Record<string, IndexSample>>, string[]]>([
  ['every record is found', { a: sample(32, 0), b: sample(32, 0) }, []],
  ['a few are missed, as by an approximate index', { a: sample(32, 0), b: sample(32, 3) }, []],
  ['both miss many, as with unusual settings', { a: sample(32, 20), b: sample(32, 22) }, []],
  ['both miss many, one by chance more', { a: sample(32, 10), b: sample(32, 18) }, []],
  ['one misses a quarter', { a: sample(32, 0), b: sample(32, 8) }, ['b']],
  ['one misses most of what an unlucky one finds', { a: sample(32, 4), b: sample(32, 20) }, ['b']],
  ['one of a small shard misses most', { a: sample(3, 0), b: sample(3, 2) }, ['b']],
  ['the only one misses all', { a: sample(3, 3) }, ['a']],
  ['every one misses all', { a: sample(32, 32), b: sample(3, 3) }, []],
  ['the only one misses some', { a: sample(32, 10) }, []],
  ['the shard is empty', { a: sample(0, 0), b: sample(0, 0) }, []],
])('when %s', (_what, samples, faulty) => {
  expect([...indexFaults(new Map(Object.entries(samples))).keys()]).toEqual(faulty);
});

// A copy is made suspect when two samples of different records show the fault.
test.each([0, 0.02, 0.1, 0.3, 0.6])(
  'three indexes that each miss a share of %d by chance are not blamed for it again and again',
  (share) => {
    const random = seededRandom(1);
    const unlucky = (): IndexSample =>
      sample(32, Array.from({ length: 32 }, random).filter((x) => x < share).length);
    const blamed = (): string[] => [
      ...indexFaults(new Map(['a', 'b', 'c'].map((id) => [id, unlucky()]))).keys(),
    ];
    let rebuilds = 0;
    for (let scrub = 0; scrub < 1_000; scrub++) {
      const first = blamed();
      rebuilds += blamed().filter((id) => first.includes(id)).length;
    }
    expect(rebuilds).toBeLessThan(2);
  },
);

import { expect, test } from 'vitest';
import { FakeCopy } from '../../test/support/fake-copy.ts';
import type { ReadCopy } from './copy-content.ts';
import { indexFaults, indexSample, sampleOf, type IndexSample } from './index-check.ts';

const LOCATION = { tenant: 't', database: 'd', physical: 'p' };

test('searches for each sampled record by its own vector', async () => {
  const copy = new FakeCopy(100);
  const ids = sampleOf([...copy.records.keys()], ['r99', 'r1']);
  expect(ids.slice(0, 3)).toEqual(['r99', 'r1', 'r0']);
  expect(ids.length).toBeGreaterThan(30);
  expect(await indexSample(copy.read, LOCATION, ids)).toEqual({ asked: ids.length, missed: 0 });
  for (let index = 0; index < 50; index++) copy.unindexed.add(`r${index}`);
  const { missed } = await indexSample(copy.read, LOCATION, ids);
  expect(missed).toBeGreaterThan(10);
});

test('leaves out records whose distance is no number', async () => {
  const read: ReadCopy = async (request) =>
    request.path.endsWith('query')
      ? { status: 200, body: Buffer.from('{"distances":[[null],[7],[]]}') }
      : new FakeCopy(3).read(request);
  expect(await indexSample(read, LOCATION, ['r0', 'r1', 'r2'])).toEqual({ asked: 2, missed: 2 });
});

test('samples every record of a small shard once, and nothing of an empty one', () => {
  expect(sampleOf(['a', 'b'], ['b'])).toEqual(['b', 'a']);
  expect(sampleOf([], [])).toEqual([]);
});

const sample = (asked: number, missed: number): IndexSample => ({ asked, missed });

test.each<[string, Readonly<Record<string, IndexSample>>, string[]]>([
  ['every record is found', { a: sample(32, 0), b: sample(32, 0) }, []],
  ['a few are missed, as by an approximate index', { a: sample(32, 0), b: sample(32, 3) }, []],
  ['both miss many, as with unusual settings', { a: sample(32, 20), b: sample(32, 22) }, []],
  ['one misses a quarter', { a: sample(32, 0), b: sample(32, 8) }, ['b']],
  ['one of a small shard misses most', { a: sample(3, 0), b: sample(3, 2) }, ['b']],
  ['the only one misses all', { a: sample(3, 3) }, ['a']],
  ['every one misses all', { a: sample(32, 32), b: sample(3, 3) }, []],
  ['the only one misses some', { a: sample(32, 10) }, []],
  ['the shard is empty', { a: sample(0, 0), b: sample(0, 0) }, []],
])('when %s', (_what, samples, faulty) => {
  expect([...indexFaults(new Map(Object.entries(samples))).keys()]).toEqual(faulty);
});

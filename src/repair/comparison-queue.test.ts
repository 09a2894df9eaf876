import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Term } from '../coordination/term.ts';
import { ComparisonQueue, responsesDiffer } from './comparison-queue.ts';

const TERM: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };

test('compares each shard once, one at a time with a pause, and goes on after an error', async () => {
  const clock = new ManualClock();
  const verified: string[] = [];
  let requests = 0;
  let term: Term | null = TERM;
  const queue = new ComparisonQueue({
    verification: {
      verify: async (shard) => {
        verified.push(shard);
        if (shard === 's1') throw new Error('no response');
        return { records: 0, uncompared: 0, suspects: [] };
      },
    },
    serving: () => ['a', 'b'],
    term: () => term,
    onNotLeading: () => (requests += 1),
    clock,
    logger: { warn: () => undefined },
  });
  for (const shard of ['s1', 's2', 's1', 's3']) queue.add(shard);
  await clock.pass(500, 100);
  expect(verified).toEqual(['s1']);
  await clock.pass(10_000, 100);
  expect(verified).toEqual(['s1', 's2', 's3']);
  queue.add('s1');
  await clock.pass(10_000, 100);
  expect(verified).toHaveLength(4);
  term = null;
  queue.add('s2');
  expect([verified.length, requests]).toEqual([4, 1]);
});

const response = (ids: string, documents: string, metadatas = '[{"n":1,"m":2}]'): Buffer =>
  Buffer.from(
    `{"ids":${ids},"embeddings":null,"documents":${documents},"uris":null,"metadatas":${metadatas},"include":[]}`,
  );

test('finds responses different by their records and their order, not by the order of keys', () => {
  const one = response('["a"]', '["x"]');
  expect(responsesDiffer(one, response('["a"]', '["x"]', '[{"m":2,"n":1}]'))).toBe(false);
  expect(responsesDiffer(one, response('["a"]', '["y"]'))).toBe(true);
  expect(responsesDiffer(one, response('["a"]', '["x"]', '[{"m":2,"n":1.0}]'))).toBe(true);
  expect(responsesDiffer(one, response('["a","b"]', '["x","y"]', '[{"m":2,"n":1},null]'))).toBe(true);
  const two = response('["a","b"]', '["x","x"]', '[null,null]');
  expect(responsesDiffer(two, response('["b","a"]', '["x","x"]', '[null,null]'))).toBe(true);
  expect(responsesDiffer(one, Buffer.from('{}'))).toBe(true);
});

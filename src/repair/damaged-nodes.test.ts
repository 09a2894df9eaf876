import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { DamagedNodes, type DamagedNodesOptions } from './damaged-nodes.ts';

let clock: ManualClock;
let suspect: string;
/** Shards that another serving node has a healthy copy of. */
let kept: string[];
let serving: string[];
let discarded: string[];
let damaged: DamagedNodes;

beforeEach(() => {
  clock = new ManualClock();
  suspect = 'cannot be read: HTTP 500';
  kept = ['s', 't'];
  serving = ['a', 'b'];
  discarded = [];
  const catalog = {
    physical: () => ({ suspect }),
    shards: () => ['s', 't'],
    isHealthy: (node: string, shard: string) => node === 'b' && kept.includes(shard),
  } as unknown as DamagedNodesOptions['catalog'];
  damaged = new DamagedNodes({
    catalog,
    serving: () => serving,
    discard: (node) => void discarded.push(node),
    clock,
    events: { record: () => undefined },
    logger: { error: () => undefined, warn: () => undefined },
  });
});

const fail = (times: number): void => {
  for (let count = 0; count < times; count++) damaged.failed('a', 's', 'HTTP 500');
};

test('discards a node whose copy can be neither read nor made anew, once an hour', async () => {
  fail(2);
  expect(discarded).toEqual([]);
  fail(1);
  expect(discarded).toEqual(['a']);
  fail(9);
  expect(discarded).toEqual(['a']);
  await clock.pass(3_600_000, 600_000);
  fail(3);
  expect(discarded).toEqual(['a', 'a']);
});

test('leaves a node whose copy can be read, as on a full disk', () => {
  suspect = 'the document of record "r" differs';
  fail(9);
  expect(discarded).toEqual([]);
});

test('leaves a node with the only healthy copy of something', () => {
  kept = ['s'];
  fail(9);
  expect(discarded).toEqual([]);
});

test('counts from the beginning after a success', () => {
  fail(2);
  damaged.healed('a', 's');
  fail(2);
  expect(discarded).toEqual([]);
});

test('leaves the last node that serves, even of a cluster without collections', () => {
  serving = ['a'];
  kept = [];
  expect(damaged.discard('a', 'damaged')).toBe(false);
  expect(discarded).toEqual([]);
});

test('discards no second node before the first serves again', async () => {
  serving = ['b', 'c'];
  expect(damaged.discard('a', 'damaged')).toBe(true);
  await clock.pass(600_000, 60_000);
  serving = ['b'];
  expect(damaged.discard('c', 'damaged')).toBe(false);
  serving = ['a', 'b'];
  expect(damaged.discard('c', 'damaged')).toBe(true);
  expect(discarded).toEqual(['a', 'c']);
});

import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { MemoryScrub } from '../../test/support/memory-scrub.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { Term } from '../coordination/term.ts';
import { Scrub } from './scrub.ts';
import type { VerifyShardOptions } from './shard-verification.ts';

const HOUR = 3_600_000;
const SHARDS = ['s2', 's1', 's3'];

let clock: ManualClock;
let store: MemoryScrub;
let events: string[];
let onVerify: (shard: string, options: VerifyShardOptions) => void | Promise<void>;
let ends: AbortController;
let running: Promise<void>;

beforeEach(() => {
  clock = new ManualClock();
  store = new MemoryScrub();
  events = [];
  onVerify = () => undefined;
});

afterEach(async () => {
  ends.abort();
  await running;
});

function begin(intervalMs = 0): Scrub {
  ends = new AbortController();
  const term: Term = { epoch: 1, clean: true, signal: ends.signal, held: () => !ends.signal.aborted };
  const scrub = new Scrub({
    store,
    verification: {
      verify: async (shard, _nodes, options) => {
        await onVerify(shard, options);
        return { records: 10, uncompared: 1, suspects: shard === 's2' ? ['a'] : [] };
      },
    },
    shards: () => SHARDS,
    serving: () => ['a', 'b'],
    intervalMs,
    bytesPerSecond: 1_000,
    events: { record: (kind) => void events.push(kind) },
    clock,
    logger: { info: () => undefined, warn: () => undefined },
  });
  running = scrub.run(term);
  return scrub;
}

test('verifies every shard once when it is asked to, in the order of their ids, and counts', async () => {
  const scrub = begin();
  await clock.pass(10_000, 500);
  expect(store.verified).toEqual([]);
  await scrub.start();
  await clock.pass(10_000, 500);
  expect(store.verified).toEqual(['s1', 's2', 's3']);
  const counts = { shards: 3, records: 30, uncompared: 3, suspects: 1, skipped: 0 };
  expect(await scrub.progress()).toMatchObject({ counts, total: 3, isRequested: false });
  expect(events).toEqual(['scrub_finished']);
});

test('begins by itself once the interval is over', async () => {
  begin(HOUR);
  await clock.pass(5_000, 500);
  expect(store.verified).toEqual([]);
  store.state = { ...store.state, idleMs: HOUR };
  await clock.pass(5_000, 500);
  expect(store.verified).toHaveLength(3);
});

test('continues where the leader before it stopped', async () => {
  store.state = { ...store.state, finishedAt: null, cursor: 's1' };
  begin();
  await clock.pass(5_000, 500);
  expect(store.verified).toEqual(['s2', 's3']);
});

test('reads no faster than its rate', async () => {
  let pages = 0;
  onVerify = async (_shard, { onPage }) => {
    for (let page = 0; page < 10; page++, pages++) await onPage?.(1, 1_000);
  };
  await begin().start();
  await clock.pass(2_000, 100);
  const before = pages;
  await clock.pass(5_000, 100);
  expect(pages - before).toBeLessThanOrEqual(6);
  expect(pages - before).toBeGreaterThan(2);
});

test('pauses within a shard and goes on when it is resumed', async () => {
  let pages = 0;
  onVerify = async (_shard, { onPage }) => {
    for (let page = 0; page < 5; page++, pages++) await onPage?.(1, 1_000);
  };
  const scrub = begin();
  await scrub.start();
  await clock.pass(4_000, 100);
  await scrub.pause();
  await clock.pass(5_000, 100);
  const before = pages;
  await clock.pass(60_000, 500);
  expect(pages).toBe(before);
  expect(pages).toBeLessThan(15);
  await scrub.resume();
  await clock.pass(60_000, 500);
  expect([pages, store.verified.length]).toEqual([15, 3]);
});

test.each([
  ['whose node does not respond', new NodeError('timeout', 'no response')],
  ['that fails for another reason', new Error('the log is damaged')],
])('leaves out a shard %s, and counts it', async (_what, error) => {
  onVerify = (shard) => {
    if (shard === 's2') throw error;
  };
  await begin().start();
  await clock.pass(60_000, 500);
  expect(store.state.counts).toMatchObject({ shards: 3, skipped: 1, suspects: 0 });
});

test('goes on after an error, and ends with the term', async () => {
  let failures = 0;
  onVerify = () => {
    if (failures++ < 2) throw new Error('PostgreSQL is away');
  };
  await begin().start();
  await clock.pass(60_000, 500);
  expect(store.verified).toHaveLength(3);
  ends.abort();
  await running;
});

test('reports the progress of a pass that an operator waits for, and what it found', async () => {
  const reports: string[] = [];
  const scrub = begin();
  let result: object | null = null;
  void scrub
    .runOnce(
      ({ phase, done, total }) => reports.push(`${phase} ${done} ${total}`),
      new AbortController().signal,
    )
    .then((counts) => (result = counts));
  onVerify = async (_shard, { onPage }) => onPage?.(1, 1_000);
  await clock.pass(10_000, 100);
  expect(result).toMatchObject({ shards: 3, suspects: 1 });
  expect(reports).toContain('comparing 1 3');
});

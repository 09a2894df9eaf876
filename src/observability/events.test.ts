import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { until } from '../../test/support/until.ts';
import { EventLog, type RecordedEvent } from './events.ts';

let clock: ManualClock;
let stored: RecordedEvent[][];
let isAway: boolean;
let errors: number;
let events: EventLog;

beforeEach(() => {
  clock = new ManualClock();
  stored = [];
  isAway = false;
  errors = 0;
  events = new EventLog({
    store: {
      append: async (batch) => {
        if (isAway) throw new Error('no connection');
        stored.push([...batch]);
      },
    },
    gateway: 'g',
    clock,
    onError: () => (errors += 1),
  });
});

const kinds = (): string[] => stored.flat().map(({ kind }) => kind);

test('stores events of one turn in one batch, with their time, level, node and gateway', async () => {
  events.record('node_down', { node: 'a', reason: 'refused' });
  events.record('primary_changed', { node: 'b', before: 'a' });
  await until(async () => stored.length > 0, 'the batch is stored');
  expect(stored).toEqual([
    [
      {
        at: clock.now(),
        kind: 'node_down',
        level: 'error',
        node: 'a',
        detail: { reason: 'refused', gateway: 'g' },
      },
      {
        at: clock.now(),
        kind: 'primary_changed',
        level: 'warning',
        node: 'b',
        detail: { before: 'a', gateway: 'g' },
      },
    ],
  ]);
});

test('never throws, and stores events once the store is back', async () => {
  isAway = true;
  events.record('node_down', { node: 'a' });
  await until(async () => errors > 0, 'the store was asked');
  events.record('node_recovered', { node: 'a' });
  isAway = false;
  await until(async () => {
    clock.advance(1_000);
    return stored.length > 0;
  }, 'the events are stored');
  expect(kinds()).toEqual(['node_down', 'node_recovered']);
});

test('holds a bounded number of events, drops the newest and counts them', async () => {
  isAway = true;
  for (let count = 0; count < 1_005; count++) events.record('node_down', { node: `n${count}` });
  expect(events.dropped).toBe(5);
  isAway = false;
  await events.stop();
  expect(stored.flat()).toHaveLength(1_000);
  expect(stored.flat()[0]?.node).toBe('n0');
});

test('stops although the store does not respond with success', async () => {
  isAway = true;
  events.record('node_down');
  await events.stop();
  expect([stored, errors]).toEqual([[], 1]);
});

test('hides credentials and cuts long texts', async () => {
  events.record('node_down', { reason: `http://user:secret@node refused ${'x'.repeat(2_000)}` });
  await events.stop();
  const text = String(stored[0]?.[0]?.detail['reason']);
  expect(text).toMatch(/^http:\/\/\*\*\*@node refused x/);
  expect(text).toHaveLength(1_000);
});

test('notifies its listeners at once', () => {
  const heard: string[] = [];
  events.subscribe(({ kind }) => heard.push(kind));
  events.record('shard_suspect');
  expect(heard).toEqual(['shard_suspect']);
});

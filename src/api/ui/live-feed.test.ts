import { expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import { fakeNode, fakeStatusSource, NOW } from '../../../test/support/status-source.ts';
import type { OpenAlert } from '../../alerts/alert-store.ts';
import type { Condition } from '../../alerts/conditions.ts';
import { LiveFeed, type LiveFeedOptions } from './live-feed.ts';
import type { LiveStream } from './live-stream.ts';

const DOWN: Condition = { kind: 'node_down', key: 'node_down:b', detail: 'b: refused by http://u:secret@b' };
const LAG: Condition = { kind: 'lag', key: 'lag:c', detail: 'c is 40 s behind the head' };
const alert = (kind: OpenAlert['kind'], key: string, sinceMs: number): OpenAlert => ({
  kind,
  key,
  since: new Date(sinceMs),
  detail: `stored ${key}`,
});

async function setUp(parts: Partial<LiveFeedOptions> = {}) {
  const clock = new ManualClock();
  const published = new Map<string, unknown[]>();
  const feed = new LiveFeed({
    status: fakeStatusSource(),
    traffic: { measure: () => null },
    sizes: { total: () => 12, run: () => Promise.resolve() },
    collections: () => [],
    collectionCount: () => 0,
    conditions: () => [],
    openAlerts: () => Promise.resolve([]),
    events: () => Promise.resolve([]),
    operations: { list: () => [] },
    actions: ['drain'],
    clock,
    ...parts,
  });
  const stop = new AbortController();
  const stream: Pick<LiveStream, 'publish' | 'flush'> = {
    publish: (channel, value) => void published.set(channel, [...(published.get(channel) ?? []), value]),
    flush: () => undefined,
  };
  const produced = feed.produce(stream, stop.signal);
  await clock.pass(3_000, 500);
  const findings = () => feed.state().summary.findings.map(({ key, sinceMs }) => [key, sinceMs]);
  return { clock, feed, published, stop, produced, findings };
}

test('the state is published every second while a dashboard is open', async () => {
  const { clock, published, stop, produced } = await setUp();
  expect(published.get('state')).toHaveLength(4);
  stop.abort();
  await produced;
  await clock.pass(5_000, 500);
  expect(published.get('state')).toHaveLength(4);
});

test('a finding began when its node changed, or its alert opened, or it was first seen', async () => {
  const nodes = [fakeNode('a'), fakeNode('b', { state: 'down', since: NOW - 9_000 }), fakeNode('c')];
  const status = fakeStatusSource({ nodes: () => nodes });
  const [first, stored] = [
    await setUp({ status, conditions: () => [DOWN, LAG] }),
    await setUp({
      status,
      conditions: () => [LAG],
      openAlerts: async () => [alert('lag', 'lag:c', NOW - 60_000)],
    }),
  ];
  expect(first.findings()).toEqual([
    ['node_down:b', NOW - 9_000],
    ['lag:c', NOW],
  ]);
  expect(stored.findings()).toEqual([['lag:c', NOW - 60_000]]);
  expect(JSON.stringify(first.feed.state().summary)).not.toContain('secret');
});

test('a burst of load is no finding until it has lasted a minute, or its alert is open', async () => {
  const conditions = () => [{ kind: 'cpu', key: 'cpu:gateway', detail: '97 %' }] as const;
  let now = NOW;
  const status = fakeStatusSource({ now: () => now });
  const { findings } = await setUp({ status, conditions });
  expect(findings()).toEqual([]);
  now = NOW + 59_999;
  expect(findings()).toEqual([]);
  now = NOW + 60_000;
  expect(findings()).toEqual([['cpu:gateway', NOW]]);
  const stored = await setUp({
    conditions,
    openAlerts: async () => [alert('cpu', 'cpu:gateway', NOW - 5_000)],
  });
  expect(stored.findings()).toEqual([['cpu:gateway', NOW - 5_000]]);
});

test('the leader knows better than the stored alerts, and shows those of other gateways', async () => {
  const openAlerts = async () => [
    alert('node_down', 'node_down:b', NOW),
    alert('memory', 'memory:gateway', NOW),
    alert('memory', 'memory:other', NOW),
  ];
  const leading = await setUp({ openAlerts });
  expect(leading.findings()).toEqual([['memory:other', NOW]]);
  const standby = await setUp({ openAlerts, status: fakeStatusSource({ term: () => null }) });
  expect(standby.findings().map(([key]) => key)).toEqual(['node_down:b', 'memory:other']);
});

test('without PostgreSQL the state goes on, and events stay as they were', async () => {
  const fails = (): Promise<never> => Promise.reject(new Error('no connection'));
  const { published, feed } = await setUp({
    openAlerts: fails,
    events: fails,
    status: fakeStatusSource({ disk: fails }),
  });
  expect(published.get('state')?.length).toBeGreaterThan(1);
  expect(published.has('events')).toBe(false);
  expect(feed.state().log.disk).toBeNull();
});

import { describe, expect, test } from 'vitest';
import { fakeNode, fakeStatusSource, NOW } from '../../../test/support/status-source.ts';
import { RequestStats } from '../../http/request-stats.ts';
import { LogStats } from '../../log/log-stats.ts';
import type { Entry } from '../../log/entry.ts';
import { BATCH_SIZES, Histogram } from '../../observability/histogram.ts';
import { statusOf } from './status.ts';
import { walStatsOf } from './wal-stats.ts';

test('the status shows no credentials of a node', () => {
  const node = fakeNode('a', {
    url: 'http://user:secret@host:8000',
    state: 'down',
    reason: 'no response from http://user:secret@host:8000',
    lastError: 'http://user:secret@host:8000 refused',
  });
  const text = JSON.stringify(statusOf(fakeStatusSource({ nodes: () => [node] })));
  expect(text).toContain('http://***@host:8000');
  expect(text).not.toContain('secret');
});

describe('the status has what older dashboards read', () => {
  test('instances with their health and success rate', () => {
    const probes = { at: NOW, total: 8, failed: 1, consecutiveFailures: 1 };
    const nodes = [
      fakeNode('primary'),
      fakeNode('replica', { state: 'down', probes }, { calls: () => 12 }),
      fakeNode('new', { state: 'joining', probes: { ...probes, at: null, total: 0, failed: 0 } }),
    ];
    const status = statusOf(fakeStatusSource({ nodes: () => nodes }));
    expect(status).toMatchObject({ service: 'polychrome', healthy_instances: 1, total_instances: 3 });
    const at = new Date(NOW).toISOString();
    expect(status.instances).toMatchObject([
      {
        name: 'primary',
        healthy: true,
        last_health_check: at,
        consecutive_failures: 0,
        success_rate: '100.0%',
      },
      {
        name: 'replica',
        healthy: false,
        last_health_check: at,
        consecutive_failures: 1,
        success_rate: '87.5%',
        total_requests: 12,
      },
      { name: 'new', last_health_check: null, success_rate: '100.0%' },
    ]);
  });

  test('pending writes from the node furthest behind', () => {
    const nodes = [fakeNode('a'), fakeNode('b', {}, { lag: () => ({ entries: 9, ms: 50 }) })];
    const { unified_wal } = statusOf(fakeStatusSource({ nodes: () => nodes, syncIntervalSeconds: 10 }));
    expect(unified_wal).toEqual({
      pending_writes: 9,
      is_syncing: true,
      sync_interval_seconds: 10,
      database: 'PostgreSQL',
    });
  });

  test('totals of requests', () => {
    const requests = new RequestStats();
    for (const status of [200, 404, 503]) requests.observe({ route: 'get', status, ms: 1 });
    expect(statusOf(fakeStatusSource({ requests })).stats).toMatchObject({
      total_requests: 3,
      successful_requests: 2,
      failed_requests: 1,
    });
  });
});

test('the statistics of the log count what went through and what waits', async () => {
  const log = new LogStats();
  const entry = (kind: string): Entry => ({ kind, body: Buffer.from('12345') }) as unknown as Entry;
  log.committed([entry('add'), entry('delete'), entry('delete'), entry('delete_where')]);
  const requests = new RequestStats();
  requests.observe({ route: 'delete', status: 400, ms: 1 });
  requests.observe({ route: 'add', status: 400, ms: 1 });
  const batches = new Histogram(BATCH_SIZES);
  batches.observe(4);
  const entries = new Histogram(BATCH_SIZES);
  for (const size of [3, 1]) entries.observe(size);
  const behind = fakeNode(
    'b',
    {},
    { checkpoint: 2, lag: () => ({ entries: 5, ms: 1 }), rounds: () => ({ entries }) },
  );
  const source = fakeStatusSource({
    log,
    requests,
    batches: () => batches,
    nodes: () => [fakeNode('a'), behind],
    quarantined: () => [3],
    trimmed: () => 1,
  });
  expect(await walStatsOf(source)).toMatchObject({
    appended: { entries: 4, bytes: 20, head: 7 },
    applied: { a: { checkpoint: 7, entries: 0 }, b: { checkpoint: 2, entries: 4 } },
    pending: { a: 0, b: 5 },
    quarantined: 1,
    batches: { append: { count: 1, entries: 4 }, rounds: { b: { count: 2, entries: 4 } } },
    deletions: { by_id: 2, by_filter: 1, refused: 1, converted: 0 },
    trimmed: 1,
    bytes: { log: 10, database: 20 },
  });
});

test('the statistics of the log do without sizes while PostgreSQL does not respond', async () => {
  const disk = (): Promise<never> => Promise.reject(new Error('no connection'));
  expect((await walStatsOf(fakeStatusSource({ disk }))).bytes).toEqual({ log: null, database: null });
});

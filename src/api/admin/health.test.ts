import { describe, expect, test } from 'vitest';
import { fakeNode, fakeStatusSource } from '../../../test/support/status-source.ts';
import { deepHealthOf, readinessOf } from './health.ts';
import { adminRouter, statusRoutes } from './routes.ts';
import type { DiskUsage, StatusSource } from './status-source.ts';

const DISK: DiskUsage = { logBytes: 10, logBytesMax: 100, databaseBytes: 20 };
const usage = fakeStatusSource().resources();
const container =
  (parts: object): (() => typeof usage) =>
  () => ({
    ...usage,
    container: { ...usage.container, ...parts },
  });
const nodesWith = (...states: string[]): Partial<StatusSource> => {
  const nodes = states.map((state, at) => fakeNode(`node-${at + 1}`, { state }));
  return { nodes: () => nodes };
};

test('everything is healthy when nothing is wrong', () => {
  const source = fakeStatusSource();
  expect(readinessOf(source)).toMatchObject({ ready: true, reason: null });
  const { status, components } = deepHealthOf(source, DISK);
  expect(status).toBe('healthy');
  expect(Object.keys(components)).toEqual([
    'postgresql',
    'nodes',
    'log',
    'memory',
    'canary',
    'lag',
    'cpu',
    'disk',
  ]);
});

describe('a component is not healthy', () => {
  test.each<[string, string, string, Partial<StatusSource>]>([
    [
      'postgresql',
      'unhealthy',
      'no writes until it does',
      { postgres: () => ({ respondedMsAgo: 20_000, latencyMs: 1, error: 'refused' }) },
    ],
    [
      'postgresql',
      'unhealthy',
      'no response yet',
      { postgres: () => ({ respondedMsAgo: null, latencyMs: null, error: null }) },
    ],
    [
      'postgresql',
      'degraded',
      'refused',
      { postgres: () => ({ respondedMsAgo: 2_000, latencyMs: 1, error: 'refused' }) },
    ],
    ['nodes', 'unhealthy', 'no node serves: node-1 is down', nodesWith('down')],
    ['nodes', 'degraded', 'node-2 is catching_up', nodesWith('busy', 'catching_up')],
    ['log', 'unhealthy', 'the log lost its end', { halted: () => 'the log lost its end' }],
    ['log', 'unhealthy', 'does not lead', { serving: () => ({ reads: null, writes: 'does not lead' }) }],
    ['memory', 'degraded', '90 %', { resources: container({ memoryPercent: 90 }) }],
    ['memory', 'unhealthy', '99 %', { resources: container({ memoryPercent: 99 }) }],
    ['cpu', 'degraded', '95 %', { resources: container({ cpuPercent: 95 }) }],
    [
      'lag',
      'degraded',
      'a is 31 s behind',
      { nodes: () => [fakeNode('a', {}, { lag: () => ({ entries: 1, ms: 31_000 }) })] },
    ],
    ['canary', 'degraded', '61 s ago on a', { nodes: () => [fakeNode('a', { canaryMsAgo: 61_000 })] }],
    ['canary', 'degraded', 'none on a', { nodes: () => [fakeNode('a', { canaryMsAgo: null })] }],
  ])('%s is %s: %s', (component, state, reason, parts) => {
    const { status, components } = deepHealthOf(fakeStatusSource(parts), DISK);
    expect(components[component]).toMatchObject({ state, reason: expect.stringContaining(reason) as string });
    expect(status).toBe(state);
  });

  test.each([
    ['degraded', 'could not be read', null],
    ['degraded', '95 bytes of 100', { ...DISK, logBytes: 95 }],
  ])('disk is %s: %s', (state, reason, disk) => {
    expect(deepHealthOf(fakeStatusSource(), disk).components['disk']).toMatchObject({
      state,
      reason: expect.stringContaining(reason) as string,
    });
  });
});

/** Status and body of a route. */
async function get(path: string, parts: Partial<StatusSource>): Promise<[number, Record<string, unknown>]> {
  const match = adminRouter(statusRoutes(fakeStatusSource(parts))).match('GET', path);
  if (typeof match === 'string') throw new Error(match);
  const request = {
    method: 'GET',
    params: {},
    query: new URLSearchParams(),
    headers: {},
    remoteAddress: null,
  };
  const response = await match.handle({
    ...request,
    body: Buffer.alloc(0),
    signal: new AbortController().signal,
  });
  if (typeof response === 'function') throw new Error('streamed');
  return [response.status, JSON.parse(String(response.body)) as Record<string, unknown>];
}

describe('a gateway that serves no reads', () => {
  const parts = { serving: () => ({ reads: 'no node serves', writes: null }) };

  test('is alive, and gets no traffic', async () => {
    expect(await get('/health/live', parts)).toEqual([200, { status: 'alive' }]);
    expect((await get('/health/ready', parts))[0]).toBe(503);
    expect(await get('/ready', parts)).toMatchObject([503, { ready: false, reason: 'no node serves' }]);
    expect(await get('/health/check', parts)).toMatchObject([503, { status: 'unhealthy' }]);
    expect(await get('/health', parts)).toEqual([
      503,
      { status: 'unavailable', reason: 'no node serves', healthy_instances: 3, total_instances: 3 },
    ]);
  });
});

test('a gateway that accepts no writes still gets reads', async () => {
  const parts = {
    serving: () => ({ reads: null, writes: 'PostgreSQL is away' }),
    postgres: () => ({ respondedMsAgo: 60_000, latencyMs: 1, error: 'refused' }),
  };
  expect((await get('/ready', parts))[0]).toBe(200);
  expect(await get('/health', parts)).toMatchObject([200, { status: 'degraded' }]);
  expect((await get('/health/check', parts))[0]).toBe(503);
});

test('a gateway about to run out of memory gets no traffic', async () => {
  const parts = { resources: container({ memoryPercent: 99 }) };
  expect(await get('/ready', parts)).toMatchObject([
    503,
    { reason: expect.stringContaining('99 %') as string },
  ]);
});

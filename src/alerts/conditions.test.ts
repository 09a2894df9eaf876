import { describe, expect, test } from 'vitest';
import {
  clusterConditions,
  gatewayConditions,
  undecided,
  type ObservedCluster,
  type ObservedGateway,
  type ObservedNode,
} from './conditions.ts';

const node = (id: string, fields: Partial<ObservedNode> = {}): ObservedNode => ({
  id,
  state: 'serving',
  reason: null,
  lagMs: 0,
  suspects: 0,
  ...fields,
});
const cluster = (...nodes: ObservedNode[]): ObservedCluster => ({ nodes, halted: null, lagMsMax: 30_000 });
const gateway = (fields: Partial<ObservedGateway> = {}): ObservedGateway => ({
  id: 'g',
  postgres: null,
  requests: { total: 100, failed: 0, p95Ms: 10 },
  latencyMsMax: 5_000,
  memoryPercent: 50,
  memoryPercentMax: 85,
  cpuPercent: 50,
  cpuPercentMax: 90,
  ...fields,
});

test('nothing holds for a healthy cluster', () => {
  expect(clusterConditions(cluster(node('a'), node('b', { state: 'busy' })))).toEqual([]);
  expect(gatewayConditions(gateway())).toEqual([]);
});

describe('a condition of the cluster holds', () => {
  test.each<[string, string, ObservedCluster]>([
    ['node_down:a', 'a: refused', cluster(node('a', { state: 'down', reason: 'refused' }), node('b'))],
    ['node_out:a', 'a is fenced', cluster(node('a', { state: 'fenced' }), node('b'))],
    ['node_out:a', 'a is needs_rebuild', cluster(node('a', { state: 'needs_rebuild' }), node('b'))],
    ['divergence:a', '2 collections of a', cluster(node('a', { suspects: 2 }))],
    ['lag:a', 'a is 31 s behind', cluster(node('a', { lagMs: 31_000 }))],
    ['log_halted', 'damaged', { ...cluster(node('a')), halted: 'damaged' }],
    ['no_node', 'a is down', cluster(node('a', { state: 'down' }))],
  ])('%s: %s', (key, detail, observed) => {
    const found = clusterConditions(observed).find((each) => each.key === key);
    expect(found?.detail).toContain(detail);
  });

  test('not lag of a node that catches up, nor no_node before each was looked at', () => {
    expect(clusterConditions(cluster(node('a', { state: 'catching_up', lagMs: 90_000 }), node('b')))).toEqual(
      [],
    );
    expect(clusterConditions(cluster(node('a', { state: 'joining' })))).toEqual([]);
  });
});

test('what concerns a node that was not looked at yet is undecided', () => {
  const isUndecided = undecided(cluster(node('a', { state: 'joining' }), node('b')));
  expect(['node_down:a', 'node_down:b', 'no_node', 'log_halted'].map(isUndecided)).toEqual([
    true,
    false,
    true,
    false,
  ]);
});

describe('a condition of a gateway holds', () => {
  test.each<[string, Partial<ObservedGateway>]>([
    ['postgresql_unreachable:g', { postgres: 'refused' }],
    ['error_rate:g', { requests: { total: 100, failed: 6, p95Ms: 10 } }],
    ['latency:g', { requests: { total: 20, failed: 0, p95Ms: 5_001 } }],
    ['memory:g', { memoryPercent: 85 }],
    ['cpu:g', { cpuPercent: 90 }],
  ])('%s', (key, fields) => {
    expect(gatewayConditions(gateway(fields)).map((each) => each.key)).toEqual([key]);
  });

  test('not for few requests, nor for latency when that is turned off', () => {
    expect(gatewayConditions(gateway({ requests: { total: 19, failed: 19, p95Ms: 9_000 } }))).toEqual([]);
    const slow = { requests: { total: 100, failed: 5, p95Ms: 9_000 }, latencyMsMax: 0 };
    expect(gatewayConditions(gateway(slow))).toEqual([]);
  });
});

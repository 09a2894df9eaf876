import { describe, expect, test } from 'vitest';
import { compareRanks, STRATEGIES, type Draw, type RankedNode, type StrategyName } from './strategies.ts';

const PLAIN: RankedNode = {
  isPrimary: false,
  isBusy: false,
  readsInFlight: 0,
  latencyMs: 0,
  isLocal: false,
  priority: 0,
};
const DRAW: Draw = { random: () => 0.5, toReplica: true };

/** Ids in the order in which the strategy prefers them. */
function order(
  name: StrategyName,
  nodes: Readonly<Record<string, Partial<RankedNode>>>,
  draw: Partial<Draw> = {},
): string {
  const ranks = Object.entries(nodes).map(
    ([id, node]) => [id, STRATEGIES[name]({ ...PLAIN, ...node }, { ...DRAW, ...draw })] as const,
  );
  return ranks
    .sort(([, a], [, b]) => compareRanks(a, b))
    .map(([id]) => id)
    .join('');
}

test.each([
  ['least_loaded', { a: { readsInFlight: 2 }, b: { readsInFlight: 1 } }, 'ba'],
  ['latency_based', { a: { latencyMs: 9, readsInFlight: 0 }, b: { latencyMs: 2, readsInFlight: 3 } }, 'ba'],
  ['latency_based', { a: { latencyMs: 9, readsInFlight: 0 }, b: { latencyMs: 4, readsInFlight: 3 } }, 'ab'],
  ['latency_based', { a: { latencyMs: 1 }, b: { latencyMs: 0 } }, 'ba'],
  ['local_first', { a: { readsInFlight: 0 }, b: { isLocal: true, readsInFlight: 9 } }, 'ba'],
  ['round_robin', { a: { readsInFlight: 9 }, b: {} }, 'ab'],
  ['priority', { a: { priority: 1 }, b: { priority: 100, readsInFlight: 9 }, c: {} }, 'bac'],
  ['primary_only', { a: {}, b: { isPrimary: true, isBusy: true, readsInFlight: 9 } }, 'ba'],
  ['write_primary', { a: { isPrimary: true }, b: { readsInFlight: 9 } }, 'ba'],
  ['optimized_read_replica', { a: { isPrimary: true }, b: { readsInFlight: 9 } }, 'ba'],
] as const)('%s ranks by what it is named for', (name, nodes, expected) => {
  expect(order(name, nodes)).toBe(expected);
});

test('random draws for each node', () => {
  const draws = [0.9, 0.1, 0.5];
  expect(order('random', { a: {}, b: {}, c: {} }, { random: () => draws.shift()! })).toBe('bca');
});

test('the share of reads that does not go to replicas goes to the primary', () => {
  const nodes = { a: {}, b: { isPrimary: true } };
  expect(order('write_primary', nodes, { toReplica: false })).toBe('ba');
});

describe('busy nodes come last under', () => {
  const names = (Object.keys(STRATEGIES) as StrategyName[]).filter((name) => name !== 'primary_only');
  test.each(names)('%s', (name) => {
    const preferred = { isLocal: true, priority: 9, isBusy: true };
    expect(order(name, { a: preferred, b: { readsInFlight: 99, latencyMs: 99 } })).toBe('ba');
  });
});

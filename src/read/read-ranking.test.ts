// Each strategy, circuits included, shown to change which node a read is sent to.

import { describe, expect, test } from 'vitest';
import { FakeClusterView } from '../../test/support/fake-cluster-view.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { plainRanking } from '../../test/support/read-ranking.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { Node } from '../nodes/node.ts';
import { ReadsInFlight } from '../nodes/reads-in-flight.ts';
import { NodeSelection, type ReadCandidate } from './node-selection.ts';
import { ReadHealth } from './read-health.ts';
import type { ReadRankingOptions } from './read-ranking.ts';

const quiet = { info: () => undefined, warn: () => undefined };

interface Load {
  readonly inFlight?: Readonly<Record<string, number>>;
  readonly latencyMs?: Readonly<Record<string, number>>;
  readonly failing?: readonly string[];
}

/** The nodes that twelve reads are sent to; the primary of the nodes a, b and c is a. */
function sentTo(options: Partial<ReadRankingOptions>, load: Load = {}): string {
  const health = new ReadHealth({ clock: new ManualClock(), logger: quiet });
  for (const [id, ms] of Object.entries(load.latencyMs ?? {})) health.succeeded(id, ms);
  for (const id of load.failing ?? []) for (let n = 0; n < 5; n++) health.failed(id);
  const view = new FakeClusterView();
  view.primaryNode = 'a';
  const candidates = ['a', 'b', 'c'].map((id): ReadCandidate => {
    const readsInFlight = new ReadsInFlight(new ManualClock());
    for (let n = 0; n < (load.inFlight?.[id] ?? 0); n++) readsInFlight.begin(new AbortController());
    return { member: { id, state: 'serving' } as Node, client: {} as NodeClient, readsInFlight };
  });
  const ranking = plainRanking(health, options);
  const selection = new NodeSelection({ nodes: () => candidates, view, physicalId: () => 'x', ranking });
  const requirements = { shard: null, floor: 0, sticky: false };
  const send = (): string => selection.selectNow(requirements)?.node.member.id ?? 'none';
  const sent = new Set(Array.from({ length: 12 }, send));
  return ['a', 'b', 'c', 'none'].filter((id) => sent.has(id)).join('');
}

/** Loads that make each strategy prefer another node. */
const LOAD: Load = { inFlight: { a: 1, b: 2, c: 3 }, latencyMs: { a: 90, b: 30, c: 1 } };
const draws = (...numbers: number[]): (() => number) => {
  let n = 0;
  return () => numbers[n++ % numbers.length] as number;
};

describe('with three nodes under different load, reads are sent', () => {
  test.each([
    [{ strategy: 'least_loaded' }, 'a'],
    [{ strategy: 'latency_based' }, 'c'],
    [{ strategy: 'local_first', localNodes: ['b'] }, 'b'],
    [{ strategy: 'round_robin' }, 'abc'],
    [{ strategy: 'random', random: draws(0.5, 0.3, 0.2, 0.1) }, 'abc'],
    [{ strategy: 'priority', priorities: new Map([['c', 5]]) }, 'c'],
    [{ strategy: 'primary_only' }, 'a'],
    [{ strategy: 'write_primary', replicaRatio: 1 }, 'b'],
    [{ strategy: 'write_primary', replicaRatio: 0 }, 'a'],
    [{ strategy: 'optimized_read_replica', replicaRatio: 0.6, random: draws(0.5, 0.7) }, 'ab'],
  ] as const)('under %j to %s', (options, expected) => {
    expect(sentTo(options, LOAD)).toBe(expected);
  });
});

test.each(['least_loaded', 'primary_only', 'round_robin'] as const)(
  'under %s a node whose circuit is open is passed over',
  (strategy) => {
    expect(sentTo({ strategy }, { failing: ['a'] })).toMatch(/^bc?$/);
    expect(sentTo({ strategy }, { failing: ['a', 'b', 'c'] })).not.toBe('');
  },
);

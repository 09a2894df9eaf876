// The ranking of nodes for reads under the default strategy, for tests of what uses it.

import { ReadHealth } from '../../src/read/read-health.ts';
import { ReadRanking, type ReadRankingOptions } from '../../src/read/read-ranking.ts';

export function plainRanking(health: ReadHealth, more: Partial<ReadRankingOptions> = {}): ReadRanking {
  return new ReadRanking({
    strategy: 'least_loaded',
    replicaRatio: 1,
    localNodes: [],
    priorities: new Map(),
    health,
    random: () => 0.5,
    ...more,
  });
}

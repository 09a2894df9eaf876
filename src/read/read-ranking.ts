// Ranks nodes for a read: by the strategy, and after all others those whose circuit is open.

import type { ReadHealth } from './read-health.ts';
import { STRATEGIES, type Draw, type Rank, type StrategyName } from './strategies.ts';

export interface ReadRankingOptions {
  readonly strategy: StrategyName;
  /** Share of reads that go to replicas, where the strategy prefers them: from 0 to 1. */
  readonly replicaRatio: number;
  /** Ids of the nodes near this gateway. */
  readonly localNodes: readonly string[];
  /** By id; a node that is not named has 0. */
  readonly priorities: ReadonlyMap<string, number>;
  readonly health: Pick<ReadHealth, 'isOpen' | 'latencyMs'>;
  /** A number in [0, 1). */
  readonly random: () => number;
}

/** A node, as far as its rank depends on the moment. */
export interface RankedCandidate {
  readonly id: string;
  readonly isPrimary: boolean;
  readonly isBusy: boolean;
  readonly readsInFlight: number;
}

export class ReadRanking {
  readonly #options: ReadRankingOptions;

  constructor(options: ReadRankingOptions) {
    this.#options = options;
  }

  /** The rank of each node for one read. `sticky`: the primary first, whatever the strategy. */
  forRead(sticky: boolean): (node: RankedCandidate) => Rank {
    const { strategy, replicaRatio, localNodes, priorities, health, random } = this.#options;
    if (sticky) return ({ id, isPrimary }) => [Number(health.isOpen(id)), Number(!isPrimary)];
    const draw: Draw = { random, toReplica: random() < replicaRatio };
    return (node) => {
      const { id } = node;
      const latencyMs = health.latencyMs(id);
      const known = {
        ...node,
        latencyMs,
        isLocal: localNodes.includes(id),
        priority: priorities.get(id) ?? 0,
      };
      return [Number(health.isOpen(id)), ...STRATEGIES[strategy](known, draw)];
    };
  }
}

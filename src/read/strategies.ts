// The read strategies: each ranks the nodes that are eligible for a read. Lower ranks first; the numbers of a rank are
// compared one after the other, and nodes of equal rank take turns.

/** What a strategy knows of a node. */
export interface RankedNode {
  readonly isPrimary: boolean;
  /** It works on a long call, and may respond to nothing for a second or more. */
  readonly isBusy: boolean;
  /** Reads of this gateway in flight there. */
  readonly readsInFlight: number;
  /** Recent duration of a read there, ms; 0 when nothing recent is known. */
  readonly latencyMs: number;
  /** It runs on the machine, or in the zone, of this gateway. */
  readonly isLocal: boolean;
  /** From NODE_PRIORITIES; higher is preferred. */
  readonly priority: number;
}

export interface Draw {
  /** A number in [0, 1), another one at each call. */
  readonly random: () => number;
  /** Whether this read should go to a replica. */
  readonly toReplica: boolean;
}

export type Rank = readonly number[];

type Strategy = (node: RankedNode, draw: Draw) => Rank;

const replicasFirst: Strategy = (node, { toReplica }) => [
  Number(node.isBusy),
  Number(node.isPrimary === toReplica),
  node.readsInFlight,
];

/** Every strategy but `primary_only` takes busy nodes last. */
export const STRATEGIES = {
  least_loaded: (node) => [Number(node.isBusy), node.readsInFlight],
  // Reads in flight delay the next one by as much again.
  latency_based: (node) => [Number(node.isBusy), node.latencyMs * (node.readsInFlight + 1)],
  local_first: (node) => [Number(node.isBusy), Number(!node.isLocal), node.readsInFlight],
  round_robin: (node) => [Number(node.isBusy)],
  random: (node, { random }) => [Number(node.isBusy), random()],
  priority: (node) => [Number(node.isBusy), -node.priority, node.readsInFlight],
  // Other nodes only while the primary cannot serve the read at all.
  primary_only: (node) => [Number(!node.isPrimary), Number(node.isBusy), node.readsInFlight],
  write_primary: replicasFirst,
  optimized_read_replica: replicasFirst,
} as const satisfies Readonly<Record<string, Strategy>>;

export type StrategyName = keyof typeof STRATEGIES;

/** Negative when `a` comes before `b`. */
export function compareRanks(a: Rank, b: Rank): number {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

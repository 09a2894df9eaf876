// Appends slow down before replicas fall behind without end: a log that grows faster than a second node can follow
// would leave one node with the newest data, and a failover with a long wait. Pure.

/** Up to here a lag is the rhythm of rounds, not a falling behind: a large round takes about a second, ms. */
const LAG_FREE_MS = 2_000;
/** At this lag writes are held back the longest, ms. */
const LAG_FULL_MS = 10_000;
/** Long enough to turn dozens of writers into a rate any node follows, short against every client's patience, ms. */
const DELAY_MAX_MS = 500;

export interface ServingNode {
  /** LSN up to which it has applied everything. */
  readonly applied: number;
  /** How long the oldest entry it has not applied has been waiting, ms. */
  readonly lagMs: number;
}

/** How long a write is held back, ms: by the lag of the second-best of the nodes that serve, or of the only one. */
export function slowDownMs(serving: readonly ServingNode[]): number {
  const byPosition = [...serving].sort((a, b) => b.applied - a.applied);
  const node = byPosition[1] ?? byPosition[0];
  if (node === undefined || node.lagMs <= LAG_FREE_MS) return 0;
  const share = Math.min(1, (node.lagMs - LAG_FREE_MS) / (LAG_FULL_MS - LAG_FREE_MS));
  return Math.ceil(share * DELAY_MAX_MS);
}

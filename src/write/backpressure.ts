// Slows writes down before replicas fall behind without bound: if the log grew faster than a second node can follow,
// only one node would have the newest data, and a failover would wait long for the next. Pure.

/** A lag up to here is normal between rounds: a large round takes about a second, ms. */
const LAG_FREE_MS = 2_000;
/** From this lag on writes are delayed the longest, ms. */
const LAG_FULL_MS = 10_000;
/** Limits dozens of writers to a rate any node can follow, and stays far below every client's timeout, ms. */
const DELAY_MAX_MS = 500;

export interface ServingNode {
  /** LSN up to which it has applied everything. */
  readonly applied: number;
  /** Age of the oldest entry it has not applied, ms. */
  readonly lagMs: number;
}

/** How long to delay a write, ms: by the lag of the second-best serving node, or of the only one. */
export function backpressureDelayMs(serving: readonly ServingNode[]): number {
  const byPosition = [...serving].sort((a, b) => b.applied - a.applied);
  const node = byPosition[1] ?? byPosition[0];
  if (node === undefined || node.lagMs <= LAG_FREE_MS) return 0;
  const share = Math.min(1, (node.lagMs - LAG_FREE_MS) / (LAG_FULL_MS - LAG_FREE_MS));
  return Math.ceil(share * DELAY_MAX_MS);
}

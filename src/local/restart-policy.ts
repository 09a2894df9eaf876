// Decides whether and when the supervisor restarts a child that exited.

export interface RestartPolicy {
  /** Delay of the first restart; each further quick exit doubles it. */
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** A child that was ready for this long resets the count of quick exits. */
  readonly stableAfterMs: number;
  /** The supervisor stops restarting after this many quick exits in a row. */
  readonly quickExitsMax: number;
  /** It reports them instead, and goes on with the longest delay: the disk may be full for hours. */
  readonly isEndless?: boolean;
}

/** Ten attempts take about a minute, which outlasts a temporarily busy port or disk. */
export const RESTART_POLICY: RestartPolicy = {
  delayMsMin: 100,
  delayMsMax: 15_000,
  stableAfterMs: 2_000,
  quickExitsMax: 10,
};

export type RestartDecision =
  | { readonly action: 'restart'; readonly delayMs: number; readonly quickExits: number }
  | { readonly action: 'give_up'; readonly quickExits: number };

/** Of a server whose failure the others bear. */
export const NODE_RESTART_POLICY: RestartPolicy = { ...RESTART_POLICY, isEndless: true };

/** Decides after an exit; `readyMs` is how long the child had been ready (0 when it never was). */
export function decideRestart(
  policy: RestartPolicy,
  quickExitsBefore: number,
  readyMs: number,
): RestartDecision {
  if (readyMs >= policy.stableAfterMs)
    return { action: 'restart', delayMs: policy.delayMsMin, quickExits: 0 };
  const quickExits = quickExitsBefore + 1;
  const isTooMany = quickExits >= policy.quickExitsMax;
  if (isTooMany && policy.isEndless !== true) return { action: 'give_up', quickExits };
  const delayMs = Math.min(policy.delayMsMax, policy.delayMsMin * 2 ** (quickExits - 1));
  return { action: 'restart', delayMs, quickExits };
}

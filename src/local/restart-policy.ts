// When a child that died is started again, and when not any more: decided here, done in supervisor.ts.

export interface RestartPolicy {
  /** The wait before the first restart; doubled with each quick death after it. */
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** A child that was ready for this long had a sound start: the count begins anew. */
  readonly soundAfterMs: number;
  /** So many quick deaths in a row, and it is given up. */
  readonly quickDeathsMax: number;
}

/** Ten tries spread over about a minute: longer than a port or a disk stays busy by accident. */
export const RESTART_POLICY: RestartPolicy = {
  delayMsMin: 100,
  delayMsMax: 15_000,
  soundAfterMs: 2_000,
  quickDeathsMax: 10,
};

export type RestartDecision =
  | { readonly action: 'restart'; readonly delayMs: number; readonly quickDeaths: number }
  | { readonly action: 'give_up'; readonly quickDeaths: number };

/** What to do after a death: `readyMs` is how long the child had been ready (0 when it never was). */
export function decideRestart(
  policy: RestartPolicy,
  quickDeathsBefore: number,
  readyMs: number,
): RestartDecision {
  if (readyMs >= policy.soundAfterMs)
    return { action: 'restart', delayMs: policy.delayMsMin, quickDeaths: 0 };
  const quickDeaths = quickDeathsBefore + 1;
  if (quickDeaths >= policy.quickDeathsMax) return { action: 'give_up', quickDeaths };
  const delayMs = Math.min(policy.delayMsMax, policy.delayMsMin * 2 ** (quickDeaths - 1));
  return { action: 'restart', delayMs, quickDeaths };
}

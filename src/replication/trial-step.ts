// What a node does next with an entry that has failed, here or elsewhere. Pure: the evidence in, the step out. It
// weighs two dangers: an entry that breaks servers must not reach them all, and a node that breaks on healthy entries
// must not end them.

import type { Attempts } from './trials.ts';

export interface Evidence {
  /** What this node has made of it; null: it was not offered to it, or did not fail. */
  readonly own: Attempts | null;
  /** What the other nodes have made of it, those that failed it. */
  readonly others: readonly Attempts[];
  /** Another node has applied it. */
  readonly isTaken: boolean;
  /** A node that is away may have applied it: nobody could tell. */
  readonly mayBeTaken: boolean;
  /** Other nodes of the cluster, dead or alive. */
  readonly peers: number;
  /** Other nodes that work, and have not failed it: they can be asked. */
  readonly askable: number;
  /** Since the first failure anywhere. */
  readonly sinceMs: number;
}

export interface TrialLimits {
  /** Failed attempts after which a node has failed an entry. */
  readonly attempts: number;
  /** How long an entry waits for nodes that are away, and for a node that loses its connections, ms. */
  readonly timeoutMs: number;
}

// A network that fails for some seconds drops many calls in a row: they are blamed on the entry only after that.
const DROPS_MS = 10_000;

export type Step =
  | 'offer' // send it to this node
  | 'wait' // for another node
  | 'ask' // a working node for a second opinion
  | 'suspect' // this node is at fault: its copy is suspect, and it goes on
  | 'end'; // no node can apply it: refuse or quarantine it

/** Whether a node has failed the entry for good. One that died or hung of it is not asked again. */
function hasFailed(attempts: Attempts, sinceMs: number, { attempts: max }: TrialLimits): boolean {
  const { alone, failure } = attempts;
  if (failure.kind === 'dropped' && sinceMs < DROPS_MS) return false;
  return alone >= max || (alone >= 1 && isFatal(attempts));
}

const isFatal = ({ failure }: Attempts): boolean => failure.kind === 'died' || failure.kind === 'hung';

/** The same failure: the same status, or none from either. */
function isAlike(a: Attempts, b: Attempts): boolean {
  return (
    a.failure.status === b.failure.status &&
    (a.failure.kind === 'response') === (b.failure.kind === 'response')
  );
}

// Two processes that ended during one call may have been killed by something else: a third time tells.
const DEATHS = 3;

/** Whether two nodes that failed the entry alike are evidence enough. */
function isProven(a: Attempts, b: Attempts): boolean {
  if (a.alone === 0 || b.alone === 0 || !isAlike(a, b)) return false;
  const isDeath = a.failure.kind === 'died' && b.failure.kind === 'died';
  return !isDeath || a.alone + b.alone >= DEATHS;
}

export function nextStep(evidence: Evidence, limits: TrialLimits): Step {
  const { own, others, isTaken, mayBeTaken, peers, askable, sinceMs } = evidence;
  if (own !== null && hasFailed(own, sinceMs, limits)) {
    if (isTaken && own.failure.kind === 'dropped' && sinceMs <= limits.timeoutMs) return 'offer';
    if (isTaken) return own.alone >= limits.attempts ? 'suspect' : 'offer';
    // Acknowledged, perhaps: it is neither refused nor quarantined.
    if (mayBeTaken) return sinceMs > limits.timeoutMs / 2 ? 'suspect' : 'wait';
    if (others.some((other) => isProven(own, other))) return 'end';
    if (others.some((other) => other.alone > 0 && isAlike(own, other))) return 'offer';
    // Alone it dies of it until the attempts are used up: there is nobody to compare with.
    if (peers === 0) return own.alone >= limits.attempts ? 'end' : 'offer';
    // A node that failed it otherwise makes it two: no third is asked.
    if (askable > 0 && others.length === 0) return 'ask';
    return sinceMs > limits.timeoutMs ? 'end' : 'wait';
  }
  if (isTaken || own !== null || others.length < 2) return 'offer';
  // Two nodes have failed it. It reaches no third before one of them has applied it.
  const isEnd = others.some((one, index) => others.slice(index + 1).some((other) => isProven(one, other)));
  if (isEnd && !mayBeTaken) return 'end';
  if (sinceMs <= limits.timeoutMs) return 'wait';
  return mayBeTaken ? 'suspect' : 'end';
}

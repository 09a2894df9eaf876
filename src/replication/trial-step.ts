// The next step of a node with an entry that has failed: a pure function of the evidence. It prevents two dangers: an
// entry that breaks servers must not reach them all, and a broken node must not end valid entries.

import type { Attempts } from './trials.ts';

export interface Evidence {
  /** This node's failed attempts; null when there are none. */
  readonly own: Attempts | null;
  /** Failed attempts of the other nodes, one element for each that has some. */
  readonly others: readonly Attempts[];
  /** Another node has applied it. */
  readonly isTaken: boolean;
  /** A node that has lost its content, or left, since may have applied it. */
  readonly wasTaken: boolean;
  /** An unavailable node may have applied it. */
  readonly mayBeTaken: boolean;
  /** No other node has a healthy copy of the shard. */
  readonly isLastCopy: boolean;
  /** This node decides, and gets entries that no other node has applied. */
  readonly isPrimary: boolean;
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
  /** How long an entry waits for unavailable nodes, and for a node that loses its connections, ms. */
  readonly timeoutMs: number;
}

// A network that fails for seconds drops many calls in a row; dropped calls count against the entry only after that.
const DROPS_MS = 10_000;

export type Step =
  | 'offer' // send it to this node
  | 'wait' // for another node
  | 'ask' // a working node for a second opinion
  | 'suspect' // this node is at fault: its copy is suspect, and it goes on
  | 'end'; // no node can apply it: refuse or quarantine it

/** Whether a node has failed the entry for good. */
function hasFailed({ alone, failure }: Attempts, sinceMs: number, { attempts: max }: TrialLimits): boolean {
  return alone >= max && !(failure.kind === 'dropped' && sinceMs < DROPS_MS);
}

const isFatal = ({ failure }: Attempts): boolean => failure.kind === 'died' || failure.kind === 'hung';

/** Whether two failures are the same: of equal status, or both without a response. */
function isAlike(a: Attempts, b: Attempts): boolean {
  return (
    a.failure.status === b.failure.status &&
    (a.failure.kind === 'response') === (b.failure.kind === 'response')
  );
}

// Two processes that ended or hung during one call may have done so for another reason; a third time is evidence.
const FATALITIES = 3;

/** Whether two nodes that failed the entry in the same way are sufficient evidence. */
function isProven(a: Attempts, b: Attempts): boolean {
  if (a.alone === 0 || b.alone === 0 || !isAlike(a, b)) return false;
  return !(isFatal(a) && isFatal(b)) || a.alone + b.alone >= FATALITIES;
}

export function nextStep(evidence: Evidence, limits: TrialLimits): Step {
  const { own, others, isPrimary, peers, askable, sinceMs } = evidence;
  const isFailed = own !== null && hasFailed(own, sinceMs, limits);
  // The last healthy copy stays in use: what only a suspect copy may hold is not served any more.
  const mayBeTaken = evidence.mayBeTaken && !evidence.isLastCopy;
  // What no node holds any more ends on the last healthy copy, once that fails it, too.
  const isTaken = evidence.isTaken || (evidence.wasTaken && !(evidence.isLastCopy && isFailed));
  if (own !== null && own.alone > 0 && isFatal(own) && !isFailed && !isTaken) {
    // A process may end, and a node hang, for other reasons. It goes to one more node first, and then back to this one.
    if (!mayBeTaken && others.some((other) => isProven(own, other))) return 'end';
    const isElsewhere = !isPrimary && askable > 0 && others.length === 0;
    return isElsewhere && sinceMs <= limits.timeoutMs ? 'wait' : 'offer';
  }
  if (isFailed) {
    if (isTaken && own.failure.kind === 'dropped' && sinceMs <= limits.timeoutMs) return 'offer';
    if (isTaken) return 'suspect';
    // It may have been acknowledged: it is neither refused nor quarantined.
    if (mayBeTaken) return sinceMs > limits.timeoutMs / 2 ? 'suspect' : 'wait';
    if (others.some((other) => isProven(own, other))) return 'end';
    if (others.some((other) => other.alone > 0 && isAlike(own, other))) return 'offer';
    if (peers === 0) return 'end';
    // Another node has failed it in another way: no third node is asked.
    if (askable > 0 && others.length === 0) return 'ask';
    return sinceMs > limits.timeoutMs ? 'end' : 'wait';
  }
  if (isTaken || own !== null || others.length < 2) return 'offer';
  // Two nodes have failed it: no third gets it before one of them has applied it.
  const isEnd = others.some((one, index) => others.slice(index + 1).some((other) => isProven(one, other)));
  if (isEnd && !mayBeTaken) return 'end';
  if (sinceMs <= limits.timeoutMs) return 'wait';
  return mayBeTaken ? 'suspect' : 'end';
}

// One leadership, and the end of it while something is awaited.

import { orAborted } from '../util/race.ts';

/** The term of one leadership: over as soon as `signal` aborts. */
export interface Term {
  readonly epoch: number;
  /** The leader before gave the lease back, so that nothing it began can still be under way. */
  readonly clean: boolean;
  readonly signal: AbortSignal;
  /** True while this gateway may act as leader, by its own clock and with margin. */
  held(): boolean;
}

/** Thrown when the term ends first; a call in flight goes on, and the next term waits for it. */
export class TermOver extends Error {
  override readonly name = 'TermOver';
}

/** `work`'s result, or TermOver when the term ends first. */
export function orOver<T>(work: Promise<T>, term: Term): Promise<T> {
  return orAborted(work, term.signal, () => new TermOver());
}

// The term of one leadership, and waiting no longer than it lasts.

import { orAborted } from '../util/race.ts';

/** R15: the low bits of an epoch are the random token of its term (postgres/migrations/0010-term-token.ts). */
const TOKENS = 2 ** 24;

/** Which term an epoch belongs to, counted from 1: what operators see. */
export function generationOf(epoch: number): number {
  return epoch < TOKENS ? epoch : Math.floor(epoch / TOKENS);
}

/** One leadership: over as soon as `signal` aborts. */
export interface Term {
  /** The fencing token that every durable step compares; it contains the random token of the term (R15). */
  readonly epoch: number;
  /** The leader before released the lease cleanly: no call of its own can still be in flight. */
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

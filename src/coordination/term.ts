// One leadership, and the end of it while something is awaited.

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
  if (term.signal.aborted) {
    work.catch(() => undefined);
    return Promise.reject(new TermOver());
  }
  return new Promise((resolve, reject) => {
    const over = (): void => reject(new TermOver());
    term.signal.addEventListener('abort', over, { once: true });
    work.then(resolve, reject).finally(() => term.signal.removeEventListener('abort', over));
  });
}

// Runs work until an AbortSignal aborts, and removes its listener from the signal when the work ends first.

/** Thrown by orAborted when its signal aborts first. */
export class Aborted extends Error {
  override readonly name = 'Aborted';
}

/**
 * Calls `task` once when `signal` aborts, at once if it already has. The returned function unsubscribes: a signal that
 * lives longer than what waits for it would otherwise keep every listener, and what it refers to, in memory.
 */
export function onAbort(signal: AbortSignal | undefined, task: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    task();
    return () => undefined;
  }
  const listener = (): void => task();
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/**
 * The result of `work`, or a rejection with `error()` when `signal` aborts first. The work itself goes on; its later
 * result or rejection is ignored.
 */
export function orAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  error: () => Error = () => new Aborted('aborted'),
): Promise<T> {
  return new Promise((resolve, reject) => {
    const unsubscribe = onAbort(signal, () => reject(error()));
    work.then(resolve, reject).finally(unsubscribe);
  });
}

/**
 * A controller that aborts together with `parent`, and can be aborted without it; call `unlink` when it is no longer
 * needed. Not AbortSignal.any: until the next full collection it keeps alive what either signal refers to
 * (docs/performance.md).
 */
export function linkedAbort(parent: AbortSignal | undefined): {
  controller: AbortController;
  unlink: () => void;
} {
  const controller = new AbortController();
  return { controller, unlink: onAbort(parent, () => controller.abort()) };
}

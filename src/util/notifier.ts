/** Resolves at the next notify() of any of them, or when `signal` aborts. */
export function waitForAny(notifiers: readonly Notifier[], signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // Not AbortSignal.any: until the next full collection it keeps alive what either signal holds (docs/performance.md).
  const done = new AbortController();
  const end = (): void => done.abort();
  signal.addEventListener('abort', end, { once: true });
  return Promise.race(notifiers.map((each) => each.wait(done.signal))).finally(() => {
    signal.removeEventListener('abort', end);
    done.abort();
  });
}

/** Wakes those who wait for something to have changed; what changed, the woken look up themselves. */
export class Notifier {
  #waiters = new Set<() => void>();

  notify(): void {
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const wake of waiters) wake();
  }

  /** Resolves at the next notify(), or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#waiters.delete(wake);
        resolve();
      };
      this.#waiters.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}

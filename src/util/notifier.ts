// A condition variable: wakes everything that waits for a change, which then looks up what has changed.

import { linkedAbort, onAbort } from './race.ts';

/** Resolves at the next notify() of any of the notifiers, or when `signal` aborts. */
export function waitForAny(notifiers: readonly Notifier[], signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  const { controller, unlink } = linkedAbort(signal);
  return Promise.race(notifiers.map((each) => each.wait(controller.signal))).finally(() => {
    unlink();
    controller.abort(); // the other notifiers forget this waiter
  });
}

export class Notifier {
  #waiters = new Set<() => void>();

  get isAwaited(): boolean {
    return this.#waiters.size > 0;
  }

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
        unsubscribe();
        this.#waiters.delete(wake);
        resolve();
      };
      this.#waiters.add(wake);
      const unsubscribe = onAbort(signal, wake);
    });
  }
}

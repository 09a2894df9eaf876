// When a command that runs in the foreground is to end: at SIGINT, SIGTERM or SIGHUP, or by its own decision.

import type { Clock } from '../util/clock.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * `npm start` passes a Ctrl-C on to a process that the terminal has signalled already: two signals within this
 * time are one wish.
 */
const SAME_WISH_MS = 1_000;

/** What is needed of `process`. */
export interface SignalledProcess {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
  exit(code: number): void;
}

/** The first signal asks for an orderly stop; a later second one ends the process at once, with code 130. */
export class StopRequest {
  readonly #process: SignalledProcess;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  #requestedAt: number | undefined;
  #failure: string | undefined;

  constructor(process: SignalledProcess, clock: Clock) {
    this.#process = process;
    this.#clock = clock;
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  /** Aborted by the request. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Resolves with the request. */
  get requested(): Promise<void> {
    return new Promise((resolve) => {
      if (this.signal.aborted) resolve();
      else this.signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** Why the command ends by itself; undefined when it was asked to. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Asks for an orderly stop because of `reason`. */
  fail(reason: string): void {
    this.#failure ??= reason;
    this.#abort.abort();
  }

  close(): void {
    for (const signal of SIGNALS) this.#process.off(signal, this.#onSignal);
  }

  readonly #onSignal = (): void => {
    const now = this.#clock.monotonic();
    if (this.#requestedAt === undefined) {
      this.#requestedAt = now;
      this.#abort.abort();
    } else if (now - this.#requestedAt > SAME_WISH_MS) {
      this.#process.exit(130); // as shells count a process ended by SIGINT; the children are killed on exit
    }
  };
}

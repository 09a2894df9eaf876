// Requests the stop of a foreground command: by SIGINT, SIGTERM or SIGHUP, or because the command failed.

import type { Clock } from '../util/clock.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * `npm start` forwards a Ctrl-C to a process that the terminal has already signalled, so two signals within this time
 * count as one.
 */
const DUPLICATE_SIGNAL_MS = 1_000;

/** The part of `process` that StopRequest uses. */
export interface SignalledProcess {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
  exit(code: number): void;
}

/** The first signal requests an orderly stop; a second one exits the process immediately with code 130. */
export class StopRequest {
  readonly #process: SignalledProcess;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  #requestedAt: number | null = null;
  #failure: string | null = null;

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

  /** Why the command failed; null when a signal requested the stop. */
  get failure(): string | null {
    return this.#failure;
  }

  /** Requests an orderly stop because of a failure. */
  fail(reason: string): void {
    this.#failure ??= reason;
    this.#abort.abort();
  }

  close(): void {
    for (const signal of SIGNALS) this.#process.off(signal, this.#onSignal);
  }

  readonly #onSignal = (): void => {
    const now = this.#clock.monotonic();
    if (this.#requestedAt === null) {
      this.#requestedAt = now;
      this.#abort.abort();
    } else if (now - this.#requestedAt > DUPLICATE_SIGNAL_MS) {
      this.#process.exit(130); // the shell's code for SIGINT; the exit kills the children
    }
  };
}

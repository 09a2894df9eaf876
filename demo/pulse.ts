// An open-loop client: one request every few ms, whether or not the last one has been answered. A closed loop would
// send nothing while it waits, and so would see one long request where many clients see a pause.
import { type Clock, sleep } from '../src/util/clock.ts';

/** The longest time in which nothing succeeded, from construction to `stop()`. */
export class PauseGauge {
  readonly #clock: Clock;
  #lastMs: number;
  #longestMs = 0;
  #stopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastMs = clock.monotonic();
  }

  success(): void {
    if (this.#stopped) return;
    const nowMs = this.#clock.monotonic();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  /** The silence before the end counts too: otherwise a client that never succeeds would have paused for 0 ms. */
  stop(): void {
    this.success();
    this.#stopped = true;
  }

  get longestMs(): number {
    return this.#longestMs;
  }
}

export interface PulseOptions {
  readonly clock: Clock;
  readonly periodMs: number;
  /** Beats are left out while this many are unanswered; the gauge keeps counting. */
  readonly inFlightMax: number;
  readonly signal: AbortSignal;
  /** One request; resolves to whether it succeeded, never rejects. */
  readonly beat: (n: number) => Promise<boolean>;
}

/** Beats until `signal` aborts and every beat is answered; resolves to the longest pause in ms. */
export async function pulse(options: PulseOptions): Promise<number> {
  const { clock, periodMs, signal } = options;
  const gauge = new PauseGauge(clock);
  const inFlight = new Set<Promise<void>>();
  const beat = async (n: number): Promise<void> => {
    if (await options.beat(n)) gauge.success();
  };
  const startMs = clock.monotonic();
  for (let n = 0; !signal.aborted; n++) {
    if (inFlight.size < options.inFlightMax) {
      const answered = beat(n).finally(() => inFlight.delete(answered));
      inFlight.add(answered);
    }
    // The next multiple of the period: beats this process was too busy for are left out, not sent in a burst.
    const elapsedMs = clock.monotonic() - startMs;
    await sleep(clock, (Math.floor(elapsedMs / periodMs) + 1) * periodMs - elapsedMs, signal);
  }
  gauge.stop();
  await Promise.all(inFlight);
  return gauge.longestMs;
}

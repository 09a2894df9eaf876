// The calls in flight on a node, their expected duration, and their bound: a node that is silent within the bound is
// busy, beyond it it has failed.

import type { Clock } from '../util/clock.ts';

/** A mutating call as it goes to a node. */
export interface Load {
  /** Of the entries in it, in order; none for a call that is no entry's. */
  readonly lsns: readonly number[];
  /** In units of which a stock server does about one a second (chroma/batch/split.ts). */
  readonly work: number;
  /** What it may take in addition: the first vector of a collection makes the server allocate its index. ms. */
  readonly setupMs?: number;
}

/** The call that a node is working on, for the status. */
export interface Work {
  /** LSNs of the first and the last entry in the call; null for a call that is no entry's. */
  readonly from: number | null;
  readonly to: number | null;
  readonly work: number;
  /** Time since it was sent, ms. */
  readonly ms: number;
  /** Estimated remaining time, ms; 0 once the estimate has passed. */
  readonly remainingMs: number;
}

// 0.5 MB/s of documents until the node's own rate is known; a stock server on a quiet machine does about 2 MB/s.
const UNIT_MS_ASSUMED = 2_000;
// A call may take this many times its estimate: other processes on the machine need the processor as well.
const PATIENCE = 5;
// A small call gets its response within milliseconds. A node that is silent for this long beyond its bound hangs:
// failover begins after this time.
const SILENCE_MS = 5_000;
// Smaller calls measure fixed costs rather than the rate.
const MEASURED_FROM = 0.1;
const WEIGHT = 0.3;
/** A shorter call delays a probe or a canary by too little to explain that it had no response. */
const DELAYING_MS = 500;
// Calls are made smaller when they take longer than this, and larger again when they take less.
const SLOW_MS = 2_000;
const FAST_MS = 700;
const PART_MIN = 1 / 16;

interface InFlight extends Load {
  readonly sinceMs: number;
}

export class Workload {
  readonly #clock: Clock;
  readonly #longMs: number;
  readonly #calls = new Set<InFlight>();
  #unitMs: number | null = null;
  #partWork = 1;
  #work = 0;
  /** When the node last responded to a call, or got one while idle; clock.monotonic() ms. */
  #progressMs = 0;
  /** When a delaying call last ended within its bound, clock.monotonic() ms. */
  #explainedMs = -Infinity;

  /** `longMs`: estimated duration from which a call is long: it is staggered, and the node counts as busy. */
  constructor(clock: Clock, longMs: number) {
    this.#clock = clock;
    this.#longMs = longMs;
  }

  /** The work that one call should have at most: halved after slow responses, doubled after fast ones. */
  get partWork(): number {
    return this.#partWork;
  }

  /** Estimated duration of a call, ms. */
  expectedMs(work: number): number {
    return work * (this.#unitMs ?? UNIT_MS_ASSUMED);
  }

  /** Whether a call will keep the node from responding to others for a while. */
  isLongCall(work: number, setupMs = 0): boolean {
    return this.expectedMs(work) + setupMs > this.#longMs;
  }

  /** A long call is in flight. */
  get isLong(): boolean {
    return this.isLongCall(this.#work, this.#setupMs);
  }

  /** The bound of a call, ms: how long it may take, or a duplicate of it may still be executing. */
  boundMs(work: number, setupMs = 0): number {
    return PATIENCE * (Math.max(this.expectedMs(work), work * UNIT_MS_ASSUMED) + setupMs);
  }

  /** Registers a call; call the result when it has ended, with whether the node responded. */
  begin(load: Load): (responded: boolean) => void {
    const now = this.#clock.monotonic();
    if (this.#calls.size === 0) this.#progressMs = now;
    const call = { ...load, sinceMs: now };
    this.#calls.add(call);
    this.#work += load.work;
    return (responded) => {
      if (!this.#calls.has(call)) return;
      const isDelaying = this.#clock.monotonic() - now >= DELAYING_MS;
      if (responded && isDelaying && this.explainsSilence) this.#explainedMs = this.#clock.monotonic();
      this.#calls.delete(call);
      this.#work = this.#calls.size === 0 ? 0 : this.#work - load.work;
      if (responded) this.#measure(load.work, this.#clock.monotonic() - Math.max(now, this.#progressMs));
      this.#progressMs = this.#clock.monotonic();
    };
  }

  /** The oldest call the node has not responded to; null when there is none. */
  get current(): Work | null {
    const [oldest] = this.#calls;
    if (oldest === undefined) return null;
    const { lsns, work, setupMs = 0, sinceMs } = oldest;
    const ms = Math.round(this.#clock.monotonic() - sinceMs);
    const remainingMs = Math.round(Math.max(0, this.expectedMs(work) + setupMs - ms));
    return { from: lsns[0] ?? null, to: lsns.at(-1) ?? null, work, ms, remainingMs };
  }

  /** The calls the node has not responded to. */
  get inFlight(): readonly Load[] {
    return [...this.#calls];
  }

  /** A call is in flight and within its bound: silence does not mean that the node has failed. */
  get explainsSilence(): boolean {
    return this.#calls.size > 0 && this.#overdueMs() <= 0;
  }

  /** Silence since that moment, clock.monotonic() ms, is or was explained. */
  explainsSilenceSince(sinceMs: number): boolean {
    return this.explainsSilence || this.#explainedMs >= sinceMs;
  }

  /** A call is in flight and its bound was passed more than `ms` ago without any response. */
  isOverdueBy(ms: number): boolean {
    return this.#calls.size > 0 && this.#overdueMs() > ms;
  }

  #overdueMs(): number {
    return this.#clock.monotonic() - this.#progressMs - SILENCE_MS - this.boundMs(this.#work, this.#setupMs);
  }

  get #setupMs(): number {
    let longest = 0;
    for (const { setupMs = 0 } of this.#calls) longest = Math.max(longest, setupMs);
    return longest;
  }

  #measure(work: number, ms: number): void {
    if (work < MEASURED_FROM) return;
    const unitMs = ms / work;
    this.#unitMs = this.#unitMs === null ? unitMs : this.#unitMs + WEIGHT * (unitMs - this.#unitMs);
    if (work < this.#partWork / 2) return;
    if (ms > SLOW_MS) this.#partWork = Math.max(PART_MIN, this.#partWork / 2);
    else if (ms < FAST_MS) this.#partWork = Math.min(1, this.#partWork * 2);
  }
}

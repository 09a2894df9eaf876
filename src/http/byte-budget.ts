// One byte budget for all request bodies that this process holds (I9): a body is admitted before it is read, and counts
// until its response has been sent. Without it, only the number of clients would bound memory.

import { PolychromeError } from '../errors.ts';
import type { Metric } from '../observability/metrics-registry.ts';
import type { Clock } from '../util/clock.ts';
import { onAbort } from '../util/race.ts';

export interface ByteBudgetOptions {
  /** Bytes held at once; at least one largest body. */
  readonly capacityBytes: number;
  /** The largest single body; no request is for more. */
  readonly largestBytes: number;
  readonly clock: Clock;
  /** Requests that may wait for room; further ones are refused. */
  readonly waitersMax?: number;
  /** How long a request may wait before it is refused; ms. */
  readonly waitMsMax?: number;
}

/** Bytes admitted; release them once. */
export interface ByteReservation {
  readonly bytes: number;
  /** Releases what exceeds `bytes`. */
  shrinkTo(bytes: number): void;
  /** Safe to call again. */
  release(): void;
}

/** Up to here a body is small: single writes and queries are a few KiB, bulk loads are megabytes. */
export const SMALL_BODY_BYTES = 64 * 1024;

// A waiting request occupies a socket and little else, for its body is not read yet. After this time a client should try
// another gateway.
const WAITERS_MAX = 1024;
const WAIT_MS_MAX = 5_000;
// Share of the budget that large bodies leave to small ones, so that slow bulk loads never stop single writes.
const SMALL_SHARE = 1 / 8;

interface WaitingBody {
  readonly bytes: number;
  /** Bytes admitted before this waiter since it became the oldest. */
  overtakenBytes: number;
  readonly admit: () => void;
}

/**
 * Admits bodies in their order of arrival, except that a body which fits may overtake one which does not; the oldest is
 * overtaken by one capacity of bytes at most, then all others wait for it.
 */
export class ByteBudget {
  readonly #capacity: number;
  readonly #largeCapacity: number;
  readonly #waitersMax: number;
  readonly #waitMsMax: number;
  readonly #clock: Clock;
  readonly #waiters = new Set<WaitingBody>();
  #used = 0;

  constructor(options: ByteBudgetOptions) {
    const { capacityBytes, largestBytes } = options;
    if (capacityBytes < largestBytes) throw new RangeError('the byte budget must hold one largest body');
    this.#capacity = capacityBytes;
    this.#largeCapacity = Math.max(largestBytes, Math.floor(capacityBytes * (1 - SMALL_SHARE)));
    this.#waitersMax = options.waitersMax ?? WAITERS_MAX;
    this.#waitMsMax = options.waitMsMax ?? WAIT_MS_MAX;
    this.#clock = options.clock;
  }

  /** Bytes admitted and not yet released. */
  get usedBytes(): number {
    return this.#used;
  }

  /** Requests that wait for room. */
  get waiting(): number {
    return this.#waiters.size;
  }

  get metrics(): readonly Metric[] {
    return [
      {
        kind: 'bound',
        name: 'body_bytes',
        help: 'Memory of request bodies.',
        unit: 'bytes',
        max: this.#capacity,
        read: () => this.#used,
      },
      {
        kind: 'bound',
        name: 'bodies_waiting',
        help: 'Requests that wait for the body budget.',
        unit: 'requests',
        max: this.#waitersMax,
        read: () => this.#waiters.size,
      },
    ];
  }

  /** The reservation when there is room and no waiting request goes first; null otherwise. */
  tryAcquire(bytes: number): ByteReservation | null {
    if (this.#waiters.size > 0 && !this.#mayOvertake(bytes)) return null;
    if (!this.#fits(bytes)) return null;
    return this.#take(bytes);
  }

  /** Waits for room; rejects with PolychromeError `overloaded` when too many wait or it takes too long. */
  acquire(bytes: number, signal?: AbortSignal): Promise<ByteReservation> {
    const reservation = this.tryAcquire(bytes);
    if (reservation !== null) return Promise.resolve(reservation);
    if (this.#waiters.size >= this.#waitersMax) return Promise.reject(overloaded());
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(waiter);
        cancel();
        unsubscribe();
      };
      const giveUp = (): void => {
        leave();
        reject(overloaded());
        this.#admitWaiters(); // the next one may fit
      };
      const admit = (): void => {
        leave();
        resolve(this.#take(bytes));
      };
      const waiter: WaitingBody = { bytes, overtakenBytes: 0, admit };
      const cancel = this.#clock.after(this.#waitMsMax, giveUp);
      this.#waiters.add(waiter);
      const unsubscribe = onAbort(signal, giveUp);
    });
  }

  #fits(bytes: number): boolean {
    const capacity = bytes <= SMALL_BODY_BYTES ? this.#capacity : this.#largeCapacity;
    return this.#used + bytes <= capacity;
  }

  #mayOvertake(bytes: number): boolean {
    const [oldest] = this.#waiters;
    return oldest === undefined || oldest.overtakenBytes + bytes <= this.#capacity;
  }

  #take(bytes: number): ByteReservation {
    const [oldest] = this.#waiters;
    if (oldest !== undefined) oldest.overtakenBytes += bytes;
    this.#used += bytes;
    return new AdmittedBytes(bytes, (returned) => {
      this.#used -= returned;
      if (this.#waiters.size > 0) this.#admitWaiters();
    });
  }

  #admitWaiters(): void {
    let first = true;
    for (const waiter of this.#waiters) {
      if (this.#fits(waiter.bytes) && (first || this.#mayOvertake(waiter.bytes))) waiter.admit();
      else first = false;
    }
  }
}

class AdmittedBytes implements ByteReservation {
  #bytes: number;
  readonly #giveBack: (bytes: number) => void;

  constructor(bytes: number, giveBack: (bytes: number) => void) {
    this.#bytes = bytes;
    this.#giveBack = giveBack;
  }

  get bytes(): number {
    return this.#bytes;
  }

  shrinkTo(bytes: number): void {
    const returned = this.#bytes - bytes;
    if (returned <= 0) return;
    this.#bytes = bytes;
    this.#giveBack(returned);
  }

  release(): void {
    this.shrinkTo(0);
  }
}

function overloaded(): PolychromeError {
  return new PolychromeError('overloaded', 'Request body budget exhausted. Try again later.');
}

// The lease decides which gateway leads. The holder counts from sending a renewal and stops with a margin; a challenger
// takes over only after seeing the same (epoch, renewal) for a whole lease on its own clock. Clocks need not agree, and
// no two gateways consider themselves leader at one moment.

import type { Clock } from '../util/clock.ts';
import { sleep } from '../util/clock.ts';
import { linkedAbort } from '../util/race.ts';
import type { Term } from './term.ts';
import type { Database } from '../postgres/database.ts';

export interface LeaseRow {
  readonly epoch: number;
  readonly holder: string | null;
  readonly renewal: number;
}

export interface LeaseStore {
  read(): Promise<LeaseRow>;
  /** The new epoch, or null when another gateway acquired it first. */
  acquire(holder: string, seen: LeaseRow): Promise<number | null>;
  /** False when the epoch has moved on. */
  renew(epoch: number): Promise<boolean>;
  release(epoch: number): Promise<void>;
}

export interface LeaseOptions {
  readonly store: LeaseStore;
  readonly clock: Clock;
  /** Name of this gateway. */
  readonly holder: string;
  /** ms; the same on every gateway. */
  readonly durationMs: number;
  readonly onError: (error: unknown) => void;
  /** Called when this gateway notices only after the lease that its term is over: it was frozen meanwhile. */
  readonly onOverslept?: () => void;
}

interface Acquired {
  readonly epoch: number;
  /** clock.monotonic() ms when the acquiring statement was sent. */
  readonly sentAt: number;
  readonly clean: boolean;
}

// The holder stops acting when this part of the lease is left, so that calls already sent arrive within its term.
const MARGIN = 0.25;

export class Lease {
  readonly #options: LeaseOptions;
  /** Ends the term; null while there is none. */
  #endTerm: (() => void) | null = null;
  /** clock.monotonic() ms. */
  #abstainsUntil = 0;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Acquires the lease whenever it can until `stop` aborts; calls `lead` once per term, and awaits it. */
  async run(lead: (term: Term) => Promise<void>, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const abstainsMs = this.#abstainsUntil - this.#options.clock.monotonic();
      if (abstainsMs > 0) {
        await sleep(this.#options.clock, abstainsMs, stop);
        continue;
      }
      const acquired = await this.#challenge(stop);
      if (acquired === null) continue;
      await this.#serve(acquired, lead, stop);
    }
  }

  /** Ends the term, as in order, and does not acquire the lease for so long: another gateway is to lead. */
  abstain(forMs: number): void {
    this.#abstainsUntil = this.#options.clock.monotonic() + forMs;
    this.#endTerm?.();
  }

  /** Watches until the lease can be acquired; null to try again. */
  async #challenge(stop: AbortSignal): Promise<Acquired | null> {
    const { store, clock, holder, durationMs } = this.#options;
    try {
      const seen = await store.read();
      let clean = seen.holder === null;
      if (seen.holder !== null) {
        const pollMs = durationMs / 10;
        for (let watched = 0; watched < durationMs; watched += pollMs) {
          const before = clock.monotonic();
          await sleep(clock, pollMs, stop);
          if (stop.aborted) return null;
          const now = await store.read();
          // A clock that jumped (suspended machine) proves nothing about the holder.
          const jumped = clock.monotonic() - before > durationMs;
          if (jumped || now.epoch !== seen.epoch || now.renewal !== seen.renewal) return null;
          clean = now.holder === null;
          if (clean) break;
        }
      }
      const sentAt = clock.monotonic();
      const epoch = await store.acquire(holder, seen);
      return epoch === null ? null : { epoch, sentAt, clean };
    } catch (error) {
      this.#options.onError(error);
      await sleep(clock, durationMs / 10, stop);
      return null;
    }
  }

  async #serve(
    { epoch, sentAt, clean }: Acquired,
    lead: (term: Term) => Promise<void>,
    stop: AbortSignal,
  ): Promise<void> {
    const { clock, durationMs } = this.#options;
    const { controller: over, unlink } = linkedAbort(stop);
    this.#endTerm = () => over.abort();
    const until = (from: number): number => from + durationMs * (1 - MARGIN);
    const state = { deadline: until(sentAt), lost: false };
    const term: Term = {
      epoch,
      clean,
      signal: over.signal,
      // A renewal that succeeds after the end moves the deadline, although the lease may have been released.
      held: () => !state.lost && !over.signal.aborted && clock.monotonic() < state.deadline,
    };
    // A gateway that was stopped while it acquired the lease only releases it.
    const leading = stop.aborted ? Promise.resolve() : lead(term).finally(() => over.abort());
    // Its failure is handled below, possibly only after a renewal in flight has returned.
    leading.catch(() => undefined);
    try {
      await this.#renew(epoch, state, until, over);
    } finally {
      unlink();
      over.abort();
      this.#endTerm = null;
      const complete = await leading.then(
        () => true,
        (error: unknown) => {
          this.#options.onError(error);
          return false;
        },
      );
      // Released only after the last step of the term, so that the next leader need not wait for the lease to
      // expire. A term that failed may have left a step in flight.
      if (complete && !state.lost)
        await this.#options.store.release(epoch).catch((error: unknown) => this.#options.onError(error));
    }
  }

  async #renew(
    epoch: number,
    state: { deadline: number; lost: boolean },
    until: (from: number) => number,
    over: AbortController,
  ): Promise<void> {
    const { store, clock, durationMs, onError, onOverslept } = this.#options;
    const cancelDeadline = { cancel: (): void => undefined };
    const expire = (): void => {
      over.abort();
      // PostgreSQL has not responded in time. A gateway that was frozen itself cannot say so.
      if (clock.monotonic() < state.deadline + durationMs * MARGIN) return;
      // Another gateway may have taken over meanwhile, and calls of this term may still be on their way: the lease is
      // not released as after a clean end.
      state.lost = true;
      onOverslept?.();
    };
    const watch = (): void => {
      cancelDeadline.cancel();
      cancelDeadline.cancel = clock.after(Math.max(0, state.deadline - clock.monotonic()), expire);
    };
    watch();
    while (!over.signal.aborted) {
      await sleep(clock, durationMs / 5, over.signal);
      if (over.signal.aborted) break;
      const sentAt = clock.monotonic();
      try {
        if (!(await store.renew(epoch))) {
          state.lost = true;
          break;
        }
        state.deadline = until(sentAt);
        watch();
      } catch (error) {
        onError(error);
      }
    }
    cancelDeadline.cancel();
  }
}

/** The lease in PostgreSQL, on a connection of its own. */
export function postgresLeaseStore(database: Database): LeaseStore {
  const s = database.schema;
  return {
    async read() {
      const [row] = await database.query<LeaseRow & Record<string, unknown>>(
        `select epoch, holder, renewal from ${s}.lease`,
      );
      return row as LeaseRow;
    },
    async acquire(holder, seen) {
      const [row] = await database.query<{ epoch: number | null }>(
        `select ${s}.acquire_lease($1, $2, $3) as epoch`,
        [holder, seen.epoch, seen.renewal],
      );
      return row?.epoch ?? null;
    },
    async renew(epoch) {
      const rows = await database.query(
        `update ${s}.lease set renewal = renewal + 1 where epoch = $1 and holder is not null returning epoch`,
        [epoch],
      );
      return rows.length === 1;
    },
    async release(epoch) {
      await database.query(`update ${s}.lease set holder = null where epoch = $1`, [epoch]);
    },
  };
}

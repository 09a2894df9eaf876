// The work that this gateway has appended to the log and the primary has not applied. Large writes wait for room before
// they are appended, in their order of arrival: what is in the log delays every later write, of any collection.

import type { ClusterView } from '../coordination/cluster-view.ts';
import { PolychromeError } from '../errors.ts';
import { Notifier, waitForAny } from '../util/notifier.ts';

export interface BacklogOptions {
  readonly view: Pick<ClusterView, 'primary' | 'applied' | 'changed'>;
  /** Estimated time in which the primary does so much work, ms; 0 while it is unknown. */
  readonly msOf: (work: number) => number;
}

// So much work keeps a node busy while further writes are on their way, and delays other writes by no more than this.
const BACKLOG_MS_MAX = 3_000;
/** A write that takes longer than all of that waits until so much is left, ms: small writes are always on their way. */
const REST_MS = 500;
/** A shorter write never waits: its share of the delay is small. */
const SHORT_MS = 50;

// Applied entries are forgotten when the backlog is asked for, and so often while it is not.
const FORGET_EVERY = 256;

/** Room for one write; `appended` or `discarded` once it is known whether the log has it. */
export interface Reservation {
  appended(lsn: number): void;
  discarded(): void;
}

interface Appended {
  readonly lsn: number;
  readonly work: number;
}

export class Backlog {
  readonly #options: BacklogOptions;
  #entries: Appended[] = [];
  /** Work of writes that are being appended. */
  readonly #reserved = new Set<{ readonly work: number }>();
  /** Writes that wait for room, oldest first. */
  readonly #queue: object[] = [];
  readonly #released = new Notifier();

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  /** Estimated time in which the primary applies what this gateway has appended, ms. */
  get ms(): number {
    this.#forgetApplied();
    let total = 0;
    for (const { work } of this.#reserved) total += work;
    for (const { work } of this.#entries) total += work;
    return this.#options.msOf(total);
  }

  /** Waits for room. Throws `overloaded` when `deadline` aborts first: nothing was appended. */
  async reserve(work: number, deadline: AbortSignal): Promise<Reservation> {
    const reserved = { work };
    if (this.#options.msOf(work) > SHORT_MS) await this.#room(reserved, deadline);
    else this.#reserved.add(reserved);
    const discarded = (): void => {
      if (this.#reserved.delete(reserved)) this.#released.notify();
    };
    const appended = (lsn: number): void => {
      if (!this.#reserved.delete(reserved)) return;
      this.#entries.push({ lsn, work });
      if (this.#entries.length % FORGET_EVERY === 0) this.#forgetApplied();
    };
    return { appended, discarded };
  }

  async #room(reserved: { readonly work: number }, deadline: AbortSignal): Promise<void> {
    const { view, msOf } = this.#options;
    this.#queue.push(reserved);
    try {
      const hasRoom = (): boolean => {
        const ownMs = Math.min(msOf(reserved.work), BACKLOG_MS_MAX - REST_MS);
        return this.#queue[0] === reserved && this.ms + ownMs <= BACKLOG_MS_MAX;
      };
      while (!hasRoom()) {
        if (deadline.aborted) throw overloaded(this.ms);
        await waitForAny([view.changed, this.#released], deadline);
      }
      this.#reserved.add(reserved);
    } finally {
      this.#queue.splice(this.#queue.indexOf(reserved), 1);
      this.#released.notify();
    }
  }

  #forgetApplied(): void {
    const { view } = this.#options;
    const primary = view.primary();
    const applied = primary === null ? 0 : view.applied(primary);
    this.#entries = this.#entries.filter(({ lsn }) => lsn > applied);
  }
}

function overloaded(ms: number): PolychromeError {
  return new PolychromeError(
    'overloaded',
    `The nodes have about ${Math.ceil(ms / 1_000)} s of earlier writes to apply; nothing was changed. Try again.`,
  );
}

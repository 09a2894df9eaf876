// Group commit: one append is in flight at a time; it takes everything that waited (natural batching). Each batch
// bears a token, so that one whose COMMIT went unanswered is asked for again, never sent twice.

import type { Clock } from '../util/clock.ts';
import { PolychromeError } from '../errors.ts';
import { crashPoint, crashPointOnceSent } from '../util/crash-point.ts';
import { checksum, type Draft, type Entry, type AppendResult } from './entry.ts';

// A batch is bounded so that the head row is never locked for long: 8 MiB are some 100 ms of PostgreSQL's work, beside
// which what a statement costs in itself is nothing.
const BATCH_ENTRIES_MAX = 1_024;
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Pause before the outcome of an unanswered batch is asked for again, ms. */
const RETRY_MS = 100;
// What batches answered is kept for an hour (replication/retention.ts): nobody may ask for, and so possibly append, a
// batch so old that it may be forgotten. By either clock, since one stands still while a machine is suspended.
const ASK_AGAIN_MS_MAX = 15 * 60_000;

export interface AppendStore {
  /**
   * Appends the batch, or returns what an earlier call with this token returned. `beforeSend` is the last look before
   * anything leaves this process; what it throws is thrown on.
   */
  append(
    token: string,
    drafts: readonly Draft[],
    checksums: readonly number[],
    beforeSend: () => void,
  ): Promise<AppendResult[]>;
  /** True when the error proves that the batch had no effect. */
  hadNoEffect(error: unknown): boolean;
  /** True when it says that something in the batch can never be stored. */
  isAboutContent(error: unknown): boolean;
}

export interface AppenderOptions {
  readonly store: AppendStore;
  readonly clock: Clock;
  readonly newToken: () => string;
  /** How long a write may wait for the log before it is refused, ms. */
  readonly timeoutMs: number;
  /** Entries of one batch, in LSN order, called once each batch is durable and before any append() resolves. */
  readonly onCommitted: (entries: readonly Entry[]) => void;
  readonly onError: (error: unknown) => void;
}

interface Waiting {
  readonly draft: Draft;
  readonly onLSN: ((lsn: number) => void) | undefined;
  readonly resolve: (verdict: AppendResult) => void;
  readonly reject: (error: PolychromeError) => void;
  readonly cancelTimeout: () => void;
  /** Its caller was told that it failed, or that its outcome is unknown. */
  refused: boolean;
}

/** The batch in hand. */
interface Attempt {
  /** Somebody in it may have been made durable already. */
  sent: boolean;
}

const unavailable = (cause?: unknown): PolychromeError =>
  new PolychromeError(
    'log_unavailable',
    'The log cannot be written at the moment; nothing was changed. Try again.',
    {
      cause,
    },
  );

/** Thrown at the last look: somebody in the batch was refused while it waited for a connection. */
class Withdrawn extends Error {}

export class Appender {
  readonly #options: AppenderOptions;
  #queue: Waiting[] = [];
  #attempt: Attempt = { sent: false };
  #draining: Promise<void> | null = null;
  #inFlight: Promise<void> | null = null;
  #stopped = false;

  constructor(options: AppenderOptions) {
    this.#options = options;
  }

  /** Entries that wait for an append to begin. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Resolves when the batch in hand is durable, or has failed; null when there is none. */
  get inFlight(): Promise<void> | null {
    return this.#inFlight;
  }

  /**
   * Makes one entry durable. `onLSN` is called as soon as its LSN is known, before anybody can apply it.
   * Throws log_unavailable when nothing was changed, outcome_unknown when that cannot be told in time.
   */
  append(draft: Draft, onLSN?: (lsn: number) => void): Promise<AppendResult> {
    if (this.#stopped) return Promise.reject(new PolychromeError('stopping', 'This gateway is stopping.'));
    const { clock, timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const cancelTimeout = clock.after(timeoutMs, () => this.#expire(waiting));
      const waiting: Waiting = { draft, onLSN, resolve, reject, cancelTimeout, refused: false };
      this.#queue.push(waiting);
      this.#draining ??= this.#drain().finally(() => {
        this.#draining = null;
      });
    });
  }

  /** Refuses new entries and resolves when nothing is in flight any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#draining;
  }

  /** Nobody waits longer than the timeout, whatever PostgreSQL does meanwhile. */
  #expire(waiting: Waiting): void {
    const queued = this.#queue.includes(waiting);
    if (queued) this.#queue = this.#queue.filter((other) => other !== waiting);
    this.#refuse([waiting], queued || !this.#attempt.sent ? unavailable() : outcomeUnknown());
  }

  async #drain(): Promise<void> {
    // Entries that arrive in the same turn of the event loop share the first batch: callers answered together ask again
    // together.
    await new Promise((resolve) => void setImmediate(resolve));
    while (this.#queue.length > 0) {
      const batch = takeBatch(this.#queue);
      this.#queue = this.#queue.slice(batch.length);
      this.#inFlight = this.#commit(batch);
      await this.#inFlight;
    }
    this.#inFlight = null;
  }

  async #commit(taken: readonly Waiting[]): Promise<void> {
    const { store, newToken, clock, onError } = this.#options;
    const token = newToken();
    const attempt: Attempt = { sent: false };
    this.#attempt = attempt;
    const [since, sinceWall] = [clock.monotonic(), clock.now()];
    // Whether an attempt may have had an effect that is not known yet: then its token must be asked for again.
    let inDoubt = false;
    for (let batch = taken; ;) {
      if (!inDoubt) batch = batch.filter((waiting) => !waiting.refused);
      if (batch.length === 0) return;
      try {
        const verdicts = await this.#send(token, batch, attempt, inDoubt);
        return this.#committed(token, batch, verdicts);
      } catch (error) {
        if (error instanceof Withdrawn) continue;
        onError(error);
        inDoubt ||= !store.hadNoEffect(error);
        attempt.sent = inDoubt;
        if (!inDoubt && store.isAboutContent(error)) return this.#isolate(batch, error);
        const waitedMs = Math.max(clock.monotonic() - since, clock.now() - sinceWall);
        if (this.#stopped || waitedMs > ASK_AGAIN_MS_MAX)
          return this.#refuse(batch, inDoubt ? outcomeUnknown(error) : unavailable(error));
        await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
      }
    }
  }

  async #send(
    token: string,
    batch: readonly Waiting[],
    attempt: Attempt,
    inDoubt: boolean,
  ): Promise<AppendResult[]> {
    const drafts = batch.map((waiting) => waiting.draft);
    crashPoint('append_before');
    const verdicts = await this.#options.store.append(token, drafts, drafts.map(checksum), () => {
      if (!inDoubt && batch.some((waiting) => waiting.refused)) throw new Withdrawn();
      attempt.sent = true;
      crashPointOnceSent('append_sent');
    });
    crashPoint('append_committed');
    return verdicts;
  }

  /** One entry that cannot be stored must not take the others of its batch with it. */
  async #isolate(batch: readonly Waiting[], error: unknown): Promise<void> {
    const text = 'The log cannot hold this request: it contains a character that cannot be stored.';
    if (batch.length === 1)
      return this.#refuse(batch, new PolychromeError('invalid_argument', text, { cause: error }));
    const middle = Math.ceil(batch.length / 2);
    await this.#commit(batch.slice(0, middle));
    await this.#commit(batch.slice(middle));
  }

  #refuse(batch: readonly Waiting[], error: PolychromeError): void {
    for (const waiting of batch) {
      waiting.cancelTimeout();
      waiting.refused = true;
      waiting.reject(error);
    }
  }

  #committed(token: string, batch: readonly Waiting[], verdicts: readonly AppendResult[]): void {
    const entries: Entry[] = [];
    const appendedAt = this.#options.clock.now();
    for (const [index, waiting] of batch.entries()) {
      const verdict = verdicts[index] as AppendResult;
      waiting.cancelTimeout();
      if (verdict.s !== 'ok') continue;
      const { kind, target, header, body, parsed } = waiting.draft;
      if (!waiting.refused) waiting.onLSN?.(verdict.lsn);
      entries.push({ lsn: verdict.lsn, kind, target, header, body, batch: token, appendedAt, parsed });
    }
    if (entries.length > 0) this.#options.onCommitted(entries);
    crashPoint('append_published');
    for (const [index, waiting] of batch.entries()) waiting.resolve(verdicts[index] as AppendResult);
  }
}

function outcomeUnknown(cause?: unknown): PolychromeError {
  return new PolychromeError(
    'outcome_unknown',
    'The log did not confirm in time: this write may or may not have been made durable. Read back before repeating it.',
    { cause },
  );
}

/** As many of the waiting as fit one batch; always at least one. */
function takeBatch(queue: readonly Waiting[]): Waiting[] {
  let bytes = 0;
  let count = 0;
  for (const waiting of queue) {
    bytes += waiting.draft.body.length;
    if (count > 0 && (bytes > BATCH_BYTES_MAX || count === BATCH_ENTRIES_MAX)) break;
    count += 1;
  }
  return queue.slice(0, count);
}

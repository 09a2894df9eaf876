// Group commit: one append is in flight at a time; it takes everything that waited (natural batching). Each batch
// bears a token, so that one whose COMMIT went unanswered is asked for again, never sent twice.

import type { Clock } from '../util/clock.ts';
import { PolychromeError } from '../errors.ts';
import { checksum, type Draft, type Entry, type Verdict } from './entry.ts';

// A batch is bounded so that the head row is never locked for long, and so that a frozen gateway's parameters fit
// PostgreSQL's 1 GB message limit with room to spare.
const BATCH_ENTRIES_MAX = 1_024;
const BATCH_BYTES_MAX = 32 * 1024 * 1024;
/** Pause before the outcome of an unanswered batch is asked for again, ms. */
const RETRY_MS = 100;

export interface AppendStore {
  /** Appends the batch, or returns what an earlier call with this token returned. */
  append(token: string, drafts: readonly Draft[], checksums: readonly number[]): Promise<Verdict[]>;
  /** True when the error proves that the batch had no effect. */
  hadNoEffect(error: unknown): boolean;
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
  readonly since: number;
  readonly onLSN: ((lsn: number) => void) | undefined;
  readonly resolve: (verdict: Verdict) => void;
  readonly reject: (error: PolychromeError) => void;
}

const unavailable = (cause?: unknown): PolychromeError =>
  new PolychromeError(
    'log_unavailable',
    'The log cannot be written at the moment; nothing was changed. Try again.',
    {
      cause,
    },
  );

export class Appender {
  readonly #options: AppenderOptions;
  #queue: Waiting[] = [];
  #draining: Promise<void> | null = null;
  #stopped = false;

  constructor(options: AppenderOptions) {
    this.#options = options;
  }

  /** Entries that wait for an append to begin. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Makes one entry durable. `onLSN` is called as soon as its LSN is known, before anybody can apply it.
   * Throws log_unavailable when nothing was changed, outcome_unknown when that cannot be told in time.
   */
  append(draft: Draft, onLSN?: (lsn: number) => void): Promise<Verdict> {
    if (this.#stopped) return Promise.reject(new PolychromeError('stopping', 'This gateway is stopping.'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ draft, since: this.#options.clock.monotonic(), onLSN, resolve, reject });
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

  async #drain(): Promise<void> {
    // Entries that arrive in the same turn of the event loop share the first batch.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = takeBatch(this.#queue);
      this.#queue = this.#queue.slice(batch.length);
      await this.#commit(batch);
    }
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const { store, newToken, clock, timeoutMs, onError } = this.#options;
    const token = newToken();
    const drafts = batch.map((waiting) => waiting.draft);
    const checksums = drafts.map(checksum);
    let refused = false;
    // Whether an attempt may have had an effect that is not known yet: then its token must be asked for again.
    let unknown = false;
    for (;;) {
      try {
        const verdicts = await store.append(token, drafts, checksums);
        this.#committed(token, batch, verdicts);
        return;
      } catch (error) {
        onError(error);
        unknown ||= !store.hadNoEffect(error);
        const late = clock.monotonic() - (batch[0] as Waiting).since > timeoutMs;
        if (!unknown && (late || this.#stopped)) return this.#refuse(batch, unavailable(error));
        if (late && !refused) {
          refused = true;
          this.#refuse(batch, outcomeUnknown(error));
          this.#refuseLate();
        }
        if (this.#stopped) return;
        await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
        this.#refuseLate();
      }
    }
  }

  /** While a batch is in doubt nothing else is sent; those who waited too long behind it are told so. */
  #refuseLate(): void {
    const { clock, timeoutMs } = this.#options;
    const now = clock.monotonic();
    const late = this.#queue.filter((waiting) => now - waiting.since > timeoutMs);
    if (late.length === 0) return;
    this.#queue = this.#queue.filter((waiting) => now - waiting.since <= timeoutMs);
    this.#refuse(late, unavailable());
  }

  #refuse(batch: readonly Waiting[], error: PolychromeError): void {
    for (const waiting of batch) waiting.reject(error);
  }

  #committed(token: string, batch: readonly Waiting[], verdicts: readonly Verdict[]): void {
    const entries: Entry[] = [];
    const appendedAt = this.#options.clock.now();
    for (const [index, waiting] of batch.entries()) {
      const verdict = verdicts[index] as Verdict;
      if (verdict.s !== 'ok') continue;
      const { kind, target, header, body, parsed } = waiting.draft;
      waiting.onLSN?.(verdict.lsn);
      entries.push({ lsn: verdict.lsn, kind, target, header, body, batch: token, appendedAt, parsed });
    }
    if (entries.length > 0) this.#options.onCommitted(entries);
    for (const [index, waiting] of batch.entries()) waiting.resolve(verdicts[index] as Verdict);
  }
}

function outcomeUnknown(cause: unknown): PolychromeError {
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

// Group commit: one append is in flight at a time and takes everything that waited. Each batch has a token, under which
// an append of unknown outcome is looked up before it is sent again.

import { PolychromeError } from '../errors.ts';
import { BATCH_SIZES, DURATIONS, Histogram } from '../observability/histogram.ts';
import type { LabelledMetric, Metric } from '../observability/metrics-registry.ts';
import type { Clock } from '../util/clock.ts';
import { crashPoint, crashPointOnceSent } from '../util/crash-point.ts';
import { checksum, type AppendResult, type Draft, type Entry } from './entry.ts';

// Bounds the time that the head row is locked: 8 MiB take PostgreSQL some 100 ms, against which the fixed cost of a
// statement is negligible.
const BATCH_ENTRIES_MAX = 1_024;
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Pause before a failed append is repeated, ms. */
const RETRY_MS = 100;
// PostgreSQL keeps the results of batches for an hour (replication/retention.ts). An older batch must not be sent again:
// it could be appended twice. Measured on both clocks, because one stands still while a machine is suspended.
const RETRY_MS_MAX = 15 * 60_000;

export interface AppendStore {
  /**
   * Appends the batch, or returns the results of an earlier call with this token. `beforeSend` is called before
   * anything leaves this process; an error it throws is rethrown.
   */
  append(
    token: string,
    drafts: readonly Draft[],
    checksums: readonly number[],
    beforeSend: () => void,
  ): Promise<AppendResult[]>;
  /** True when the error proves that the batch had no effect. */
  hadNoEffect(error: unknown): boolean;
  /**
   * True when the error says that an entry was validated before the capability level was lowered. The batch is not in the log,
   * and never will be, whatever becomes of an earlier attempt: the same comparison refuses that too.
   */
  isOutdated(error: unknown): boolean;
  /** True when the error says that the content of the batch cannot be stored, ever. */
  isContentError(error: unknown): boolean;
}

export interface AppenderOptions {
  readonly store: AppendStore;
  readonly clock: Clock;
  readonly newToken: () => string;
  /** How long a write may wait for the log before it is refused, ms. */
  readonly timeoutMs: number;
  /** Entries of one batch, in LSN order; called once each batch is durable and before any append() resolves. */
  readonly onCommitted: (entries: readonly Entry[]) => void;
  readonly onError: (error: unknown) => void;
}

interface PendingAppend {
  readonly draft: Draft;
  readonly onLSN: ((lsn: number) => void) | undefined;
  readonly resolve: (result: AppendResult) => void;
  readonly reject: (error: PolychromeError) => void;
  readonly cancelTimeout: () => void;
  /** Its caller has received an error already. */
  rejected: boolean;
}

/** The batch in flight. */
interface InFlightBatch {
  /** Its entries may be durable already. */
  sent: boolean;
}

const logUnavailable = (cause?: unknown): PolychromeError =>
  new PolychromeError(
    'log_unavailable',
    'The log cannot be written at the moment; nothing was changed. Try again.',
    { cause },
  );

const outcomeUnknown = (cause?: unknown): PolychromeError =>
  new PolychromeError(
    'outcome_unknown',
    'The log did not confirm in time: this write may or may not have been made durable. Read back before repeating it.',
    { cause },
  );

const outdated = (cause: unknown): PolychromeError =>
  new PolychromeError(
    'log_unavailable',
    'A server has joined that can do less than was known when this request was validated; nothing was changed. Try again.',
    { cause },
  );

/** Thrown before sending when an entry of the batch was rejected while the batch waited for a connection. */
class BatchChanged extends Error {}

export class Appender {
  readonly #options: AppenderOptions;
  #queue: PendingAppend[] = [];
  #batch: InFlightBatch = { sent: false };
  #draining: Promise<void> | null = null;
  #inFlight: Promise<void> | null = null;
  #stopped = false;
  readonly #batchEntries = new Histogram(BATCH_SIZES);
  readonly #batchSeconds = new Histogram(DURATIONS);
  #failures = 0;

  constructor(options: AppenderOptions) {
    this.#options = options;
  }

  /** Entries that wait for the next append. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Entries of each durable batch. */
  get batches(): Histogram {
    return this.#batchEntries;
  }

  get metrics(): readonly (Metric | LabelledMetric)[] {
    const one = (name: string, unit: string, help: string, histogram: Histogram): LabelledMetric => {
      return { kind: 'histograms', name, unit, help, read: () => [{ labels: {}, histogram }] };
    };
    const help = 'Writes that wait for the next append.';
    const failed = 'Attempts to append a batch that failed and were repeated, or ended it.';
    return [
      { kind: 'gauge', name: 'waiting', help, unit: 'writes', read: () => this.waiting },
      { kind: 'counter', name: 'failures', help: failed, unit: 'attempts', read: () => this.#failures },
      one('batch_entries', 'entries', 'Entries of a batch.', this.#batchEntries),
      one(
        'batch_duration',
        'seconds',
        'Time until a batch is durable, repetitions included.',
        this.#batchSeconds,
      ),
    ];
  }

  /** Resolves when the batch in flight is durable, or has failed; null when there is none. */
  get inFlight(): Promise<void> | null {
    return this.#inFlight;
  }

  /**
   * Makes one entry durable. `onLSN` is called as soon as its LSN is known, before any node can apply the entry.
   * Throws log_unavailable when nothing was changed, outcome_unknown when the outcome is not known in time.
   */
  append(draft: Draft, onLSN?: (lsn: number) => void): Promise<AppendResult> {
    if (this.#stopped) return Promise.reject(new PolychromeError('stopping', 'This gateway is stopping.'));
    const { clock, timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const cancelTimeout = clock.after(timeoutMs, () => this.#expire(pending));
      const pending: PendingAppend = { draft, onLSN, resolve, reject, cancelTimeout, rejected: false };
      this.#queue.push(pending);
      this.#draining ??= this.#drain().finally(() => {
        this.#draining = null;
      });
    });
  }

  /** Refuses new entries and resolves when no append is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#draining;
  }

  /** Bounds the wait of a caller, whatever PostgreSQL does meanwhile. */
  #expire(pending: PendingAppend): void {
    const isQueued = this.#queue.includes(pending);
    if (isQueued) this.#queue = this.#queue.filter((other) => other !== pending);
    this.#reject([pending], isQueued || !this.#batch.sent ? logUnavailable() : outcomeUnknown());
  }

  async #drain(): Promise<void> {
    // Entries of one turn of the event loop share the first batch: clients whose responses came together send their
    // next requests together.
    await new Promise((resolve) => void setImmediate(resolve));
    while (this.#queue.length > 0) {
      const taken = takeBatch(this.#queue);
      this.#queue = this.#queue.slice(taken.length);
      this.#inFlight = this.#commit(taken);
      await this.#inFlight;
    }
    this.#inFlight = null;
  }

  async #commit(taken: readonly PendingAppend[]): Promise<void> {
    const { store, newToken, clock, onError } = this.#options;
    const token = newToken();
    const batch: InFlightBatch = { sent: false };
    this.#batch = batch;
    const [since, sinceWall] = [clock.monotonic(), clock.now()];
    // An attempt may have had an effect: the same batch must be sent again, whole, under its token.
    let outcomeIsUnknown = false;
    for (let pending = taken; ;) {
      if (!outcomeIsUnknown) pending = pending.filter(({ rejected }) => !rejected);
      if (pending.length === 0) return;
      try {
        const results = await this.#send(token, pending, batch, outcomeIsUnknown);
        this.#batchEntries.observe(pending.length);
        this.#batchSeconds.observe((clock.monotonic() - since) / 1_000);
        return this.#resolve(token, pending, results);
      } catch (error) {
        if (error instanceof BatchChanged) continue;
        onError(error);
        this.#failures += 1;
        if (store.isOutdated(error)) return this.#reject(pending, outdated(error));
        outcomeIsUnknown ||= !store.hadNoEffect(error);
        batch.sent = outcomeIsUnknown;
        if (!outcomeIsUnknown && store.isContentError(error)) return this.#isolate(pending, error);
        const elapsedMs = Math.max(clock.monotonic() - since, clock.now() - sinceWall);
        if (this.#stopped || elapsedMs > RETRY_MS_MAX)
          return this.#reject(pending, outcomeIsUnknown ? outcomeUnknown(error) : logUnavailable(error));
        await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
      }
    }
  }

  async #send(
    token: string,
    pending: readonly PendingAppend[],
    batch: InFlightBatch,
    isRepetition: boolean,
  ): Promise<AppendResult[]> {
    const drafts = pending.map(({ draft }) => draft);
    crashPoint('append_before');
    const results = await this.#options.store.append(token, drafts, drafts.map(checksum), () => {
      if (!isRepetition && pending.some(({ rejected }) => rejected)) throw new BatchChanged();
      batch.sent = true;
      crashPointOnceSent('append_sent');
    });
    crashPoint('append_committed');
    return results;
  }

  /** Halves the batch until the entry that cannot be stored fails by itself. */
  async #isolate(pending: readonly PendingAppend[], error: unknown): Promise<void> {
    const text = 'The log cannot hold this request: it contains a character that cannot be stored.';
    if (pending.length === 1)
      return this.#reject(pending, new PolychromeError('invalid_argument', text, { cause: error }));
    const middle = Math.ceil(pending.length / 2);
    await this.#commit(pending.slice(0, middle));
    await this.#commit(pending.slice(middle));
  }

  #reject(pending: readonly PendingAppend[], error: PolychromeError): void {
    for (const each of pending) {
      each.cancelTimeout();
      each.rejected = true;
      each.reject(error);
    }
  }

  #resolve(token: string, pending: readonly PendingAppend[], results: readonly AppendResult[]): void {
    const entries: Entry[] = [];
    const appendedAt = this.#options.clock.now();
    for (const [index, each] of pending.entries()) {
      const result = results[index] as AppendResult;
      each.cancelTimeout();
      if (result.s !== 'ok') continue;
      const { kind, target, header, body, parsed } = each.draft;
      if (!each.rejected) each.onLSN?.(result.lsn);
      entries.push({ lsn: result.lsn, kind, target, header, body, batch: token, appendedAt, parsed });
    }
    if (entries.length > 0) this.#options.onCommitted(entries);
    crashPoint('append_published');
    for (const [index, each] of pending.entries()) each.resolve(results[index] as AppendResult);
  }
}

/** As many of the pending as fit one batch; always at least one. */
function takeBatch(queue: readonly PendingAppend[]): PendingAppend[] {
  let bytes = 0;
  let count = 0;
  for (const { draft } of queue) {
    bytes += draft.body.length;
    if (count > 0 && (bytes > BATCH_BYTES_MAX || count === BATCH_ENTRIES_MAX)) break;
    count += 1;
  }
  return queue.slice(0, count);
}

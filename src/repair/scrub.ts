// The scrub: verifies every shard on all nodes that serve, on a schedule or on demand, at a limited rate. Its position is
// kept in PostgreSQL, so that the next leader continues the pass.

import { TermOver, type Term } from '../coordination/term.ts';
import type { EventSink } from '../observability/events.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { Notifier } from '../util/notifier.ts';
import type { ReportProgress } from '../util/progress.ts';
import { linkedAbort } from '../util/race.ts';
import { Pacing } from './pacing.ts';
import type { ScrubCounts, ScrubState, ScrubStore } from './scrub-store.ts';
import type { ShardReport, ShardVerification } from './shard-verification.ts';

export interface ScrubOptions {
  readonly store: Pick<ScrubStore, 'load' | 'begin' | 'advance' | 'finish' | 'setPaused' | 'request'>;
  readonly verification: Pick<ShardVerification, 'verify'>;
  /** Every shard of a collection that exists. */
  readonly shards: () => readonly string[];
  /** Nodes whose copies are compared: those that serve. */
  readonly serving: () => readonly string[];
  /** From the end of a pass to the beginning of the next, ms; 0: only on demand. */
  readonly intervalMs: number;
  /** Bytes that are read from each node in a second. */
  readonly bytesPerSecond: number;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

/** What operators are shown. */
export interface ScrubProgress extends ScrubState {
  /** Shards that exist. */
  readonly total: number;
}

// How soon a pass begins or pauses once an operator asks another gateway for it; one small query each time.
const POLL_MS = 2_000;
// A person sees the end at once; a request is one small query.
const REPORT_MS = 250;
// The nodes, read in turns, are at work for the scrub a third of the time at most.
const REST = 2;
const ATTEMPTS_MAX = 3;
const RETRY_MS = 5_000;

export class Scrub {
  readonly #options: ScrubOptions;
  readonly #changed = new Notifier();
  readonly #pacing: Pacing;
  #loadedMs = 0;
  #isPaused = false;

  constructor(options: ScrubOptions) {
    this.#options = options;
    this.#pacing = new Pacing(options.clock, options.bytesPerSecond);
  }

  /** Begins a pass as soon as it may; resolves once the request is durable. */
  async start(): Promise<void> {
    await this.#options.store.request();
    this.#changed.notify();
  }

  /** Stops after the page in progress, until it is resumed. */
  async pause(): Promise<void> {
    await this.#options.store.setPaused(true);
    this.#changed.notify();
  }

  async resume(): Promise<void> {
    await this.#options.store.setPaused(false);
    this.#changed.notify();
  }

  /** Begins a pass and reports how far it has come until it has ended; then what it found. */
  async runOnce(report: ReportProgress, signal: AbortSignal): Promise<ScrubCounts> {
    const { clock } = this.#options;
    const { startedAt } = await this.progress();
    await this.start();
    for (;;) {
      const { finishedAt, counts, total, ...state } = await this.progress();
      const hasBegun = state.startedAt > startedAt && !state.isRequested;
      if (signal.aborted || (hasBegun && finishedAt !== null)) return counts;
      const phase = state.isPaused ? 'paused' : hasBegun ? 'comparing' : 'waiting for the pass before';
      report({ phase, done: hasBegun ? counts.shards : 0, total, unit: 'collections' });
      await sleep(clock, REPORT_MS, signal);
    }
  }

  async progress(): Promise<ScrubProgress> {
    return { ...(await this.#options.store.load()), total: this.#options.shards().length };
  }

  /** Verifies whatever is due until the term is over. */
  async run(term: Term): Promise<void> {
    const { logger } = this.#options;
    while (!term.signal.aborted) {
      let isIdle = true;
      try {
        isIdle = !(await this.#step(term));
      } catch (error) {
        if (error instanceof TermOver) break;
        logger.warn({ error: String(error) }, 'scrub interrupted; it continues where it was');
      }
      if (isIdle) await this.#pause(term);
    }
  }

  /** Ends early when the scrub is started, paused or resumed through this gateway. */
  async #pause({ signal }: Term): Promise<void> {
    const { controller, unlink } = linkedAbort(signal);
    const { clock } = this.#options;
    await Promise.race([sleep(clock, POLL_MS, controller.signal), this.#changed.wait(controller.signal)]);
    controller.abort();
    unlink();
  }

  /** Verifies the next shard; false when there is nothing to do. */
  async #step(term: Term): Promise<boolean> {
    const { store, intervalMs, shards, events, logger } = this.#options;
    const state = await this.#load();
    if (state.isPaused) return false;
    if (state.finishedAt !== null) {
      const isDue = intervalMs > 0 && (state.idleMs ?? 0) >= intervalMs;
      if (!isDue && !state.isRequested) return false;
      await store.begin(term.epoch);
      logger.info({ shards: shards().length }, 'scrub began');
      return true;
    }
    const next = nextShard(shards(), state.cursor);
    if (next === null) {
      await store.finish(term.epoch);
      const { counts } = state;
      events.record('scrub_finished', { ...counts });
      logger.info({ ...counts }, 'scrub finished');
      return true;
    }
    const report = await this.#verify(next, term);
    const { records, uncompared, suspects } = report ?? NOTHING;
    await store.advance(term.epoch, next, {
      records,
      uncompared,
      suspects: suspects.length,
      skipped: report === null ? 1 : 0,
    });
    return true;
  }

  /** Null when it cannot be verified, as when its nodes do not respond. */
  async #verify(shard: string, term: Term): Promise<ShardReport | null> {
    const { verification, serving, clock, logger } = this.#options;
    for (let attempt = 1; ; attempt++) {
      if (term.signal.aborted) throw new TermOver();
      try {
        return await verification.verify(shard, serving(), {
          term,
          rest: REST,
          onPage: (_records, bytes) => this.#pace(bytes, term),
        });
      } catch (error) {
        if (error instanceof TermOver) throw error;
        if (attempt === ATTEMPTS_MAX) {
          logger.warn(
            { shard, error: String(error) },
            'shard left out of the scrub: it could not be verified',
          );
          return null;
        }
        await sleep(clock, RETRY_MS, term.signal);
      }
    }
  }

  /** Keeps to the rate, and waits while the scrub is paused. */
  async #pace(bytes: number, term: Term): Promise<void> {
    const { clock } = this.#options;
    await this.#pacing.pace(bytes, term.signal);
    if (clock.monotonic() - this.#loadedMs >= POLL_MS) await this.#load();
    while (this.#isPaused && !term.signal.aborted) {
      await this.#pause(term);
      await this.#load();
    }
    if (term.signal.aborted) throw new TermOver();
  }

  async #load(): Promise<ScrubState> {
    const state = await this.#options.store.load();
    this.#loadedMs = this.#options.clock.monotonic();
    this.#isPaused = state.isPaused;
    return state;
  }
}

const NOTHING: ShardReport = { records: 0, uncompared: 0, suspects: [] };

/** The first shard after the cursor, in the order of their ids. */
function nextShard(shards: readonly string[], cursor: string | null): string | null {
  let next: string | null = null;
  for (const shard of shards)
    if ((cursor === null || shard > cursor) && (next === null || shard < next)) next = shard;
  return next;
}

// Records the history of this gateway: looks at counters every 10 s and stores the difference, never in the way of a
// request. The leader also records the nodes, and adds up and forgets what all gateways have stored.

import type { Metric } from '../observability/metrics-registry.ts';
import { difference, type HistogramState } from '../observability/histogram.ts';
import { StoredQueue } from '../observability/stored-queue.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { DataSizes } from './data-sizes.ts';
import {
  HISTORY_STEPS,
  type HistoryDataPoint,
  type HistoryNodePoint,
  type HistoryObservation,
  type HistoryPoint,
  type ObservedHistory,
} from './history-point.ts';
import type { HistoryRetention, HistoryStore } from './history-store.ts';

export interface HistoryRecorderOptions {
  readonly gateway: string;
  readonly observe: () => HistoryObservation;
  /** As last read; null before. Called with every point, so it must not wait. */
  readonly sizes: () => DataSizes | null;
  /** As last counted; null before. */
  readonly records: () => { readonly records: number; readonly indexBytes: number } | null;
  readonly store: Pick<HistoryStore, 'append' | 'rollUp' | 'forgetOld'>;
  readonly retention: HistoryRetention;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

const STEP_MS = HISTORY_STEPS[0] * 1_000;
const ROLL_UP_MS = HISTORY_STEPS[1] * 1_000;
const FORGET_MS = 3_600_000;
// An hour without PostgreSQL; some 2 KB each.
const QUEUED_MAX = 360;

export class HistoryRecorder {
  readonly #options: HistoryRecorderOptions;
  readonly #queue: StoredQueue<HistoryPoint>;
  #before: HistoryObservation;
  #rolledUpAt = -Infinity;
  #forgotAt = -Infinity;

  constructor(options: HistoryRecorderOptions) {
    this.#options = options;
    this.#queue = new StoredQueue({ ...options, itemsMax: QUEUED_MAX });
    this.#before = options.observe();
  }

  /** Records until `stop` aborts. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, onError } = this.#options;
    for (let end = Math.floor(clock.now() / STEP_MS) * STEP_MS; !stop.aborted;) {
      // All gateways record at the same time, so that their points add up. A timer may fire early or late by some ms.
      await sleep(clock, end + STEP_MS - clock.now(), stop);
      if (stop.aborted) break;
      end = Math.round(clock.now() / STEP_MS) * STEP_MS;
      this.#record(end - STEP_MS);
      await this.#maintain().catch(onError);
    }
    await this.#queue.stop();
  }

  get metrics(): readonly Metric[] {
    return [
      {
        kind: 'counter',
        name: 'dropped',
        help: 'Points of the history dropped because PostgreSQL did not take them in time.',
        unit: 'points',
        read: () => this.#queue.dropped,
      },
      {
        kind: 'bound',
        name: 'queued',
        help: 'Points of the history that wait to be stored.',
        unit: 'points',
        max: QUEUED_MAX,
        read: () => this.#queue.waiting,
      },
    ];
  }

  /** Records the step that began at `at`. */
  #record(at: number): void {
    const { gateway, observe } = this.#options;
    const [before, now] = [this.#before, observe()];
    this.#before = now;
    this.#queue.add({
      at,
      gateway,
      requests: now.requests - before.requests,
      failed: now.failed - before.failed,
      reads: difference(now.reads, before.reads).counts,
      writes: difference(now.writes, before.writes).counts,
      memoryBytes: now.memoryBytes,
      memoryPercent: now.memoryPercent,
      cpuPercent: now.cpuPercent,
      nodes: now.cluster === null ? [] : nodePoints(now.cluster, before.cluster),
      data: now.cluster === null ? null : this.#data(now.cluster.head),
    });
  }

  #data(head: number): HistoryDataPoint {
    const [sizes, counted] = [this.#options.sizes(), this.#options.records()];
    return {
      head,
      logBytes: sizes?.logBytes ?? null,
      databaseBytes: sizes?.databaseBytes ?? null,
      collections: sizes?.collections ?? null,
      records: counted?.records ?? null,
      indexBytes: counted?.indexBytes ?? null,
    };
  }

  /** By the leader alone: every gateway would do the same. */
  async #maintain(): Promise<void> {
    const { clock, store, retention } = this.#options;
    if (this.#before.cluster === null) return;
    const now = clock.monotonic();
    if (now - this.#rolledUpAt >= ROLL_UP_MS) {
      this.#rolledUpAt = now;
      await store.rollUp(clock.now());
    }
    if (now - this.#forgotAt < FORGET_MS) return;
    this.#forgotAt = now;
    await store.forgetOld(clock.now(), retention);
  }
}

function nodePoints({ nodes }: ObservedHistory, before: ObservedHistory | null): HistoryNodePoint[] {
  const callsBefore = new Map<string, HistogramState>(before?.nodes.map(({ node, calls }) => [node, calls]));
  return nodes.map(({ node, serves, lagEntries, lagMs, suspects, calls }) => ({
    node,
    serving: serves ? 1 : 0,
    lagEntries,
    lagMs: Math.round(lagMs),
    suspects,
    // A gateway that has just become the leader has called nodes before: those calls belong to earlier steps.
    calls: difference(calls, before === null ? calls : (callsBefore.get(node) ?? null)).counts,
  }));
}

// What happened to the cluster, for operators: typed events, queued in memory and stored in batches.

import { sleep, type Clock } from '../util/clock.ts';
import { maskCredentials } from '../util/mask-credentials.ts';
import type { Metric } from './metrics-registry.ts';

export type EventLevel = 'info' | 'warning' | 'error';

/** Every kind of event and how much attention it needs. docs/operations.md explains each. */
export const EVENT_KINDS = {
  gateway_started: 'info',
  gateway_stopped: 'info',
  leader_changed: 'info',
  primary_changed: 'warning',
  node_added: 'info',
  node_removed: 'info',
  node_serving: 'info',
  node_down: 'error',
  node_recovered: 'info',
  node_hung: 'error',
  node_fenced: 'error',
  node_lost_content: 'error',
  shard_suspect: 'error',
  shard_healed: 'info',
  copies_undecided: 'error',
  scrub_finished: 'info',
  entry_quarantined: 'error',
  entry_refused: 'warning',
  entry_partly_applied: 'warning',
  log_halted: 'error',
  operator_action: 'info',
} as const satisfies Record<string, EventLevel>;

export type EventKind = keyof typeof EVENT_KINDS;

/** What belongs to an event beside its kind; a node has a column of its own. */
export interface EventDetail {
  readonly node?: string;
  readonly [field: string]: string | number | boolean | null | undefined;
}

export interface RecordedEvent {
  /** Wall clock, ms since the epoch. */
  readonly at: number;
  readonly kind: EventKind;
  readonly level: EventLevel;
  readonly node: string | null;
  readonly detail: Readonly<Record<string, string | number | boolean | null>>;
}

/** Where components record events. Never throws and never waits. */
export interface EventSink {
  record(kind: EventKind, detail?: EventDetail): void;
}

export interface EventLogOptions {
  readonly store: { append(events: readonly RecordedEvent[]): Promise<void> };
  /** Added to the detail of every event. */
  readonly gateway: string;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

// An hour of a node that changes its state every few seconds while PostgreSQL is away; some 300 bytes each.
const QUEUED_MAX = 1_000;
const BATCH_MAX = 100;
const RETRY_MS = 1_000;
// Texts of servers and connections; the log of the gateway has them whole.
const TEXT_LENGTH_MAX = 1_000;

export class EventLog implements EventSink {
  readonly #options: EventLogOptions;
  readonly #listeners = new Set<(event: RecordedEvent) => void>();
  readonly #stopping = new AbortController();
  #queue: RecordedEvent[] = [];
  #writing: Promise<void> | null = null;
  #recorded = 0;
  #dropped = 0;

  constructor(options: EventLogOptions) {
    this.#options = options;
  }

  /** Events dropped since the start because PostgreSQL was away for long. */
  get dropped(): number {
    return this.#dropped;
  }

  record(kind: EventKind, { node, ...detail }: EventDetail = {}): void {
    const { clock, gateway } = this.#options;
    const event: RecordedEvent = {
      at: clock.now(),
      kind,
      level: EVENT_KINDS[kind],
      node: node ?? null,
      detail: { ...shown(detail), gateway },
    };
    this.#recorded += 1;
    for (const listener of this.#listeners) listener(event);
    // The newest is dropped: the first events of an outage explain it.
    if (this.#queue.length >= QUEUED_MAX) this.#dropped += 1;
    else this.#queue.push(event);
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null;
    });
  }

  /** Calls `listener` with each event as it is recorded here; the listener must not throw. */
  subscribe(listener: (event: RecordedEvent) => void): void {
    this.#listeners.add(listener);
  }

  /** Writes what is queued, with one attempt; events recorded later are dropped. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#writing;
  }

  async #write(): Promise<void> {
    const { store, clock, onError } = this.#options;
    const { signal } = this.#stopping;
    // Events of one turn of the event loop share a statement.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH_MAX);
      try {
        await store.append(batch);
        this.#queue = this.#queue.slice(batch.length);
      } catch (error) {
        onError(error);
        if (signal.aborted) return;
        await sleep(clock, RETRY_MS, signal);
      }
    }
  }

  get metrics(): readonly Metric[] {
    return [
      {
        kind: 'counter',
        name: 'recorded',
        help: 'Events recorded by this gateway.',
        unit: 'events',
        read: () => this.#recorded,
      },
      {
        kind: 'counter',
        name: 'dropped',
        help: 'Events dropped because PostgreSQL did not take them in time.',
        unit: 'events',
        read: () => this.#dropped,
      },
      {
        kind: 'bound',
        name: 'queued',
        help: 'Events that wait to be stored.',
        unit: 'events',
        max: QUEUED_MAX,
        read: () => this.#queue.length,
      },
    ];
  }
}

function shown(detail: Omit<EventDetail, 'node'>): Record<string, string | number | boolean | null> {
  const fields: Record<string, string | number | boolean | null> = {};
  for (const [name, value] of Object.entries(detail)) {
    if (value === undefined) continue;
    fields[name] = typeof value === 'string' ? maskCredentials(value).slice(0, TEXT_LENGTH_MAX) : value;
  }
  return fields;
}

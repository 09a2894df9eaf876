// What happened to the cluster, for operators: typed events, queued in memory and stored in batches.

import type { Clock } from '../util/clock.ts';
import { maskCredentials } from '../util/mask-credentials.ts';
import type { Metric } from './metrics-registry.ts';
import { StoredQueue } from './stored-queue.ts';

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
  node_failing: 'error',
  node_fenced: 'error',
  node_lost_content: 'error',
  node_damaged: 'error',
  node_refilled: 'info',
  shard_suspect: 'error',
  shard_healed: 'info',
  copies_undecided: 'error',
  scrub_finished: 'info',
  entry_quarantined: 'error',
  entry_refused: 'warning',
  entry_partly_applied: 'warning',
  log_halted: 'error',
  operator_action: 'info',
  alert_opened: 'warning',
  alert_closed: 'info',
} as const satisfies Record<string, EventLevel>;

export type EventKind = keyof typeof EVENT_KINDS;

/** The details of an event; its kind and its node have columns of their own. */
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
// Texts of servers and connections; the log of the gateway has them whole.
const TEXT_LENGTH_MAX = 1_000;

export class EventLog implements EventSink {
  readonly #options: EventLogOptions;
  readonly #listeners = new Set<(event: RecordedEvent) => void>();
  readonly #queue: StoredQueue<RecordedEvent>;
  #recorded = 0;

  constructor(options: EventLogOptions) {
    this.#options = options;
    this.#queue = new StoredQueue({ ...options, itemsMax: QUEUED_MAX });
  }

  /** Events dropped since the start because PostgreSQL was away for long. */
  get dropped(): number {
    return this.#queue.dropped;
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
    this.#queue.add(event);
  }

  /** Calls `listener` with each event as it is recorded here; the listener must not throw. */
  subscribe(listener: (event: RecordedEvent) => void): void {
    this.#listeners.add(listener);
  }

  /** Writes what is queued, with one attempt; events recorded later are dropped. */
  stop(): Promise<void> {
    return this.#queue.stop();
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
        read: () => this.#queue.dropped,
      },
      {
        kind: 'bound',
        name: 'queued',
        help: 'Events that wait to be stored.',
        unit: 'events',
        max: QUEUED_MAX,
        read: () => this.#queue.waiting,
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

// What the dashboard shows, once a second: the state of the cluster with the sentence about it, collections and events.

import { ALERT_KINDS } from '../../alerts/alert-kinds.ts';
import type { OpenAlert } from '../../alerts/alert-store.ts';
import type { Condition } from '../../alerts/conditions.ts';
import type { StoredEvent } from '../../history/event-store.ts';
import type { CollectionSizes } from '../../read/collection-sizes.ts';
import { sleep, type Clock } from '../../util/clock.ts';
import { maskCredentials } from '../../util/mask-credentials.ts';
import type { OperationStatus, Operations } from '../admin/operations.ts';
import type { DiskUsage, StatusSource } from '../admin/status-source.ts';
import { statusOf, type Status } from '../admin/status.ts';
import type { LiveStream } from './live-stream.ts';
import { summaryOf, type HeldCondition, type Summary } from './summary.ts';
import type { Traffic, TrafficMeter } from './traffic.ts';

/** Channel "state". */
export interface LiveState {
  /** Wall clock of the gateway, ms since the epoch. */
  readonly at: number;
  readonly gateway: string;
  readonly summary: Summary;
  readonly status: Status;
  readonly records: number | null;
  /** How many there are; the channel "collections" has the first COLLECTIONS_SHOWN of them. */
  readonly collections: number;
  readonly log: {
    readonly trimmed: number;
    readonly waiting: { readonly append: number; readonly acknowledgement: number };
    /** Null until it could be read. */
    readonly disk: DiskUsage | null;
  };
  /** Null in the first second. */
  readonly traffic: Traffic | null;
  /** Running and recent ones, the newest first. */
  readonly operations: readonly OperationStatus[];
  /** What can be done to a node: the last segments of the paths. */
  readonly actions: readonly string[];
}

/** Channel "collections". */
export interface LiveCollection {
  readonly id: string;
  readonly tenant: string;
  readonly database: string;
  readonly name: string;
  readonly dimension: number | null;
  /** Null while they are being counted. */
  readonly records: number | null;
  /** Nodes whose copy is suspect. */
  readonly suspectOn: readonly string[];
}

/** Channel "events": the newest first. */
export interface LiveEvent extends Omit<StoredEvent, 'at'> {
  /** ISO 8601. */
  readonly at: string;
}

export interface LiveFeedOptions {
  readonly status: StatusSource;
  readonly traffic: Pick<TrafficMeter, 'measure'>;
  readonly sizes: Pick<CollectionSizes, 'total' | 'run'>;
  /** The first `max` collections, and how many there are. */
  readonly collections: (max: number) => readonly LiveCollection[];
  readonly collectionCount: () => number;
  /** Conditions of alerts that this gateway can see. */
  readonly conditions: () => readonly Condition[];
  readonly openAlerts: () => Promise<readonly OpenAlert[]>;
  readonly events: (limit: number) => Promise<readonly StoredEvent[]>;
  readonly operations: Pick<Operations, 'list'>;
  readonly actions: readonly string[];
  readonly clock: Clock;
}

const STATE_MS = 1_000;
// Statements of PostgreSQL, once for all dashboards.
const STORED_MS = 2_000;
const EVENTS_SHOWN = 50;
const OPERATIONS_SHOWN = 10;
// A megabyte of JSON, which takes some milliseconds to make.
const COLLECTIONS_SHOWN = 5_000;
/** Alerts that each gateway evaluates about itself. */
const OF_GATEWAYS: ReadonlySet<keyof typeof ALERT_KINDS> = new Set([
  'postgresql_unreachable',
  'error_rate',
  'latency',
  'memory',
  'cpu',
]);
/** What bursts of load cause, too: shown once it has lasted as long as its alert requires. */
const OF_LOAD: ReadonlySet<keyof typeof ALERT_KINDS> = new Set(['latency', 'memory', 'cpu']);

type Publisher = Pick<LiveStream, 'publish' | 'flush'>;

export class LiveFeed {
  readonly #options: LiveFeedOptions;
  #alerts: readonly OpenAlert[] = [];
  #disk: DiskUsage | null = null;
  /** Conditions by key → when they were first seen; wall clock, ms since the epoch. */
  #firstSeen = new Map<string, number>();

  constructor(options: LiveFeedOptions) {
    this.#options = options;
  }

  /** Publishes until `signal` aborts. Never rejects. */
  async produce(stream: Publisher, signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#repeat(STATE_MS, signal, async () => {
        stream.publish('state', this.state());
        stream.flush();
      }),
      this.#repeat(STORED_MS, signal, () => this.#readStored(stream, signal)),
      this.#options.sizes.run(signal),
    ]);
  }

  /** What is known at this moment. */
  state(): LiveState {
    const { status, traffic, sizes, operations, actions, clock } = this.#options;
    const at = status.now();
    const records = sizes.total();
    return {
      at,
      gateway: status.gatewayId,
      summary: this.#summary(records, at),
      status: statusOf(status),
      records,
      collections: this.#options.collectionCount(),
      log: { trimmed: status.trimmed(), waiting: status.waiting(), disk: this.#disk },
      traffic: traffic.measure(clock.monotonic()),
      operations: operations.list().slice(0, OPERATIONS_SHOWN),
      actions,
    };
  }

  #summary(records: number | null, now: number): Summary {
    const { status } = this.#options;
    const { current } = status.rebuilds();
    return summaryOf({
      nodes: status.nodes().map(({ member, lag }) => ({
        id: member.id,
        state: member.state,
        reason: member.reason,
        sinceMs: member.since,
        lagEntries: lag(now).entries,
      })),
      conditions: this.#held(now),
      serving: status.serving(),
      records,
      quarantined: status.quarantined().length,
      rebuilding: current === null ? null : `${current.collection} on ${current.node}, from ${current.donor}`,
    });
  }

  /** What this gateway sees, and the open alerts of others about what it does not see. */
  #held(now: number): HeldCondition[] {
    const { status, conditions } = this.#options;
    const seen = conditions();
    const keys = new Set(seen.map(({ key }) => key));
    const isLeading = status.term() !== null;
    const others = this.#alerts.filter(
      ({ key, kind }) =>
        !keys.has(key) && (OF_GATEWAYS.has(kind) ? !key.endsWith(`:${status.gatewayId}`) : !isLeading),
    );
    const since = new Map(this.#alerts.map((alert) => [alert.key, alert.since.getTime()]));
    this.#firstSeen = new Map([...keys].map((key) => [key, this.#firstSeen.get(key) ?? now]));
    const nodeSince = new Map(status.nodes().map(({ member }) => [member.id, member.since]));
    const beganAt = (key: string): number => {
      const node = /^node_(?:down|out):(.*)$/.exec(key)?.[1];
      return (
        (node === undefined ? null : nodeSince.get(node)) ?? since.get(key) ?? this.#firstSeen.get(key) ?? now
      );
    };
    const isDue = ({ kind, key }: Condition): boolean =>
      !OF_LOAD.has(kind) || since.has(key) || now - beganAt(key) >= ALERT_KINDS[kind].afterMs;
    return [...seen.filter(isDue), ...others].map(({ kind, key, detail }) => ({
      kind,
      key,
      detail: maskCredentials(detail),
      sinceMs: beganAt(key),
    }));
  }

  async #readStored(stream: Publisher, signal: AbortSignal): Promise<void> {
    const { status, openAlerts, events, collections } = this.#options;
    stream.publish('collections', collections(COLLECTIONS_SHOWN));
    // What PostgreSQL cannot say at the moment: outdated alerts would mislead, sizes and events do not.
    const [alerts, disk, stored] = await Promise.all([
      openAlerts().catch(() => []),
      status.disk().catch(() => this.#disk),
      events(EVENTS_SHOWN).catch(() => null),
    ]);
    if (signal.aborted) return;
    this.#alerts = alerts;
    this.#disk = disk;
    const shown = stored?.map((event): LiveEvent => ({ ...event, at: event.at.toISOString() }));
    if (shown !== undefined) stream.publish('events', shown);
    stream.flush();
  }

  async #repeat(everyMs: number, signal: AbortSignal, task: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      await task();
      await sleep(this.#options.clock, everyMs, signal);
    }
  }
}

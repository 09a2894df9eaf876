// Opens and closes alerts: looks at the conditions every few seconds, and at events as they are recorded.

import type { EventSink, RecordedEvent } from '../observability/events.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { ALERT_KINDS, messageOf, type AlertKind, type AlertMessage } from './alert-kinds.ts';
import type { AlertStore } from './alert-store.ts';
import {
  clusterConditions,
  gatewayConditions,
  undecided,
  type Condition,
  type ObservedCluster,
  type ObservedGateway,
} from './conditions.ts';

export interface AlertWatchOptions {
  readonly gateway: string;
  /** The cluster as the leader sees it; null while this gateway does not lead. */
  readonly cluster: () => ObservedCluster | null;
  readonly self: () => ObservedGateway;
  readonly store: Pick<AlertStore, 'open' | 'close' | 'listOpen'>;
  /** Deletes what is kept no longer; called by the leader now and then. */
  readonly forgetOld: () => Promise<void>;
  readonly send: (message: AlertMessage) => void;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

const INTERVAL_MS = 5_000;
// A condition that comes and goes is one alert.
const CLEAR_MS = 15_000;
const FORGET_MS = 3_600_000;

/** Events that are alerts by themselves: there is nothing to close. */
const OF_EVENTS: Readonly<Partial<Record<RecordedEvent['kind'], AlertKind>>> = {
  primary_changed: 'failover',
  entry_quarantined: 'quarantine',
  shard_healed: 'healed',
};

export class AlertWatch {
  readonly #options: AlertWatchOptions;
  /** Since when each condition holds, or no longer holds. */
  readonly #holdsSince = new Map<string, number>();
  readonly #clearSince = new Map<string, number>();
  /** Opened here while PostgreSQL could not be asked. */
  readonly #unclaimed = new Map<string, { condition: Condition; sinceMs: number }>();

  #forgotAt = -Infinity;

  constructor(options: AlertWatchOptions) {
    this.#options = options;
  }

  /** Looks until `stop` aborts. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await sleep(this.#options.clock, INTERVAL_MS, stop);
      if (!stop.aborted) await this.look();
    }
  }

  /** Called with each event recorded by this gateway. */
  recorded({ kind, node, detail, at }: RecordedEvent): void {
    const alert = OF_EVENTS[kind];
    // The first primary of a cluster replaces none.
    if (alert === undefined || (kind === 'primary_changed' && detail['before'] === null)) return;
    const fields = Object.entries(detail).filter(([name]) => name !== 'gateway');
    const text = [node, ...fields.map(([name, value]) => `${name}: ${String(value)}`)].filter(
      (part) => part !== null,
    );
    const { gateway, send } = this.#options;
    send(messageOf(alert, { state: 'event', key: alert, detail: text.join(', '), gateway, sinceMs: at }));
  }

  async look(): Promise<void> {
    const { cluster, self, gateway } = this.#options;
    const observed = cluster();
    if (observed !== null) {
      await this.#update(clusterConditions(observed), null, undecided(observed));
      await this.#forgetOld();
    }
    await this.#update(gatewayConditions(self()), gateway, () => false);
  }

  async #forgetOld(): Promise<void> {
    const { clock, forgetOld, onError } = this.#options;
    const now = clock.monotonic();
    if (now - this.#forgotAt < FORGET_MS) return;
    this.#forgotAt = now;
    await forgetOld().catch(onError);
  }

  async #update(
    conditions: readonly Condition[],
    scope: string | null,
    isUndecided: (key: string) => boolean,
  ): Promise<void> {
    const now = this.#options.clock.monotonic();
    const due = conditions.filter((condition) => this.#isDue(condition, now));
    const keys = new Set(conditions.map(({ key }) => key));
    try {
      const open = await this.#options.store.listOpen(scope);
      const known = new Set(open.map(({ key }) => key));
      for (const condition of due) if (!known.has(condition.key)) await this.#open(condition, scope);
      for (const { key, kind, since, detail } of open)
        if (!keys.has(key) && !isUndecided(key) && this.#isClear(key, now))
          await this.#close({ key, kind, detail }, since.getTime());
    } catch (error) {
      this.#options.onError(error);
      if (scope !== null) this.#openUnclaimed(due);
      return;
    }
    if (scope !== null) this.#closeUnclaimed(keys, now);
    for (const key of this.#holdsSince.keys())
      if (isOfScope(key, scope, this.#options.gateway) && !keys.has(key)) this.#holdsSince.delete(key);
  }

  /** Whether the condition has held for as long as its kind asks for. */
  #isDue({ key, kind }: Condition, now: number): boolean {
    this.#clearSince.delete(key);
    const since = this.#holdsSince.get(key) ?? now;
    this.#holdsSince.set(key, since);
    return now - since >= ALERT_KINDS[kind].afterMs;
  }

  #isClear(key: string, now: number): boolean {
    const since = this.#clearSince.get(key) ?? now;
    this.#clearSince.set(key, since);
    return now - since >= CLEAR_MS;
  }

  async #open(condition: Condition, scope: string | null): Promise<void> {
    const { key, kind, detail } = condition;
    const sinceMs = this.#sinceMs(key);
    const unclaimed = this.#unclaimed.has(key);
    const opened = await this.#options.store.open({ key, kind, gateway: scope, sinceMs, detail });
    this.#unclaimed.delete(key);
    // Without PostgreSQL it was sent already.
    if (opened && !unclaimed) this.#announce('open', condition, sinceMs);
  }

  async #close(condition: Condition, sinceMs: number): Promise<void> {
    if (await this.#options.store.close(condition.key)) this.#announce('closed', condition, sinceMs);
    this.#clearSince.delete(condition.key);
  }

  /** An alert about this gateway is sent without PostgreSQL, too: that PostgreSQL is away is one. */
  #openUnclaimed(due: readonly Condition[]): void {
    for (const condition of due) {
      if (this.#unclaimed.has(condition.key)) continue;
      const sinceMs = this.#sinceMs(condition.key);
      this.#unclaimed.set(condition.key, { condition, sinceMs });
      this.#announce('open', condition, sinceMs);
    }
  }

  #closeUnclaimed(keys: ReadonlySet<string>, now: number): void {
    for (const [key, { condition, sinceMs }] of this.#unclaimed) {
      if (keys.has(key) || !this.#isClear(key, now)) continue;
      this.#unclaimed.delete(key);
      this.#clearSince.delete(key);
      this.#announce('closed', condition, sinceMs);
    }
  }

  #announce(state: 'open' | 'closed', { kind, key, detail }: Condition, sinceMs: number): void {
    const { gateway, send, events } = this.#options;
    send(messageOf(kind, { state, key, detail, gateway, sinceMs }));
    events.record(state === 'open' ? 'alert_opened' : 'alert_closed', { alert: key, detail });
  }

  /** Wall clock of when the condition began. */
  #sinceMs(key: string): number {
    const { clock } = this.#options;
    return clock.now() - (clock.monotonic() - (this.#holdsSince.get(key) ?? clock.monotonic()));
  }
}

const isOfScope = (key: string, scope: string | null, gateway: string): boolean =>
  key.endsWith(`:${gateway}`) === (scope !== null);

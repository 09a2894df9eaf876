// Watches a cluster from outside: whether its gateways, nodes and PostgreSQL respond, and what a gateway reports. Sends the
// same alerts as a gateway, for gateways that send none themselves, and when no gateway is left to send any.

import { sleep, type Clock } from '../util/clock.ts';
import { maskCredentials } from '../util/mask-credentials.ts';
import { messageOf, type AlertMessage } from './alert-kinds.ts';
import { clusterConditions, type Condition, type ObservedCluster } from './conditions.ts';

export interface MonitorTarget {
  readonly name: string;
  readonly url: string;
}

export interface MonitorOptions {
  readonly gateways: readonly MonitorTarget[];
  readonly nodes: readonly MonitorTarget[];
  /** Why PostgreSQL does not respond, or null; absent: it is not watched. */
  readonly database?: () => Promise<string | null>;
  /** Rejects when there is no response. */
  readonly get: (url: string) => Promise<{ readonly status: number; readonly text: string }>;
  readonly send: (message: AlertMessage) => void;
  /** Called with what was found wrong, in every round. */
  readonly onRound: (found: readonly Condition[]) => void;
  readonly intervalMs: number;
  /** Rounds in a row after which a condition is an alert. */
  readonly threshold: number;
  readonly clock: Clock;
}

/** As far as the monitor reads GET /status. */
interface WatchedStatus {
  readonly leader: string | null;
  /** Whether this gateway sends alerts itself. */
  readonly alerting?: boolean;
  readonly halted: string | null;
  readonly quarantined: readonly number[];
  readonly nodes: readonly {
    readonly id: string;
    readonly role: string;
    readonly state: string;
    readonly reason: string | null;
    readonly lag: { readonly ms: number | null };
    readonly suspects: readonly unknown[];
  }[];
}

interface Looked {
  readonly found: readonly Condition[];
  /** Of the first gateway that leads; null without one. */
  readonly status: WatchedStatus | null;
}

interface LookedGateway extends Looked {
  /** Its process responds although it does not serve: a standby while another gateway serves. */
  readonly standsBy: boolean;
}

interface Tracked {
  readonly condition: Condition;
  readonly sinceMs: number;
  rounds: number;
}

const NAME = 'monitor';
// As long as a gateway tolerates without a setting (config/observe.ts).
const LAG_MS_MAX = 30_000;

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #tracked = new Map<string, Tracked>();
  #before: WatchedStatus | null = null;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Watches until `stop` aborts. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, intervalMs } = this.#options;
    while (!stop.aborted) {
      const since = clock.monotonic();
      await this.look();
      await sleep(clock, Math.max(0, intervalMs - (clock.monotonic() - since)), stop);
    }
  }

  /** One round. Resolves with what was found wrong. */
  async look(): Promise<readonly Condition[]> {
    const { found, status } = await this.#round();
    this.#track(found);
    if (status !== null) this.#compare(status);
    this.#options.onRound(found);
    return found;
  }

  async #round(): Promise<Looked> {
    const { gateways, nodes, database } = this.#options;
    const [ofGateways, ofNodes, ofDatabase] = await Promise.all([
      Promise.all(gateways.map((target) => this.#gateway(target))),
      Promise.all(nodes.map((target) => this.#node(target))),
      database?.().then((reason) => conditionsIf(reason, 'postgresql_unreachable', NAME)),
    ]);
    const status = ofGateways.find((each) => each.status !== null)?.status ?? null;
    // A gateway that sends alerts has seen the rest: a second message would only repeat it.
    const rest =
      status?.alerting === true
        ? []
        : [
            ...ofNodes.flat(),
            ...(ofDatabase ?? []),
            ...(status === null ? [] : clusterConditions(observed(status))),
          ];
    const isServed = ofGateways.some((each) => each.found.length === 0);
    const down = ofGateways.filter((each) => !(isServed && each.standsBy));
    const found = [...down.flatMap((each) => each.found), ...rest];
    return { found: [...new Map(found.map((condition) => [condition.key, condition])).values()], status };
  }

  async #gateway({ name, url }: MonitorTarget): Promise<LookedGateway> {
    const reason = await this.#failure(`${url}/health`);
    const found = conditionsIf(reason, 'gateway_down', name);
    const standsBy = reason !== null && (await this.#failure(`${url}/health/live`)) === null;
    try {
      const { status, text } = await this.#options.get(`${url}/status`);
      const parsed = status === 200 ? (JSON.parse(text) as WatchedStatus) : null;
      // Only the leader knows the nodes.
      return { found, standsBy, status: typeof parsed?.leader === 'string' ? parsed : null };
    } catch {
      return { found, standsBy, status: null };
    }
  }

  async #node({ name, url }: MonitorTarget): Promise<readonly Condition[]> {
    return conditionsIf(await this.#failure(`${url}/api/v2/heartbeat`), 'node_down', name);
  }

  /** Why a request fails; null when it does not. */
  async #failure(url: string): Promise<string | null> {
    try {
      const { status, text } = await this.#options.get(url);
      return status === 200 ? null : `HTTP ${status} ${text.slice(0, 200)}`.trimEnd();
    } catch (error) {
      return maskCredentials(reasonOf(error));
    }
  }

  /** Opens what has been found often enough, and closes what is not found any more. */
  #track(found: readonly Condition[]): void {
    const { clock, threshold } = this.#options;
    for (const condition of found) {
      const { key } = condition;
      const tracked = this.#tracked.get(key) ?? { condition, sinceMs: clock.now(), rounds: 0 };
      this.#tracked.set(key, tracked);
      tracked.rounds += 1;
      if (tracked.rounds === threshold) this.#send('open', condition, tracked.sinceMs);
    }
    const keys = new Set(found.map(({ key }) => key));
    for (const [key, { condition, rounds, sinceMs }] of this.#tracked) {
      if (keys.has(key)) continue;
      this.#tracked.delete(key);
      if (rounds >= threshold) this.#send('closed', condition, sinceMs);
    }
  }

  /** What has happened since the last round in which a gateway led. */
  #compare(status: WatchedStatus): void {
    const before = this.#before;
    this.#before = status;
    if (before === null || status.alerting === true) return;
    const [was, is] = [primaryOf(before), primaryOf(status)];
    const event = (kind: 'failover' | 'quarantine', detail: string): void =>
      this.#send('event', { kind, key: kind, detail }, this.#options.clock.now());
    if (was !== null && is !== null && was !== is) event('failover', `${is}, before: ${was}`);
    const known = new Set(before.quarantined);
    for (const lsn of status.quarantined) if (!known.has(lsn)) event('quarantine', `lsn: ${lsn}`);
  }

  #send(state: AlertMessage['state'], { kind, key, detail }: Condition, sinceMs: number): void {
    this.#options.send(messageOf(kind, { state, key, detail, gateway: NAME, sinceMs }));
  }
}

function conditionsIf(
  reason: string | null,
  kind: 'gateway_down' | 'node_down' | 'postgresql_unreachable',
  name: string,
): Condition[] {
  return reason === null ? [] : [{ kind, key: `${kind}:${name}`, detail: `${name}: ${reason}` }];
}

function observed({ nodes, halted }: WatchedStatus): ObservedCluster {
  return {
    nodes: nodes.map(({ id, state, reason, lag, suspects }) => ({
      id,
      state,
      reason,
      lagMs: lag.ms ?? 0,
      suspects: suspects.length,
    })),
    halted,
    lagMsMax: LAG_MS_MAX,
  };
}

const primaryOf = ({ nodes }: WatchedStatus): string | null =>
  nodes.find(({ role }) => role === 'primary')?.id ?? null;

/** fetch hides the reason in the cause of its error. */
function reasonOf(error: unknown): string {
  const { cause, message, name } = error as { cause?: { code?: string; message?: string } } & Error;
  return cause?.code ?? cause?.message ?? (name === 'TimeoutError' ? 'no response in time' : message);
}

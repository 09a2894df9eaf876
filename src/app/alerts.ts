// Alerts: what is observed of cluster and gateway, and the webhooks that are notified when something is wrong.

import { messageOf } from '../alerts/alert-kinds.ts';
import { AlertWatch } from '../alerts/alert-watch.ts';
import {
  clusterConditions,
  gatewayConditions,
  type Condition,
  type ObservedCluster,
  type ObservedGateway,
} from '../alerts/conditions.ts';
import { Webhooks, type Webhook } from '../alerts/webhooks.ts';
import type { Config } from '../config/config.ts';
import { lagLimitMs } from '../config/observe.ts';
import { isClientRoute, type RequestStats } from '../http/request-stats.ts';
import { difference, DURATIONS, quantile, type HistogramState } from '../observability/histogram.ts';
import type { MetricsRegistry } from '../observability/metrics-registry.ts';
import type { Clock } from '../util/clock.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Observation } from './observation.ts';
import type { Replication } from './replication.ts';
import type { Storage } from './storage.ts';

export interface Alerts {
  readonly webhooks: Webhooks;
  readonly test: () => Promise<readonly { name: string; error: string | null }[]>;
  /** What holds at this moment, also while it has not lasted long enough for an alert. */
  readonly conditions: () => readonly Condition[];
}

interface AlertParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly replication: Replication;
  readonly observation: Observation;
  readonly metrics: MetricsRegistry;
}

// A webhook that needs longer does not work.
const POST_TIMEOUT_MS = 10_000;
const WINDOW_MS = 60_000;
// Probes come every 2 s; one slow statement is no outage.
const POSTGRES_SILENT_MS = 15_000;
const SUSPECTS_MAX = 1_000;
/** Routes whose requests are the clients' work. */
const ROUTES: ReadonlySet<string> = new Set(['query', 'get', 'count', 'add', 'upsert', 'update', 'delete']);

export function buildAlerts(config: Config, parts: AlertParts, life: Lifecycle): Alerts {
  const { deps, storage, metrics } = parts;
  const { clock, logger, gatewayId } = deps;
  const webhooks = new Webhooks({ webhooks: webhooksOf(config), post: postJson, clock, logger });
  metrics.register('alerts', webhooks.metrics);
  const window = new RequestWindow(parts.observation.requests, clock);
  const watch = new AlertWatch({
    gateway: gatewayId,
    cluster: () => observedCluster(config, parts),
    self: () => observedGateway(config, parts, window),
    store: storage.alerts,
    forgetOld: async () => {
      await storage.alerts.forgetOld();
      await storage.eventStore.forgetOld(config.FAILOVER_EVENTS_RETENTION_DAYS);
    },
    send: (message) => webhooks.send(message),
    events: storage.events,
    clock,
    onError: (error) => logger.warn({ error: String(error) }, 'alerts not stored'),
  });
  storage.events.subscribe((event) => watch.recorded(event));
  const stopping = new AbortController();
  let running: Promise<void> = Promise.resolve();
  life.add({
    name: 'alerts',
    start: async () => {
      running = watch.run(stopping.signal);
    },
    stop: async () => {
      stopping.abort();
      await running;
      await webhooks.stop();
    },
  });
  const test = (): ReturnType<Webhooks['test']> => {
    const detail = 'This message shows that alerts of this cluster arrive here.';
    return webhooks.test(
      messageOf('test', { state: 'event', key: 'test', detail, gateway: gatewayId, sinceMs: clock.now() }),
    );
  };
  const conditions = (): Condition[] => {
    const cluster = observedCluster(config, parts);
    const ofCluster = cluster === null ? [] : clusterConditions(cluster);
    return [...ofCluster, ...gatewayConditions(observedGateway(config, parts, window))];
  };
  return { webhooks, test, conditions };
}

type WebhookSettings = Pick<
  Config,
  'SLACK_WEBHOOK_URL' | 'NOTIFICATION_WEBHOOK' | 'SLACK_ALERTS_ENABLED' | 'ALERT_WEBHOOK_URL'
>;

/** Where alerts are sent to. */
export function webhooksOf(config: WebhookSettings): Webhook[] {
  const slack = config.SLACK_WEBHOOK_URL ?? config.NOTIFICATION_WEBHOOK;
  const found: Webhook[] = [];
  if (slack !== undefined && config.SLACK_ALERTS_ENABLED) found.push({ name: 'slack', url: slack });
  if (config.ALERT_WEBHOOK_URL !== undefined) found.push({ name: 'json', url: config.ALERT_WEBHOOK_URL });
  return found;
}

/** Posts to a webhook; resolves with the status, or rejects when there is no response. */
export async function postJson(url: string, body: string): Promise<number> {
  const headers = { 'content-type': 'application/json' };
  const signal = AbortSignal.timeout(POST_TIMEOUT_MS);
  const response = await fetch(url, { method: 'POST', headers, body, signal });
  await response.arrayBuffer();
  return response.status;
}

function observedCluster(config: Config, { deps, storage, replication }: AlertParts): ObservedCluster | null {
  const { leader, nodes } = replication;
  if (leader.term === null && leader.halted === null) return null;
  return {
    nodes: nodes.all().map(({ member: { id, state, reason }, applier }) => ({
      id,
      state,
      reason,
      lagMs: applier.lag(deps.clock.now()).ms ?? 0,
      suspects: storage.catalog.suspects(id, SUSPECTS_MAX).length,
    })),
    halted: leader.halted,
    lagMsMax: lagLimitMs(config),
  };
}

function observedGateway(
  config: Config,
  { deps, storage, observation }: AlertParts,
  window: RequestWindow,
): ObservedGateway {
  const { respondedMsAgo, error } = storage.postgresProbe.health;
  const isSilent = respondedMsAgo !== null && respondedMsAgo > POSTGRES_SILENT_MS;
  const { container } = observation.resources.usage;
  return {
    id: deps.gatewayId,
    postgres: isSilent ? (error ?? 'no response') : null,
    requests: window.lastMinute(),
    latencyMsMax: config.ALERT_LATENCY_MS,
    memoryPercent: container.memoryPercent,
    memoryPercentMax: config.WAL_MEMORY_THRESHOLD,
    cpuPercent: container.cpuPercent,
    cpuPercentMax: config.WAL_CPU_THRESHOLD,
  };
}

interface RequestState {
  readonly atMs: number;
  readonly totals: { readonly total: number; readonly failed: number };
  readonly durations: HistogramState;
}

/** What was served within the last minute, from states taken at each look. */
class RequestWindow {
  readonly #requests: RequestStats;
  readonly #clock: Clock;
  #states: RequestState[] = [];

  constructor(requests: RequestStats, clock: Clock) {
    this.#requests = requests;
    this.#clock = clock;
  }

  lastMinute(): ObservedGateway['requests'] {
    const atMs = this.#clock.monotonic();
    const now = {
      atMs,
      totals: this.#requests.totals(isClientRoute),
      durations: this.#requests.durations(ROUTES),
    };
    this.#states = [...this.#states.filter((state) => atMs - state.atMs <= WINDOW_MS), now];
    const first = this.#states[0] ?? now;
    const p95 = quantile(0.95, DURATIONS, difference(now.durations, first.durations));
    return {
      total: now.totals.total - first.totals.total,
      failed: now.totals.failed - first.totals.failed,
      p95Ms: p95 === null ? null : p95 * 1_000,
    };
  }
}

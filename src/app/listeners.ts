// The listeners: where clients and operators reach this gateway, and what /health and /status tell them.

import { readinessOf } from '../api/admin/health.ts';
import { adminRouter, statusRoutes } from '../api/admin/routes.ts';
import { metricsRoutes } from '../api/admin/metrics.ts';
import type { GatewayStatus, NodeSource, Serving, StatusSource } from '../api/admin/status-source.ts';
import { olderRouter } from '../api/v1/front-end.ts';
import { forOlderPython } from '../api/v1/older-python.ts';
import { ERROR_RESPONSES } from '../api/v2/error-responses.ts';
import { chromaRouter } from '../api/v2/front-end.ts';
import { knownStateRouter } from '../api/v2/known-state-router.ts';
import { allowAll } from '../auth/allow-all.ts';
import type { Config } from '../config/config.ts';
import { lagLimitMs } from '../config/observe.ts';
import type { ServedRequest } from '../http/request-stats.ts';
import { joinRouters, type Router } from '../http/router.ts';
import { tracedRouter } from '../http/traced-router.ts';
import { startServer, type RunningServer, type ServerOptions } from '../http/server.ts';
import { canServe } from '../nodes/node-state.ts';
import { sleep } from '../util/clock.ts';
import { Exposition } from '../observability/exposition.ts';
import type { MetricsRegistry } from '../observability/metrics-registry.ts';
import { webhooksOf, type Alerts } from './alerts.ts';
import { buildDashboard, LIVE_ROUTE } from './dashboard.ts';
import type { Departure } from './departure.ts';
import type { Following } from './following.ts';
import type { History } from './history.ts';
import type { Lifecycle } from './lifecycle.ts';
import { buildOperatorRouter } from './operator.ts';
import type { GatewayCore } from './metrics.ts';

export interface Listeners {
  /** Where clients reach it; known once it has started. */
  url(): string;
  /** Where operators reach the dashboard; known once it has started. */
  dashboardUrl(): string;
}

interface ListenerParts extends GatewayCore {
  readonly status: StatusSource;
  readonly alerts: Alerts;
  readonly history: History;
  readonly metrics: MetricsRegistry;
  readonly departure: Departure;
  /** Has this gateway built anew. */
  readonly restart: () => void;
}

// Chroma's servers refuse larger bodies.
const BODY_BYTES_MAX = 40 * 1024 * 1024;
// The largest body of an operator is a query with a vector of some thousand dimensions; operators are few.
const ADMIN_BODY_BYTES_MAX = 256 * 1024;
const ADMIN_BODIES_MAX = 4;
const ADMIN_CONNECTIONS_MAX = 100;
const STOP_DEADLINE_MS = 10_000;
const READY_POLL_MS = 25;
const NOT_LISTENING = 'this gateway does not accept clients yet';

export function buildListeners(config: Config, parts: ListenerParts, life: Lifecycle): Listeners {
  const { deps, dataPlane, observation, metrics, departure } = parts;
  const api = clientRouter(parts);
  // A worker opens the shared port when everything else is ready, and is ready only then.
  let isListening = !deps.sharesPort;
  const serving = (): Serving => {
    const { reads, writes } = parts.status.serving();
    const notListening = isListening ? null : NOT_LISTENING;
    return { reads: reads ?? notListening, writes: writes ?? notListening };
  };
  const status = statusRouter({ ...parts, status: { ...parts.status, serving } });
  const operatorApi = buildOperatorRouter(config, parts, life);
  const dashboard = buildDashboard(config, { ...parts, ...operatorApi });
  metrics.register('dashboard', dashboard.live.metrics);
  const operator = joinRouters(operatorApi.router, dashboard.router);
  const shared = {
    host: config.HOST,
    errors: ERROR_RESPONSES,
    clock: deps.clock,
    logger: deps.logger,
    responseBudget: dataPlane.responseBudget,
    isLeaving: () => departure.hasBegun,
    requests: {
      observe: (request: ServedRequest) => {
        // It takes as long as a dashboard is open, and ends when that is closed.
        if (request.route === LIVE_ROUTE) return;
        observation.requests.observe(request);
        observation.slow.observe(request);
      },
    },
  };
  const adminPort = config.ADMIN_PORT ?? null;
  let operatorServer: (() => RunningServer) | null = null;
  if (adminPort !== null) {
    operatorServer = listen({ life, metrics }, 'admin_listener', {
      ...shared,
      port: adminPort,
      router: joinRouters(status, operator),
      maxBodyBytes: ADMIN_BODY_BYTES_MAX,
      bodyBudgetBytes: ADMIN_BODIES_MAX * ADMIN_BODY_BYTES_MAX,
      corsAllowOrigins: [],
      limits: { connectionsMax: ADMIN_CONNECTIONS_MAX },
    });
  }
  const clientOptions = {
    ...shared,
    port: config.PORT,
    router: adminPort === null ? joinRouters(api, status, operator) : joinRouters(api, status),
    maxBodyBytes: BODY_BYTES_MAX,
    bodyBudgetBytes: config.BODY_BUDGET_BYTES,
    corsAllowOrigins: config.CORS_ALLOW_ORIGINS,
  };
  const server = deps.sharesPort
    ? listenOnceReady({ life, metrics }, clientOptions, { ...parts, onListening: () => (isListening = true) })
    : listen({ life, metrics }, 'listener', clientOptions);
  // Before the listeners, which wait for what they serve.
  life.add({ name: 'live stream', stop: async () => dashboard.live.stop() });
  return {
    url: () => server().url,
    dashboardUrl: () => `${(operatorServer ?? server)().url}/ui/`,
  };
}

/** The routes of Chroma's APIs, refused where this gateway cannot know the response. */
export function clientRouter({
  deps,
  storage,
  dataPlane,
  replication,
}: Pick<ListenerParts, 'deps' | 'storage' | 'dataPlane' | 'replication'>): Router {
  const chroma = chromaRouter({
    handlers: forOlderPython(dataPlane.handlers, dataPlane.scanner),
    capabilities: () => storage.capabilities.current,
    authorizer: allowAll,
  });
  const older = olderRouter({
    handlers: dataPlane.handlers,
    catalog: storage.catalog,
    scanner: dataPlane.scanner,
    deletedIds: (lsn) => storage.decisions.selectedIds(lsn),
    authorizer: allowAll,
  });
  // The v1 API comes first: of paths below /api/v1 that it lacks, the v2 API says what a Chroma server says.
  const untraced = knownStateRouter(joinRouters(older, chroma), replication.following.known);
  return deps.tracer === null ? untraced : tracedRouter(untraced, deps.tracer);
}

/** Adds a server to the gateway's life and its metrics; the result throws before it has started. */
function listen(
  { life, metrics }: { life: Lifecycle; metrics: MetricsRegistry },
  name: string,
  options: ServerOptions,
): () => RunningServer {
  let server: RunningServer | null = null;
  life.add({
    name,
    start: async () => {
      server = await startServer(options);
      metrics.register(name, server.metrics);
    },
    stop: async () => server?.stop(STOP_DEADLINE_MS),
  });
  return () => {
    if (server === null) throw new Error(`The ${name} has not started.`);
    return server;
  };
}

/** As listen, from the moment on at which this gateway serves; until then others that share the port get the requests. */
function listenOnceReady(
  { life, metrics }: { life: Lifecycle; metrics: MetricsRegistry },
  options: ServerOptions,
  {
    deps,
    status,
    onListening,
  }: Pick<ListenerParts, 'deps' | 'status'> & { readonly onListening: () => void },
): () => { readonly url: string } {
  const stopping = new AbortController();
  let server: RunningServer | null = null;
  let begun: Promise<void> = Promise.resolve();
  const begin = async (): Promise<void> => {
    while (!readinessOf(status).ready && !stopping.signal.aborted)
      await sleep(deps.clock, READY_POLL_MS, stopping.signal);
    if (stopping.signal.aborted) return;
    server = await startServer(options);
    metrics.register('listener', server.metrics);
    onListening();
    deps.onListening();
  };
  life.add({
    name: 'listener',
    start: async () => {
      begun = begin().catch((error: unknown) => deps.onFailure(error));
    },
    async stop() {
      stopping.abort();
      await begun;
      await server?.stop(STOP_DEADLINE_MS);
    },
  });
  return () => ({ url: server?.url ?? `http://${options.host}:${options.port}` });
}

/** The routes of /health, /status, /wal and /metrics. */
function statusRouter({ deps, status, metrics }: ListenerParts): Router {
  const exposition = new Exposition(metrics);
  const { resources } = status;
  return adminRouter([
    ...statusRoutes(status),
    ...metricsRoutes({
      exposition,
      snapshot: () => metrics.snapshot(),
      resources,
      now: () => deps.clock.now(),
    }),
  ]);
}

/** What /health, /status and /wal/… are made from. */
export function statusSource(
  config: Config,
  parts: Omit<ListenerParts, 'status' | 'alerts' | 'caches'>,
): StatusSource {
  const { deps, storage, replication, dataPlane, observation, metrics, history } = parts;
  const { leader, logBuffer, retention, rebuilds, appender, positions, trials } = replication;
  const { requests, log, resources } = observation;
  return {
    gatewayId: deps.gatewayId,
    alerting: webhooksOf(config).length > 0,
    term: () => leader.term,
    gateways: () => gatewaysOf(replication.following),
    halted: () => leader.halted,
    serving: () => servingOf(parts),
    primary: () => leader.primary.node,
    head: () => logBuffer.head,
    trimmed: () => retention.trimmed,
    waiting: () => ({ append: appender.waiting, acknowledgement: positions.waiting }),
    reads: () => dataPlane.recordReads.counts,
    rebuilds: () => rebuilds.status,
    metrics: () => metrics.snapshot(),
    nodes: () => nodeSources(parts),
    differences: () => replication.nodeList.differences(),
    quarantined: () => storage.decisions.openQuarantine,
    requests,
    log,
    batches: () => appender.batches,
    failedAttempts: () => trials.failures,
    postgres: () => storage.postgresProbe.health,
    resources: () => resources.usage,
    capacity: () => history.capacity.status,
    disk: async () => ({ ...(await storage.sizes.read()), logBytesMax: config.WAL_RETENTION_BYTES }),
    syncIntervalSeconds: config.WAL_SYNC_INTERVAL ?? 0,
    limits: {
      lagMs: lagLimitMs(config),
      memoryPercent: config.WAL_MEMORY_THRESHOLD,
      cpuPercent: config.WAL_CPU_THRESHOLD,
    },
    now: () => deps.clock.now(),
  };
}

function gatewaysOf({ registration, feed }: Following): GatewayStatus[] {
  return registration.gateways.map(({ id, address, version, startedAt, seenMsAgo, nodesReached }) => ({
    id,
    address,
    version,
    leads: id === feed.state?.holder,
    startedAt: startedAt.toISOString(),
    seenMsAgo: Math.round(seenMsAgo),
    nodesReached,
  }));
}

/** Why this gateway refuses reads, and writes: what /ready and /health say. */
function servingOf({
  replication: { leader, nodes, view, knowledge },
  departure,
}: Pick<ListenerParts, 'replication' | 'departure'>): Serving {
  const isServed = nodes.all().some(({ member }) => canServe(member.state));
  const noPrimary = leader.primary.node === null ? 'no primary is chosen yet' : null;
  const unknown = departure.hasBegun ? 'this gateway is stopping' : (knowledge.refusal()?.message ?? null);
  return {
    reads: unknown ?? (isServed ? noPrimary : 'no node serves'),
    writes: view.writable()?.message ?? noPrimary,
  };
}

function nodeSources({
  deps,
  storage,
  replication,
}: Pick<ListenerParts, 'deps' | 'storage' | 'replication'>): readonly NodeSource[] {
  const { catalog } = storage;
  return replication.nodes.all().map(({ member, applier, workload, calls }) => ({
    member,
    // A node that is not followed has the checkpoint that PostgreSQL knows.
    checkpoint: Math.max(
      applier.checkpoint,
      replication.positions.applied(member.id),
      storage.nodes.lastCheckpoint(member.id),
    ),
    lag: (now) => applier.lag(now),
    work: () => workload.current,
    failing: () => applier.failing,
    verification: () => replication.verification.returns.progress(member.id),
    suspects: (max) => catalog.suspects(member.id, max),
    rounds: () => applier.rounds,
    calls: () => calls.total,
    pid: deps.nodePid(member.url),
  }));
}

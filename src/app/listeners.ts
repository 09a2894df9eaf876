// The listeners: where clients and operators reach this gateway, and what /health and /status tell them.

import { adminRouter, statusRoutes } from '../api/admin/routes.ts';
import type { StatusSource } from '../api/admin/status.ts';
import { olderRouter } from '../api/v1/front-end.ts';
import { forOlderPython } from '../api/v1/older-python.ts';
import { ERROR_RESPONSES } from '../api/v2/error-responses.ts';
import { chromaRouter } from '../api/v2/front-end.ts';
import { knowingRouter } from '../api/v2/knowing-router.ts';
import { allowAll } from '../auth/allow-all.ts';
import type { Config } from '../config/config.ts';
import { joinRouters } from '../http/router.ts';
import { startServer, type RunningServer, type ServerOptions } from '../http/server.ts';
import type { MetricsRegistry } from '../observability/metrics-registry.ts';
import type { DataPlane } from './data-plane.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import { buildOperatorRouter } from './operator.ts';
import type { Replication } from './replication.ts';
import type { Storage } from './storage.ts';

export interface Listeners {
  /** Where clients reach it; known once it has started. */
  url(): string;
}

interface ListenerParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly dataPlane: DataPlane;
  readonly replication: Replication;
  readonly status: StatusSource;
  readonly metrics: MetricsRegistry;
}

// Chroma's servers refuse larger bodies.
const BODY_BYTES_MAX = 40 * 1024 * 1024;
// Operators' routes read no body, and have few clients.
const ADMIN_BODY_BYTES_MAX = 64 * 1024;
const ADMIN_CONNECTIONS_MAX = 100;
const STOP_DEADLINE_MS = 10_000;

export function buildListeners(config: Config, parts: ListenerParts, life: Lifecycle): Listeners {
  const { deps, storage, dataPlane, metrics } = parts;
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
  const api = knowingRouter(joinRouters(older, chroma), parts.replication.knowledge);
  const status = adminRouter(statusRoutes(parts.status));
  const operator = buildOperatorRouter(config, parts, life);
  const shared = {
    host: config.HOST,
    errors: ERROR_RESPONSES,
    clock: deps.clock,
    logger: deps.logger,
    responseBudget: dataPlane.responseBudget,
  };
  const adminPort = config.ADMIN_PORT ?? null;
  if (adminPort !== null) {
    listen({ life, metrics }, 'admin_listener', {
      ...shared,
      port: adminPort,
      router: joinRouters(status, operator),
      maxBodyBytes: ADMIN_BODY_BYTES_MAX,
      bodyBudgetBytes: ADMIN_BODY_BYTES_MAX,
      corsAllowOrigins: [],
      limits: { connectionsMax: ADMIN_CONNECTIONS_MAX },
    });
  }
  const server = listen({ life, metrics }, 'listener', {
    ...shared,
    port: config.PORT,
    router: adminPort === null ? joinRouters(api, status, operator) : joinRouters(api, status),
    maxBodyBytes: BODY_BYTES_MAX,
    bodyBudgetBytes: config.BODY_BUDGET_BYTES,
    corsAllowOrigins: config.CORS_ALLOW_ORIGINS,
  });
  return { url: () => server().url };
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

/** What /health, /status and /wal/status are made from. */
export function statusSource(
  deps: Deps,
  storage: Storage,
  parts: Replication & DataPlane & { metrics: MetricsRegistry },
): StatusSource {
  const { leader, logBuffer, retention, appender, positions, nodes, recordReads, metrics, verification } =
    parts;
  const { catalog, decisions } = storage;
  return {
    gatewayId: deps.gatewayId,
    term: () => leader.term,
    halted: () => leader.halted,
    primary: () => leader.primary.node,
    head: () => logBuffer.head,
    trimmed: () => retention.trimmed,
    waiting: () => ({ append: appender.waiting, acknowledgement: positions.waiting }),
    reads: () => recordReads.counts,
    metrics: () => metrics.snapshot(),
    nodes: () =>
      nodes.all().map(({ member, applier, workload }) => ({
        member,
        // A node that is not followed has the checkpoint that PostgreSQL knows.
        checkpoint: Math.max(
          applier.checkpoint,
          positions.applied(member.id),
          storage.nodes.lastCheckpoint(member.id),
        ),
        lag: (now) => applier.lag(now),
        work: () => workload.current,
        failing: () => applier.failing,
        verification: () => verification.returns.progress(member.id),
        suspects: (max) => catalog.suspects(member.id, max),
        pid: deps.nodePid(member.id),
      })),
    quarantined: () => decisions.openQuarantine,
    now: () => deps.clock.now(),
  };
}

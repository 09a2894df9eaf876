// The listeners: where clients and operators reach this gateway, and what /health and /status tell them.

import { adminRouter, statusRoutes } from '../api/admin/routes.ts';
import type { StatusSource } from '../api/admin/status.ts';
import { ERROR_RESPONSES } from '../api/v2/error-responses.ts';
import { chromaRouter } from '../api/v2/front-end.ts';
import { allowAll } from '../auth/allow-all.ts';
import type { Config } from '../config/config.ts';
import { joinRouters } from '../http/router.ts';
import { startServer, type RunningServer } from '../http/server.ts';
import type { DataPlane } from './data-plane.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Replication } from './replication.ts';
import type { Storage } from './storage.ts';

export interface Listeners {
  /** Where clients reach it; known once it has started. */
  url(): string;
}

// Chroma's servers refuse larger bodies.
const BODY_BYTES_MAX = 40 * 1024 * 1024;
const STOP_DEADLINE_MS = 10_000;

export function buildListeners(
  config: Config,
  parts: { deps: Deps; storage: Storage; dataPlane: DataPlane; status: StatusSource },
  life: Lifecycle,
): Listeners {
  const { deps, storage, dataPlane, status } = parts;
  const chroma = chromaRouter({
    handlers: dataPlane.handlers,
    capabilities: () => storage.capabilities.current,
    authorizer: allowAll,
  });
  let server: RunningServer | null = null;
  life.add({
    name: 'listener',
    start: async () => {
      server = await startServer({
        host: config.HOST,
        port: config.PORT,
        clock: deps.clock,
        logger: deps.logger,
        maxBodyBytes: BODY_BYTES_MAX,
        bodyBudgetBytes: config.BODY_BUDGET_BYTES,
        responseBudget: dataPlane.responseBudget,
        corsAllowOrigins: config.CORS_ALLOW_ORIGINS,
        errors: ERROR_RESPONSES,
        router: joinRouters(adminRouter(statusRoutes(status)), chroma),
      });
    },
    stop: async () => server?.stop(STOP_DEADLINE_MS),
  });
  return {
    url: () => {
      if (server === null) throw new Error('The gateway has not started.');
      return server.url;
    },
  };
}

/** What /health, /status and /wal/status are made from. */
export function statusSource(deps: Deps, storage: Storage, parts: Replication & DataPlane): StatusSource {
  const { leader, logBuffer, retention, appender, positions, nodes, recordReads } = parts;
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
        suspects: (max) => catalog.suspects(member.id, max),
        pid: deps.nodePid(member.id),
      })),
    quarantined: () => decisions.quarantined.filter((lsn) => lsn > retention.trimmed),
    now: () => deps.clock.now(),
  };
}

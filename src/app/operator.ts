// The operator API: the routes under /admin, and the operations they start.

import { operatorAccess } from '../api/admin/access.ts';
import { alertRoutes } from '../api/admin/alerts.ts';
import { eventRoutes } from '../api/admin/events.ts';
import { logRoutes } from '../api/admin/log.ts';
import { nodeRoutes, type NodeActions } from '../api/admin/nodes.ts';
import { operationRoutes } from '../api/admin/operation-routes.ts';
import { Operations } from '../api/admin/operations.ts';
import { QuarantineRetry } from '../api/admin/quarantine-retry.ts';
import { quarantineRoutes } from '../api/admin/quarantine.ts';
import { adminRouter } from '../api/admin/routes.ts';
import { scrubRoutes } from '../api/admin/scrub.ts';
import { slowRoutes } from '../api/admin/slow.ts';
import type { StatusSource } from '../api/admin/status-source.ts';
import type { Config } from '../config/config.ts';
import type { Router } from '../http/router.ts';
import { NodeChanges } from '../replication/node-changes.ts';
import type { Alerts } from './alerts.ts';
import type { DataPlane } from './data-plane.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Replication } from './replication.ts';
import type { Storage } from './storage.ts';

interface OperatorParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly dataPlane: DataPlane;
  readonly replication: Replication;
  readonly status: StatusSource;
  readonly alerts: Alerts;
}

export function buildOperatorRouter(config: Config, parts: OperatorParts, life: Lifecycle): Router {
  const { storage, deps, alerts } = parts;
  const { quarantine, catalog, events, eventStore, log, slowRequests } = storage;
  const { logger } = deps;
  const operations = new Operations(deps);
  life.add({ name: 'operations', stop: () => operations.stop() });
  const actions = nodeActions(parts);
  const retry = buildQuarantineRetry(parts);
  const routes = [
    ...logRoutes(log, catalog),
    ...slowRoutes(slowRequests),
    ...alertRoutes({ store: storage.alerts, ...alerts }),
    ...operationRoutes(operations),
    ...nodeRoutes({ status: parts.status, operations, actions }),
    ...quarantineRoutes({ quarantine, retry, catalog, events, logger }),
    ...eventRoutes(eventStore),
    ...scrubRoutes({ scrub: parts.replication.verification.scrub, operations, events }),
  ];
  return adminRouter(routes, operatorAccess(config.ADMIN_TOKEN ?? null));
}

/** What operators can do to a node. */
function nodeActions({ deps, replication }: OperatorParts): NodeActions {
  const { nodes, leader, positions, logBuffer } = replication;
  const changes = new NodeChanges({ leader, followers: nodes, positions, logBuffer, clock: deps.clock });
  return {
    promote: (id) => {
      changes.require(id);
      return (report, signal) => changes.promote(id, report, signal);
    },
    verify: (id) => {
      changes.require(id);
      return (report, signal) => replication.verification.node.verify(id, report, signal);
    },
  };
}

function buildQuarantineRetry({ deps, storage, dataPlane }: OperatorParts): QuarantineRetry {
  const { catalog, quarantine, capabilities } = storage;
  const { scanner, selection, writer } = dataPlane;
  return new QuarantineRetry({
    quarantine,
    catalog,
    scanner,
    selection,
    writer,
    capabilities: () => capabilities.current,
    logger: deps.logger,
  });
}

// The operator API: the routes under /admin, and the operations they start.

import { operatorAccess } from '../api/admin/access.ts';
import { alertRoutes } from '../api/admin/alerts.ts';
import { eventRoutes } from '../api/admin/events.ts';
import { historyRoutes } from '../api/admin/history.ts';
import { logLossRoutes, logRoutes } from '../api/admin/log.ts';
import { nodeRoutes, type NodeActions } from '../api/admin/nodes.ts';
import { operationRoutes } from '../api/admin/operation-routes.ts';
import { Operations, type OperationWork } from '../api/admin/operations.ts';
import { QuarantineRetry } from '../api/admin/quarantine-retry.ts';
import { quarantineRoutes } from '../api/admin/quarantine.ts';
import { adminRouter } from '../api/admin/routes.ts';
import { scrubRoutes } from '../api/admin/scrub.ts';
import { slowRoutes } from '../api/admin/slow.ts';
import type { StatusSource } from '../api/admin/status-source.ts';
import type { Config } from '../config/config.ts';
import { PolychromeError, StartupError } from '../errors.ts';
import type { Router } from '../http/router.ts';
import { follows } from '../nodes/node-state.ts';
import { NodeRebuild } from '../repair/node-rebuild.ts';
import { NodeChanges } from '../replication/node-changes.ts';
import type { Alerts } from './alerts.ts';
import type { DataPlane } from './data-plane.ts';
import type { Deps } from './deps.ts';
import { joinRefusal } from './join-refusal.ts';
import type { Lifecycle } from './lifecycle.ts';
import { inspectLoss, recoverLog } from './log-recovery.ts';
import type { Replication } from './replication.ts';
import type { Storage } from './storage.ts';

interface OperatorParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly dataPlane: DataPlane;
  readonly replication: Replication;
  readonly status: StatusSource;
  readonly alerts: Alerts;
  /** Has this gateway built anew. */
  readonly restart: () => void;
}

// Clients that follow an operation ask for it several times a second, and a gateway built anew no longer knows it.
const RESTART_AFTER_MS = 2_000;

/** The operator API, and what the dashboard shares with it. */
export interface OperatorApiParts {
  readonly router: Router;
  readonly operations: Operations;
  /** What operators can do to a node. */
  readonly nodeActions: readonly string[];
}

export function buildOperatorRouter(config: Config, parts: OperatorParts, life: Lifecycle): OperatorApiParts {
  const { storage, deps, alerts } = parts;
  const { quarantine, catalog, events, eventStore, log, slowRequests } = storage;
  const { logger } = deps;
  const operations = new Operations(deps);
  life.add({ name: 'operations', stop: () => operations.stop() });
  const actions = nodeActions(parts);
  const retry = buildQuarantineRetry(parts);
  const routes = [
    ...logRoutes(log, catalog),
    ...logLossRoutes({ ...logLoss(config, parts), operations, events }),
    ...slowRoutes(slowRequests),
    ...alertRoutes({ store: storage.alerts, ...alerts }),
    ...operationRoutes(operations),
    ...nodeRoutes({ status: parts.status, operations, actions }),
    ...quarantineRoutes({ quarantine, retry, catalog, events, logger }),
    ...eventRoutes(eventStore),
    ...historyRoutes({ store: storage.history, now: () => deps.clock.now() }),
    ...scrubRoutes({ scrub: parts.replication.verification.scrub, operations, events }),
  ];
  return {
    router: adminRouter(routes, operatorAccess(config.ADMIN_TOKEN ?? null)),
    operations,
    nodeActions: Object.keys(actions),
  };
}

/** What the log has lost, and the way on without it: this gateway leads no more, and is built anew afterwards. */
function logLoss(
  config: Config,
  { deps, replication, restart }: OperatorParts,
): { inspect: () => Promise<object>; recover: OperationWork } {
  const explained = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof StartupError)) throw error;
      throw new PolychromeError('conflict', error.message, { cause: error });
    }
  };
  return {
    inspect: () => explained(inspectLoss(config)),
    async recover(report) {
      report({ phase: 'giving up the lease', done: 0, total: 0, unit: 'steps' });
      await replication.stopLeading();
      try {
        return await explained(recoverLog(config, report));
      } finally {
        deps.clock.after(RESTART_AFTER_MS, restart);
      }
    },
  };
}

/** What operators can do to a node. */
function nodeActions(parts: OperatorParts): NodeActions {
  const changes = buildNodeChanges(parts);
  const rebuild = buildNodeRebuild(parts);
  /** An action on a node that exists; refused at once when there is none, or this gateway does not lead. */
  const change =
    (action: 'promote' | 'drain' | 'undrain' | 'remove'): NodeActions[string] =>
    (id) => {
      changes.require(id);
      return (report, signal) => changes[action](id, { report, signal });
    };
  return {
    promote: change('promote'),
    drain: change('drain'),
    undrain: change('undrain'),
    remove: change('remove'),
    add: (id, query) => {
      const url = query.get('url') ?? '';
      if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
        throw new PolychromeError('invalid_argument', 'url must begin with http:// or https://.');
      return (report, signal) => changes.add(id, url, { report, signal });
    },
    verify: (id) => {
      changes.require(id);
      return (report, signal) => parts.replication.verification.node.verify(id, report, signal);
    },
    rebuild: (id, query) => {
      changes.require(id);
      const shards = rebuild.shardsOf(id, query.get('collection'));
      return (report, signal) => {
        parts.storage.events.record('operator_action', { action: 'node rebuild', node: id });
        return rebuild.run(id, shards, { report, signal });
      };
    },
  };
}

function buildNodeChanges({ deps, storage, replication }: OperatorParts): NodeChanges {
  const { nodes, nodeList, leader, positions, logBuffer } = replication;
  const { catalog, members, events } = storage;
  const { clock } = deps;
  return new NodeChanges({
    leader,
    followers: nodes,
    store: members,
    refresh: () => nodeList.refresh(),
    refusal: joinRefusal(deps),
    onlyCopies: (node, others) => catalog.onlyHealthyOn(node, others),
    events,
    positions,
    logBuffer,
    clock,
  });
}

function buildNodeRebuild({ deps, storage, replication }: OperatorParts): NodeRebuild {
  const { nodes, leader, rebuilds, suspects } = replication;
  return new NodeRebuild({
    catalog: storage.catalog,
    rebuilds,
    nodes: () => nodes.ids(),
    refusal: (node) => {
      const { state, reason } = nodes.get(node).member;
      return follows(state) ? null : `Node "${node}" is ${state}${reason === null ? '' : ` (${reason})`}.`;
    },
    markSuspect: (node, shard, reason, term) => suspects.add(node, shard, reason, term),
    term: () => leader.term,
    clock: deps.clock,
  });
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

// The dashboard under /ui/: its files, its live stream, and the reads of its record browser and query console.

import { pageAccess, operatorAccess } from '../api/admin/access.ts';
import type { Operations } from '../api/admin/operations.ts';
import { adminRouter } from '../api/admin/routes.ts';
import type { StatusSource } from '../api/admin/status-source.ts';
import { knownStateRouter } from '../api/v2/known-state-router.ts';
import { readUiFiles, uiFileRoutes } from '../api/ui/files.ts';
import { LiveFeed, type LiveCollection } from '../api/ui/live-feed.ts';
import { LiveStream } from '../api/ui/live-stream.ts';
import { recordRoutes } from '../api/ui/record-routes.ts';
import { TrafficMeter } from '../api/ui/traffic.ts';
import type { Collection } from '../catalog/catalog.ts';
import { onlyShard } from '../catalog/only-shard.ts';
import { recordsPath } from '../chroma/protocol/paths.ts';
import type { Config } from '../config/config.ts';
import { joinRouters, type Router } from '../http/router.ts';
import { CollectionSizes } from '../read/collection-sizes.ts';
import { readFromEachNode } from '../read/each-node.ts';
import type { Alerts } from './alerts.ts';
import { filterLimits } from './data-plane.ts';
import type { GatewayCore } from './metrics.ts';

export interface DashboardParts extends GatewayCore {
  readonly status: StatusSource;
  readonly alerts: Alerts;
  readonly operations: Operations;
  /** What operators can do to a node. */
  readonly nodeActions: readonly string[];
}

export interface Dashboard {
  readonly router: Router;
  readonly live: LiveStream;
}

/** The route of the live stream, which is served for as long as a dashboard is open. */
export const LIVE_ROUTE = 'GET /ui/live';

export function buildDashboard(config: Config, parts: DashboardParts): Dashboard {
  const { deps, storage, dataPlane, replication } = parts;
  const { catalog } = storage;
  const feed = buildFeed(parts);
  const live = new LiveStream({
    clock: deps.clock,
    produce: (stream, signal) => feed.produce(stream, signal),
  });
  const each = {
    nodes: () => replication.nodes.all(),
    view: replication.view,
    physicalId: (node: string, shard: string) => catalog.physical(node, shard)?.physical ?? null,
    clock: deps.clock,
  };
  const records = recordRoutes({
    catalog,
    handlers: dataPlane.recordReads.handlers,
    eachNode: (read) => readFromEachNode(each, read),
    scanner: dataPlane.scanner,
    filterLimits: filterLimits(config),
  });
  const token = config.ADMIN_TOKEN ?? null;
  const stream = { method: 'GET', path: '/ui/live', handle: live.handle } as const;
  return {
    router: joinRouters(
      adminRouter(uiFileRoutes(readUiFiles()), pageAccess(token)),
      adminRouter([stream], operatorAccess(token)),
      knownStateRouter(adminRouter(records, operatorAccess(token)), replication.following.known),
    ),
    live,
  };
}

function buildFeed(parts: DashboardParts): LiveFeed {
  const { deps, storage, caches, dataPlane, observation, status, alerts, operations } = parts;
  const { catalog } = storage;
  const { clock } = deps;
  const sizes = new CollectionSizes({
    shards: () => catalog.shards(),
    positionOf: (shard) => caches.heads.get(shard),
    count: async (shard, signal) => {
      const collection = catalog.collectionOfShard(shard);
      if (collection === null) return 0;
      const path = (physical: string): string => recordsPath(collection, physical, 'count');
      const requirements = { shard, floor: caches.floors.shard(shard), sticky: false };
      return Number(
        (await dataPlane.reader.readBody(requirements, { method: 'GET', path }, signal)).toString(),
      );
    },
    clock,
  });
  return new LiveFeed({
    status,
    traffic: new TrafficMeter({ requests: observation.requests, log: observation.log, nodes: status.nodes }),
    sizes,
    collections: (max) => collectionsOf(parts, sizes, max),
    collectionCount: () => catalog.shards().length,
    conditions: alerts.conditions,
    openAlerts: () => storage.alerts.listAll(),
    events: (limit) =>
      storage.eventStore.list({ before: null, after: null, kind: null, level: null, node: null, limit }),
    operations,
    actions: parts.nodeActions,
    clock,
  });
}

function collectionsOf(
  { storage, status }: DashboardParts,
  sizes: CollectionSizes,
  max: number,
): LiveCollection[] {
  const { catalog } = storage;
  const nodes = status.nodes().map(({ member }) => member.id);
  const shown = (collection: Collection): LiveCollection => {
    const { id, tenant, database, name } = collection;
    const shard = onlyShard(collection);
    return {
      id,
      tenant,
      database,
      name,
      dimension: shard.dimension,
      records: sizes.of(shard.id),
      suspectOn: nodes.filter((node) => catalog.isSuspect(node, shard.id)),
    };
  };
  return catalog
    .shards()
    .slice(0, max)
    .map((shard) => catalog.collectionOfShard(shard))
    .filter((collection) => collection !== null)
    .map(shown);
}

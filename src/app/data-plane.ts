// Builds the handlers of client requests, by route: reads, writes and the catalog.

import { BodyProbe } from '../api/v2/body-probe.ts';
import { CollectionObjects } from '../api/v2/collection-objects.ts';
import { SchemaRoutes, schemaRoutes } from '../api/v2/collections.ts';
import { withSmallBodies } from '../api/v2/small-bodies.ts';
import { descriptionRoutes } from '../api/v2/openapi.ts';
import { RecordReads } from '../api/v2/record-reads.ts';
import { recordWrites } from '../api/v2/record-writes.ts';
import { Names } from '../api/v2/resolve.ts';
import { localRoutes } from '../api/v2/server-info.ts';
import { unsupportedRoutes } from '../api/v2/unsupported.ts';
import type { FilterLimits } from '../chroma/parse/filter-limits.ts';
import { LargeScanner } from '../chroma/parse/large-scanner.ts';
import type { Config } from '../config/config.ts';
import { ResponseBudget } from '../http/response-budget.ts';
import { canServe } from '../nodes/node-state.ts';
import { ReadFloors } from '../read/consistency.ts';
import { NodeSelection } from '../read/node-selection.ts';
import { ReadHealth } from '../read/read-health.ts';
import { ReadVerification } from '../read/read-verification.ts';
import { ReadRanking } from '../read/read-ranking.ts';
import { Reader, type ServedGet } from '../read/reader.ts';
import { RetryBudget } from '../read/retry-budget.ts';
import { ShardHeads } from '../read/shard-heads.ts';
import { responsesDiffer } from '../repair/comparison-queue.ts';
import { Backlog } from '../write/backlog.ts';
import { Writer } from '../write/writer.ts';
import { buildBackPressure, type BackPressure } from './back-pressure.ts';
import type { Caches } from './caches.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Replication } from './replication.ts';
import type { Storage } from './storage.ts';

export interface DataPlane {
  readonly handlers: ReturnType<typeof buildHandlers>;
  readonly recordReads: RecordReads;
  readonly reader: Reader;
  readonly writer: Writer;
  readonly backPressure: BackPressure;
  readonly responseBudget: ResponseBudget;
  readonly scanner: LargeScanner;
  readonly selection: NodeSelection;
  /** How nodes have responded to reads. */
  readonly health: ReadHealth;
  readonly retryBudget: RetryBudget;
  readonly readVerification: ReadVerification;
}

interface Parts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly caches: Caches;
  readonly replication: Replication;
}

export function buildDataPlane(config: Config, parts: Parts, life: Lifecycle): DataPlane {
  const { deps, storage, replication } = parts;
  const { clock, logger } = deps;
  const { catalog, capabilities, scanner } = storage;
  const { nodes, view } = replication;
  const names = new Names(catalog, () => ({ modern: capabilities.current.deleteLimit }));
  const health = new ReadHealth({ clock, logger });
  const selection = new NodeSelection({
    nodes: () => nodes.all(),
    view,
    physicalId: (node, shard) => catalog.physical(node, shard)?.physical ?? null,
    ranking: new ReadRanking({
      strategy: config.LOAD_BALANCE_STRATEGY,
      replicaRatio: config.READ_REPLICA_RATIO,
      localNodes: config.LOCAL_NODES,
      priorities: config.NODE_PRIORITIES,
      health,
      random: deps.random,
    }),
  });
  const responseBudget = new ResponseBudget({ clock });
  const timeoutMs = config.READ_TIMEOUT_MS;
  const retryBudget = new RetryBudget(config.READ_RETRY_RATIO, clock);
  const limits = { timeoutMs, responseBudget, retryBudget };
  const readVerification = buildReadVerification(config, parts, selection);
  const onGetServed = (get: ServedGet): void => readVerification.served(get);
  const reader = new Reader({ selection, view, clock, logger, health, onGetServed, ...limits });
  const backPressure = buildBackPressure(config, replication, deps);
  const writer = buildWriter(config, parts, backPressure);
  const bodyProbe = new BodyProbe(() => {
    const selected = selection.selectNow({ shard: null, floor: 0, sticky: false });
    return selected?.node.client ?? null;
  });
  const recordReads = buildRecordReads(config, parts, { scanner, reader, names, bodyProbe }, life);
  const handlers = buildHandlers(config, parts, {
    scanner,
    reader,
    names,
    bodyProbe,
    selection,
    writer,
    recordReads,
  });
  return {
    handlers,
    recordReads,
    reader,
    writer,
    backPressure,
    responseBudget,
    scanner,
    selection,
    health,
    retryBudget,
    readVerification,
  };
}

function buildReadVerification(
  config: Config,
  { deps, caches, replication }: Parts,
  selection: NodeSelection,
): ReadVerification {
  return new ReadVerification({
    ratio: config.READ_VERIFY_RATIO,
    selection,
    heads: caches.heads,
    random: deps.random,
    differs: responsesDiffer,
    onDifference: (shard) => replication.verification.queue.add(shard),
  });
}

function buildWriter(
  config: Config,
  { deps, storage, caches, replication }: Parts,
  backPressure: BackPressure,
): Writer {
  const { nodes, view, appender } = replication;
  const { clock } = deps;
  const msOf = (work: number): number => {
    const primary = view.primary();
    return primary === null ? 0 : nodes.get(primary).workload.expectedMs(work);
  };
  return new Writer({
    backlog: new Backlog({ view, msOf }),
    appender,
    view,
    decisions: storage.decisions,
    floors: caches.floors,
    clock,
    refreshCatalog: () => storage.catalog.refresh(),
    backPressure,
    timeoutMs: config.WRITE_TIMEOUT_MS,
    leaseMs: config.LEASE_MS,
  });
}

interface Readers {
  readonly scanner: LargeScanner;
  readonly reader: Reader;
  readonly names: Names;
  readonly bodyProbe: BodyProbe;
}

function buildRecordReads(
  config: Config,
  { deps, storage, caches, replication }: Parts,
  readers: Readers,
  life: Lifecycle,
): RecordReads {
  const stopping = new AbortController();
  life.add({ name: 'background reads', stop: async () => stopping.abort() });
  return new RecordReads({
    ...readers,
    filterLimits: filterLimits(config),
    floors: new ReadFloors({
      floors: caches.floors,
      heads: new ShardHeads({ ask: (shards) => storage.log.positions(shards), clock: deps.clock }),
      knownHead: () => replication.logBuffer.head,
      level: replication.following.level,
      knownShard: (shard) => (replication.knowledge.hasOthers ? caches.heads.get(shard) : null),
      boundedLagMs: config.BOUNDED_LAG_MS,
    }),
    heads: caches.heads,
    cache: caches.responses,
    records: caches.records,
    serving: () => replication.nodes.all().filter(({ member }) => canServe(member.state)).length,
    clock: deps.clock,
    stopped: stopping.signal,
  });
}

function buildHandlers(
  config: Config,
  { deps, storage, caches }: Parts,
  built: Readers & { selection: NodeSelection; writer: Writer; recordReads: RecordReads },
) {
  const { scanner, reader, names, bodyProbe, selection, writer, recordReads } = built;
  const { floors } = caches;
  const { catalog } = storage;
  const capabilities = () => storage.capabilities.current;
  const shared = { writer, reader, names, floors, capabilities };
  const objects = new CollectionObjects({ catalog, reader, floors });
  const { newId, clock } = deps;
  const allowReset = config.ALLOW_RESET;
  return {
    ...localRoutes({ capabilities, clock }),
    ...recordWrites({
      ...shared,
      scanner,
      filterLimits: filterLimits(config),
      selection,
      ackLevel: config.ACK_LEVEL,
      recordsMax: config.WRITE_RECORDS_MAX,
      clock,
      timeoutMs: config.WRITE_TIMEOUT_MS,
    }),
    ...recordReads.handlers,
    ...withSmallBodies({
      ...schemaRoutes(new SchemaRoutes({ ...shared, objects, bodyProbe, catalog, newId, allowReset })),
      ...unsupportedRoutes(shared),
    }),
    ...descriptionRoutes(reader),
  };
}

export function filterLimits(config: Config): FilterLimits {
  return {
    conditionsMax: config.FILTER_CONDITIONS_MAX,
    operandsMax: config.FILTER_OPERANDS_MAX,
    depthMax: config.FILTER_DEPTH_MAX,
    patternBytesMax: config.FILTER_PATTERN_BYTES_MAX,
  };
}

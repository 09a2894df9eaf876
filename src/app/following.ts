// What a gateway learns from PostgreSQL about the cluster, whether it leads or not.

import type { KnownState } from '../api/v2/known-state-router.ts';
import type { Config } from '../config/config.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import type { Knowledge } from '../coordination/knowledge.ts';
import type { Lease } from '../coordination/lease.ts';
import { ReachComparison } from '../coordination/reach-comparison.ts';
import { Registration } from '../coordination/registration.ts';
import type { Appender } from '../log/appender.ts';
import type { EntryPublisher } from '../log/entry-publisher.ts';
import type { LogBuffer } from '../log/log-buffer.ts';
import { LogFeed } from '../log/log-feed.ts';
import type { NodeList } from '../nodes/node-list.ts';
import { canServe } from '../nodes/node-state.ts';
import type { Announced } from '../nodes/probe.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import type { StateRecorder } from '../nodes/state-recorder.ts';
import type { ClusterSnapshot } from '../coordination/cluster-snapshot.ts';
import { ClusterFeed } from '../replication/cluster-feed.ts';
import type { Leader } from '../replication/leader.ts';
import type { LogComparison } from '../replication/log-comparison.ts';
import type { Positions } from '../replication/positions.ts';
import { RecordedNodes } from '../replication/recorded-nodes.ts';
import { servedLevel, type Consistency } from '../read/consistency.ts';
import { sleep } from '../util/clock.ts';
import type { Caches } from './caches.ts';
import type { Deps } from './deps.ts';
import type { BuiltNode } from './nodes.ts';
import type { Storage } from './storage.ts';

export interface Following {
  readonly feed: ClusterFeed;
  readonly logFeed: LogFeed;
  readonly recorded: RecordedNodes;
  readonly registration: Registration;
  /** Whether another gateway leads, as far as this one knows. */
  readonly follows: () => boolean;
  /** The consistency level at which a read is served that names this one, or none. */
  readonly level: <Level extends string>(named: Level | null, echoes: boolean) => Level | Consistency;
  /** The highest durable checkpoint of the nodes that count; null while it is not known. */
  readonly furthest: () => number | null;
  /** Gives up this lease when another gateway reaches more nodes. */
  readonly reachComparison: (lease: Lease) => ReachComparison;
  /** What requests are served from. */
  readonly known: KnownState;
  /** Whether a marker announces that a copy may be suspect without this gateway knowing. */
  readonly isNewer: (announced: Announced) => boolean;
}

export interface FollowingParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly caches: Caches;
  readonly current: CurrentTerm;
  readonly knowledge: Knowledge;
  readonly nodes: NodeRegistry<BuiltNode>;
  readonly positions: Positions;
  readonly logBuffer: LogBuffer;
  readonly publisher: EntryPublisher;
  readonly comparison: Pick<LogComparison, 'request' | 'resume'>;
  readonly states: StateRecorder;
  /** What is built after this; asked for once the gateway runs. */
  readonly later: () => {
    readonly appender: Appender;
    readonly leader: Leader;
    readonly nodeList: NodeList<BuiltNode>;
  };
}

// An append of a healthy PostgreSQL takes less; entries of one that takes longer are read.
const APPEND_MS_MAX = 50;

export function buildFollowing(config: Config, parts: FollowingParts): Following {
  const { deps, storage, caches, current, knowledge, nodes, positions, logBuffer, states, later } = parts;
  const { clock, logger } = deps;
  const logFeed = buildLogFeed(parts, () => feed);
  const recorded = new RecordedNodes({
    find: (id) => nodes.find(id),
    resetsOf: (id) => later().nodeList.resetsOf(id),
    onApplied: (node, lsn) => {
      if (lsn > positions.applied(node)) positions.nodeApplied(node, lsn);
    },
    cluster: storage.head.cluster,
    logger,
  });
  const feed = new ClusterFeed({
    store: storage.clusterState,
    current,
    knowledge,
    logFeed,
    knownHead: () => logBuffer.head,
    onReplaced: () => parts.comparison.request(true),
    positions,
    loadView: viewLoader(parts),
    loadCatalog: (state) => loadCatalog(parts, state),
    onLoaded: (state) => {
      states.reconcile(state.nodes);
      parts.comparison.resume();
    },
    follow: (state) => {
      // The records are its own, and what it knows by itself is newer.
      if (state.holder === deps.gatewayId) return;
      later().leader.follow({ node: state.primary, generation: state.primaryGeneration });
      recorded.follow(state);
    },
    onAlone: () => caches.floors.raiseShards(caches.heads),
    raiseSchemaFloor: (lsn) => caches.floors.raiseSchema(lsn),
    leaseMs: config.LEASE_MS,
    clock,
    logger,
  });
  const follows = (): boolean => {
    const holder = feed.state?.holder ?? null;
    return current.term === null && holder !== null && holder !== deps.gatewayId;
  };
  const level = levelsOf(config, parts);
  const known = knownState(knowledge, feed, level);
  const registration = buildRegistration(config, parts);
  return {
    feed,
    logFeed,
    recorded,
    registration,
    follows,
    level,
    known,
    furthest: () => furthestOf(feed.state),
    isNewer: markerReader(parts, () => feed.state),
    reachComparison: (lease) => buildReachComparison(config, parts, registration, lease),
  };
}

function furthestOf(state: ClusterSnapshot | null): number | null {
  const counted = state?.nodes.filter(({ counts }) => counts) ?? [];
  return counted.length === 0 ? null : Math.max(...counted.map(({ checkpoint }) => checkpoint));
}

function buildReachComparison(
  { LEASE_MS: leaseMs }: Config,
  { deps: { gatewayId, clock, logger }, nodes }: FollowingParts,
  registration: Registration,
  lease: Lease,
): ReachComparison {
  // A busy node may not respond to probes.
  const isReached = ({ member }: BuiltNode): boolean => member.isReached || canServe(member.state);
  return new ReachComparison({
    gatewayId,
    nodesReached: () => nodes.all().filter(isReached).length,
    gateways: () => registration.gateways,
    abstain: (forMs) => lease.abstain(forMs),
    leaseMs,
    clock,
    logger,
  });
}

function buildLogFeed(
  { deps, storage, caches, current, logBuffer, publisher, later }: FollowingParts,
  feed: () => ClusterFeed,
): LogFeed {
  return new LogFeed({
    buffer: logBuffer,
    publisher,
    log: storage.log,
    onChanges: (changes) => caches.invalidation.committed(changes),
    onEntries: (changes) => feed().entries(changes),
    leads: () => current.term !== null,
    onGap: () => feed().poke(),
    appendInFlight: async () => {
      const { inFlight } = later().appender;
      if (inFlight !== null) await Promise.race([inFlight, sleep(deps.clock, APPEND_MS_MAX)]);
    },
  });
}

function buildRegistration(
  config: Config,
  { deps, storage, knowledge, nodes }: FollowingParts,
): Registration {
  return new Registration({
    store: storage.gateways,
    knowledge,
    description: () => deps.gateway,
    nodesReached: () => nodes.all().filter(({ member }) => member.isReached).length,
    leaseMs: config.LEASE_MS,
    clock: deps.clock,
    logger: deps.logger,
  });
}

/** R17: what markers say to a gateway that cannot ask PostgreSQL. */
function markerReader(
  { storage: { catalog }, current, knowledge }: FollowingParts,
  state: () => ClusterSnapshot | null,
): Following['isNewer'] {
  return ({ view, epoch }) => {
    if (epoch > Math.max(current.lastEpoch, state()?.epoch ?? 0)) knowledge.superseded();
    return view > catalog.view && !knowledge.isCurrent;
  };
}

function levelsOf(
  { CONSISTENCY }: Config,
  { deps: { sharesPort }, knowledge }: FollowingParts,
): Following['level'] {
  return (named, echoes) =>
    servedLevel(named ?? CONSISTENCY ?? null, { sharesPort, echoes, hasOthers: knowledge.hasOthers });
}

function knownState(knowledge: Knowledge, feed: ClusterFeed, level: Following['level']): KnownState {
  return {
    refusal: (options) => knowledge.refusal(options),
    get isOutdated() {
      return knowledge.isOutdated;
    },
    refreshed: () => (knowledge.hasOthers ? feed.refreshed() : null),
    level,
  };
}

async function loadCatalog(
  { storage: { catalog } }: FollowingParts,
  { view, timeline }: ClusterSnapshot,
): Promise<void> {
  if (catalog.view !== view || catalog.timeline !== timeline) await catalog.refresh();
}

/** R16: whatever a snapshot refers to is in use before the snapshot is. */
function viewLoader(
  parts: FollowingParts,
): (state: ClusterSnapshot, before: ClusterSnapshot | null) => Promise<void> {
  const { storage, caches, positions, later } = parts;
  const { catalog, capabilities, decisions } = storage;
  let { suspicions } = catalog;
  return async (state, before) => {
    await loadCatalog(parts, state);
    await capabilities.load();
    if (state.exceptions !== before?.exceptions || state.timeline !== before.timeline) {
      await decisions.load();
      for (const lsn of positions.awaited()) if (decisions.exception(lsn) !== null) positions.discarded(lsn);
    }
    const { nodeList } = later();
    if (!nodeList.hasNodes(state.nodes)) {
      await nodeList.refresh();
      // Nodes that have begun again are forgotten, with copies that they have made since.
      await loadCatalog(parts, state);
    }
    // Some responses may have come from a copy that is suspect now.
    if (catalog.suspicions !== suspicions) caches.invalidation.forget();
    ({ suspicions } = catalog);
  };
}

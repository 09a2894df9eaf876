// What moves the log to the nodes: the leader and its lease, the appliers, and what ends entries that nodes fail.

import type { Config } from '../config/config.ts';
import type { ClusterView } from '../coordination/cluster-view.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import type { Knowledge } from '../coordination/knowledge.ts';
import { Lease } from '../coordination/lease.ts';
import { Appender } from '../log/appender.ts';
import { EntryPublisher, type EntryListener } from '../log/entry-publisher.ts';
import { LogBuffer } from '../log/log-buffer.ts';
import { isContinuityError, isLostEntriesError } from '../log/log-continuity.ts';
import type { LogFeed } from '../log/log-feed.ts';
import { isOutdatedError } from '../log/postgres-append-store.ts';
import type { NodeList } from '../nodes/node-list.ts';
import { StateRecorder } from '../nodes/state-recorder.ts';
import { canServe, follows } from '../nodes/node-state.ts';
import { NodeRegistry } from '../nodes/node-registry.ts';
import { Endings } from '../replication/endings.ts';
import { listedBytes } from '../replication/entry-operation.ts';
import { Leader } from '../replication/leader.ts';
import { LeaderView, type LeaderViewOptions } from '../replication/leader-view.ts';
import { LogComparison } from '../replication/log-comparison.ts';
import { Positions } from '../replication/positions.ts';
import type { FailingNodes } from '../repair/failing-nodes.ts';
import type { Rebuilds } from '../repair/rebuilds.ts';
import { Retention } from '../replication/retention.ts';
import { Stagger } from '../replication/stagger.ts';
import type { SuspectShards } from '../replication/suspect-shards.ts';
import { detailOf, Trials } from '../replication/trials.ts';
import { Notifier } from '../util/notifier.ts';
import { buildArbiter } from './arbiter.ts';
import type { Caches } from './caches.ts';
import type { Deps } from './deps.ts';
import { buildNodeRemedies } from './failing-nodes.ts';
import { buildFollowing, type Following } from './following.ts';
import type { Lifecycle } from './lifecycle.ts';
import { buildNodeList } from './node-list.ts';
import type { BuiltNode } from './nodes.ts';
import { buildRebuilds } from './rebuilds.ts';
import type { Storage } from './storage.ts';
import { buildSuspects } from './suspects.ts';
import { buildVerification, type Verification } from './verification.ts';

export interface Replication {
  readonly nodes: NodeRegistry<BuiltNode>;
  readonly nodeList: NodeList<BuiltNode>;
  readonly leader: Leader;
  readonly view: ClusterView;
  readonly knowledge: Knowledge;
  readonly following: Following;
  readonly positions: Positions;
  readonly appender: Appender;
  readonly logBuffer: LogBuffer;
  readonly retention: Retention;
  readonly verification: Verification;
  readonly trials: Trials;
  readonly rebuilds: Rebuilds;
  readonly suspects: SuspectShards;
  readonly failing: FailingNodes;
  /** Gives up the lease and leads no more; resolves when no call to a node is in flight. */
  readonly stopLeading: () => Promise<void>;
}

/** What its builders share. The registry is filled last; components look nodes up in it when they run. */
interface Shared {
  readonly config: Config;
  readonly deps: Deps;
  readonly storage: Storage;
  readonly caches: Caches;
  readonly nodes: NodeRegistry<BuiltNode>;
  readonly positions: Positions;
  readonly endings: Endings;
  readonly refreshCatalog: () => Promise<void>;
}

// What replicas may take to finish what they have begun; a node that needs longer goes on under the next leader.
const CATCH_UP_DEADLINE_MS = 5_000;

interface ReplicationParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly caches: Caches;
  readonly current: CurrentTerm;
  readonly knowledge: Knowledge;
  /** Notified of every entry appended here. */
  readonly log: EntryListener;
}

export function buildReplication(
  config: Config,
  { deps, storage, caches, current, knowledge, log: stats }: ReplicationParts,
  life: Lifecycle,
): Replication {
  const { catalog } = storage;
  const nodes = new NodeRegistry<BuiltNode>();
  const refreshCatalog = (): Promise<void> => catalog.refresh();
  const isSuspect = (node: string, shard: string): boolean => catalog.isSuspect(node, shard);
  const positions = new Positions(isSuspect);
  const endings = new Endings();
  const core = { config, deps, storage, caches, nodes, positions, endings };
  const shared: Shared = { ...core, refreshCatalog };
  const logBuffer = buildLogBuffer(shared);
  // The log buffer last: appliers take entries from there (I6).
  const publisher = new EntryPublisher([caches.invalidation, logBuffer]);
  const states = buildStateRecorder(shared);
  const comparison = buildComparison(shared, logBuffer, current);
  const followed = { ...shared, current, knowledge, logBuffer, publisher, comparison, states };
  const following: Following = buildFollowing(config, { ...followed, later: () => built });
  const appender = buildAppender(shared, { stats, logFeed: following.logFeed, logBuffer, comparison });
  const trials = buildTrials(shared);
  const stagger = buildStagger(shared);
  const primaryChanged = new Notifier();
  const suspects = buildSuspects(shared, () => leader.announceSuspicion());
  const verification = buildVerification({ ...shared, logBuffer, suspects, current });
  const led = { current, comparison, logBuffer, trials, stagger, primaryChanged, verification, states };
  const leader = buildLeader(shared, { ...led, suspects }, following);
  const arbiter = buildArbiter({ ...shared, current }, trials);
  const forget = (): void => caches.invalidation.forget();
  const { damaged, failing, onHung } = buildNodeRemedies({ ...shared, current });
  const parts = { ...shared, current, logBuffer, appender, arbiter, stagger, trials, suspects, leader };
  const nodeParts = {
    ...parts,
    primaryChanged,
    firstOf: firstOf(shared),
    forget,
    onHung,
    failing,
    states,
    follows: following.follows,
    isNewer: following.isNewer,
  };
  const nodeList = buildNodeList(nodes, { ...nodeParts, recorded: () => following.recorded });
  const built = { appender, leader, nodeList };
  const rebuilds = buildRebuilds({ ...shared, leader, damaged });
  const retention = buildRetention(shared, leader, rebuilds);
  const view = buildView({ leader, positions, isSuspect, knowledge }, following);
  const running = { shared, leader, retention, verification, rebuilds, appender, nodeList, following };
  const stopLeading = addToLife(life, running);
  const driven = {
    nodes,
    nodeList,
    leader,
    view,
    knowledge,
    following,
    positions,
    appender,
    logBuffer,
    trials,
  };
  return { ...driven, retention, verification, rebuilds, suspects, failing, stopLeading };
}

interface LeaderParts {
  readonly current: CurrentTerm;
  readonly comparison: LogComparison;
  readonly logBuffer: LogBuffer;
  readonly trials: Trials;
  readonly stagger: Stagger;
  readonly primaryChanged: Notifier;
  readonly verification: Verification;
  readonly states: StateRecorder;
  readonly suspects: SuspectShards;
}

function buildLeader(
  { config, deps, storage, nodes, positions, endings, refreshCatalog }: Shared,
  parts: LeaderParts,
  following: Following,
): Leader {
  const { current, comparison, logBuffer, trials, stagger, primaryChanged, verification, states, suspects } =
    parts;
  const { catalog, decisions, log } = storage;
  const { clock, logger } = deps;
  return new Leader({
    priorityOf: (id) => config.NODE_PRIORITIES.get(id) ?? 0,
    current,
    onBegun: (term) => {
      following.recorded.forget();
      states.begin(term);
      for (const { member } of nodes.all()) states.record(member);
    },
    followers: nodes,
    head: () => log.head(),
    comparison,
    logBuffer,
    positions,
    furthest: following.furthest,
    assigned: (node, term) => suspects.assigned(node, term),
    decisions,
    endings,
    trials,
    stagger,
    nodeStore: storage.nodes,
    refreshCatalog,
    lastSuspicion: (node) => catalog.lastSuspicion(node),
    // A new node counts for the levels once it serves, so it serves once it has every shard.
    isVerified: (member, term) =>
      verification.returns.hasPassed(member, term) &&
      (member.counts || catalog.suspectShards(member.id).length === 0),
    primaryChanged,
    events: storage.events,
    clock,
    logger,
  });
}

function buildStateRecorder({ deps: { clock, logger }, storage, nodes }: Shared): StateRecorder {
  return new StateRecorder({
    store: storage.nodes,
    find: (id) => nodes.find(id)?.member ?? null,
    clock,
    logger,
  });
}

function buildView(parts: Omit<LeaderViewOptions, 'rewound' | 'onAwaited'>, { feed }: Following): LeaderView {
  return new LeaderView({
    ...parts,
    rewound: () => feed.state?.rewound ?? null,
    onAwaited: () => feed.awaited(),
  });
}

function buildLogBuffer({ storage: { log, head }, caches, nodes }: Shared): LogBuffer {
  return new LogBuffer(log, head.lsn, {
    onUnseen: (lsn) => caches.invalidation.unseen(lsn),
    appliedByAll: () => Math.min(...nodes.all().map(({ applier }) => applier.checkpoint)),
    parsedBytes: listedBytes,
  });
}

function buildStagger({ deps, nodes, positions }: Shared): Stagger {
  const serving = (): BuiltNode[] => nodes.all().filter(({ member }) => canServe(member.state));
  return new Stagger({
    serving: () => serving().map(({ member }) => member.id),
    primary: () => positions.primary,
    clock: deps.clock,
  });
}

function buildComparison(
  { deps, storage, nodes }: Shared,
  logBuffer: LogBuffer,
  current: CurrentTerm,
): LogComparison {
  const { continuity, log } = storage;
  const { clock, logger } = deps;
  return new LogComparison({
    continuity,
    head: () => log.head(),
    logBuffer,
    followers: nodes,
    leads: () => current.term !== null,
    clock,
    logger,
  });
}

function buildAppender(
  { config, deps, storage }: Shared,
  parts: { stats: EntryListener; logFeed: LogFeed; logBuffer: LogBuffer; comparison: LogComparison },
): Appender {
  const { stats, logFeed, logBuffer, comparison } = parts;
  return new Appender({
    store: storage.appendStore(() => logBuffer),
    clock: deps.clock,
    newToken: deps.newId,
    timeoutMs: config.LOG_TIMEOUT_MS,
    onCommitted: (entries) => {
      stats.committed(entries);
      logFeed.committed(entries);
    },
    onError: (error) => {
      deps.logger.warn({ error: String(error) }, 'append failed');
      if (isContinuityError(error)) comparison.request(isLostEntriesError(error));
      if (isOutdatedError(error)) storage.capabilities.load().catch(() => undefined);
    },
  });
}

function buildTrials({ deps, storage }: Shared): Trials {
  const { clock, logger } = deps;
  return new Trials({
    store: storage.trials,
    clock,
    onRepeated: (node, lsn, { attempts, failure }) => {
      const { kind, status } = failure;
      logger.warn({ node, lsn, attempts, kind, status, detail: detailOf(failure) }, 'entry failed on a node');
    },
    onStoreError: (error) => logger.warn({ error: String(error) }, 'failed attempt not recorded'),
  });
}

function buildRetention(
  { config, deps, storage, nodes }: Shared,
  leader: Leader,
  rebuilds: Rebuilds,
): Retention {
  const { log, catalog, head } = storage;
  return new Retention({
    log,
    nodeStore: storage.nodes,
    nodes: () => nodes.all().map(({ member }) => member),
    forgetDeleted: () => catalog.forgetDeleted(),
    halted: () => leader.halted,
    claimed: () => rebuilds.claim,
    retentionMs: config.WAL_RETENTION,
    bytesMax: config.WAL_RETENTION_BYTES,
    trimmed: head.trimmed,
    clock: deps.clock,
    logger: deps.logger,
  });
}

/** What stops last is added first: connections, then what uses them, then what hands in work. */
function addToLife(
  life: Lifecycle,
  parts: {
    shared: Shared;
    leader: Leader;
    retention: Retention;
    verification: Verification;
    rebuilds: Rebuilds;
    appender: Appender;
    nodeList: NodeList<BuiltNode>;
    following: Following;
  },
): () => Promise<void> {
  const { shared, leader, retention, verification, rebuilds, appender, nodeList, following } = parts;
  const { config, deps, storage, nodes } = shared;
  const stopping = new AbortController();
  let background: Promise<unknown> = Promise.resolve();
  const stop = async (): Promise<void> => {
    stopping.abort();
    await background.catch(() => undefined);
  };
  life.add({
    name: 'node connections',
    stop: async () => void (await Promise.all(nodes.all().map(({ disconnect }) => disconnect()))),
  });
  life.add({
    name: 'replication',
    start: async () => {
      const lease = new Lease({
        store: storage.leaseStore,
        clock: deps.clock,
        holder: deps.gatewayId,
        durationMs: config.LEASE_MS,
        onError: (error) => deps.logger.warn({ error: String(error) }, 'lease could not be read or renewed'),
        onOverslept: () => {
          deps.logger.error({ leaseMs: config.LEASE_MS }, 'lease expired while this process was frozen');
          for (const { client } of nodes.all()) client.cutMutations();
        },
      });
      const reach = following.reachComparison(lease);
      background = Promise.all([
        lease.run(async (term) => {
          const repairs = [verification.scrub.run(term), rebuilds.run(term)];
          await Promise.all([leader.lead(term), retention.run(term), reach.run(term), ...repairs]);
        }, stopping.signal),
        nodes.runForEach(({ member }, signal) => member.watch(signal), stopping.signal),
        nodeList.run(stopping.signal),
        following.feed.run(stopping.signal),
        following.registration.run(stopping.signal),
      ]);
      background.catch((error: unknown) => {
        deps.logger.error({ error: String(error) }, 'background task ended: this gateway cannot go on');
        deps.onFailure(error);
      });
    },
    stop,
  });
  life.add({ name: 'catch-up', stop: () => leader.caughtUp(CATCH_UP_DEADLINE_MS) });
  life.add({ name: 'appender', stop: () => appender.stop() });
  return stop;
}

/** Which node gets entries before any other: the primary, or the first working node where its copy is suspect. */
function firstOf({ storage, nodes, positions }: Shared): (target: string | null) => string | null {
  return (target) => {
    const { primary } = positions;
    const isHealthy = (id: string): boolean => target === null || !storage.catalog.isSuspect(id, target);
    if (primary === null || isHealthy(primary)) return primary;
    const other = nodes.all().find(({ member }) => follows(member.state) && isHealthy(member.id));
    return other?.member.id ?? primary;
  };
}

// What moves the log to the nodes: the leader and its lease, the appliers, and what ends entries that nodes fail.

import type { Config } from '../config/config.ts';
import type { ClusterView } from '../coordination/cluster-view.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import { Knowledge } from '../coordination/knowledge.ts';
import { Lease } from '../coordination/lease.ts';
import { Appender } from '../log/appender.ts';
import { EntryPublisher, type EntryListener } from '../log/entry-publisher.ts';
import { LogBuffer } from '../log/log-buffer.ts';
import { isContinuityError, isLostEntriesError } from '../log/log-continuity.ts';
import type { NodeList } from '../nodes/node-list.ts';
import { canServe, follows } from '../nodes/node-state.ts';
import { NodeRegistry } from '../nodes/node-registry.ts';
import { ROUND_ENTRIES_MAX } from '../replication/applier.ts';
import { Arbiter } from '../replication/arbiter.ts';
import { Endings } from '../replication/endings.ts';
import { Leader } from '../replication/leader.ts';
import { LeaderView } from '../replication/leader-view.ts';
import { LogComparison } from '../replication/log-comparison.ts';
import { Positions } from '../replication/positions.ts';
import type { FailingNodes } from '../repair/failing-nodes.ts';
import type { Rebuilds } from '../repair/rebuilds.ts';
import { Retention } from '../replication/retention.ts';
import { SecondOpinion, type NamedShard } from '../replication/second-opinion.ts';
import { Stagger } from '../replication/stagger.ts';
import { SuspectShards } from '../replication/suspect-shards.ts';
import { detailOf, Trials } from '../replication/trials.ts';
import { Notifier } from '../util/notifier.ts';
import type { Caches } from './caches.ts';
import type { Deps } from './deps.ts';
import { buildNodeRemedies } from './failing-nodes.ts';
import type { Lifecycle } from './lifecycle.ts';
import { buildNodeList } from './node-list.ts';
import type { BuiltNode } from './nodes.ts';
import { buildRebuilds } from './rebuilds.ts';
import type { Storage } from './storage.ts';
import { buildVerification, type Verification } from './verification.ts';

export interface Replication {
  readonly nodes: NodeRegistry<BuiltNode>;
  readonly nodeList: NodeList<BuiltNode>;
  readonly leader: Leader;
  readonly view: ClusterView;
  readonly knowledge: Knowledge;
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
  readonly knowledge: Knowledge;
  readonly refreshCatalog: () => Promise<void>;
}

// What replicas may take to finish what they have begun; a node that needs longer goes on under the next leader.
const CATCH_UP_DEADLINE_MS = 5_000;

interface ReplicationParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly caches: Caches;
  readonly current: CurrentTerm;
  /** Notified of every entry appended here. */
  readonly log: EntryListener;
}

export function buildReplication(
  config: Config,
  { deps, storage, caches, current, log: stats }: ReplicationParts,
  life: Lifecycle,
): Replication {
  const { catalog, checkpoints, decisions, log } = storage;
  const nodes = new NodeRegistry<BuiltNode>();
  const refreshCatalog = (): Promise<void> => catalog.refresh();
  const isSuspect = (node: string, shard: string): boolean => catalog.isSuspect(node, shard);
  const positions = new Positions(isSuspect);
  const endings = new Endings();
  const knowledge = new Knowledge(deps.clock, config.LEASE_MS);
  const core = { config, deps, storage, caches, nodes, positions, endings };
  const shared: Shared = { ...core, knowledge, refreshCatalog };
  const logBuffer = buildLogBuffer(shared);
  // The log buffer last: appliers take entries from there (I6).
  const publisher = new EntryPublisher([stats, caches.invalidation, logBuffer]);
  const comparison = buildComparison(shared, logBuffer);
  const appender = buildAppender(shared, { publisher, logBuffer, comparison });
  const trials = buildTrials(shared);
  const stagger = buildStagger(shared);
  const primaryChanged = new Notifier();
  const suspects = buildSuspects(shared);
  const verification = buildVerification({ ...shared, logBuffer, suspects, current });
  const leader = new Leader({
    priorityOf: (id) => config.NODE_PRIORITIES.get(id) ?? 0,
    current,
    knowledge,
    followers: nodes,
    head: () => log.head(),
    comparison,
    logBuffer,
    positions,
    checkpoints,
    decisions,
    endings,
    trials,
    stagger,
    nodeStore: storage.nodes,
    refreshCatalog,
    // A new node counts for the levels once it serves, so it serves once it has every shard.
    isVerified: (member, term) =>
      verification.returns.hasPassed(member, term) &&
      (member.counts || catalog.suspectShards(member.id).length === 0),
    primaryChanged,
    events: storage.events,
    clock: deps.clock,
    logger: deps.logger,
  });
  const arbiter = buildArbiter(shared, trials);
  const forget = (): void => caches.invalidation.forget();
  const { damaged, failing, onHung } = buildNodeRemedies({ ...shared, current });
  const parts = { ...shared, current, logBuffer, appender, arbiter, stagger, trials, suspects, leader };
  const nodeParts = { ...parts, primaryChanged, firstOf: firstOf(shared), forget, onHung, failing };
  const nodeList = buildNodeList(nodes, nodeParts);
  const rebuilds = buildRebuilds({ ...shared, leader, damaged });
  const retention = buildRetention(shared, leader, rebuilds);
  const view = new LeaderView({ leader, positions, isSuspect });
  const stopLeading = addToLife(life, {
    shared,
    leader,
    retention,
    verification,
    rebuilds,
    appender,
    nodeList,
  });
  const driven = { nodes, nodeList, leader, view, knowledge, positions, appender, logBuffer, trials };
  return { ...driven, retention, verification, rebuilds, suspects, failing, stopLeading };
}

function buildLogBuffer({ storage: { log, head }, caches, nodes }: Shared): LogBuffer {
  return new LogBuffer(log, head.lsn, {
    onUnseen: (lsn) => caches.invalidation.unseen(lsn),
    appliedByAll: () => Math.min(...nodes.all().map(({ applier }) => applier.checkpoint)),
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

function buildComparison({ deps, storage, nodes }: Shared, logBuffer: LogBuffer): LogComparison {
  const { continuity, log } = storage;
  const { clock, logger } = deps;
  return new LogComparison({
    continuity,
    head: () => log.head(),
    logBuffer,
    followers: nodes,
    clock,
    logger,
  });
}

function buildAppender(
  { config, deps, storage }: Shared,
  parts: { publisher: EntryPublisher; logBuffer: LogBuffer; comparison: LogComparison },
): Appender {
  const { publisher, logBuffer, comparison } = parts;
  return new Appender({
    store: storage.appendStore(() => logBuffer),
    clock: deps.clock,
    newToken: deps.newId,
    timeoutMs: config.LOG_TIMEOUT_MS,
    onCommitted: (entries) => publisher.publish(entries),
    onError: (error) => {
      deps.logger.warn({ error: String(error) }, 'append failed');
      if (isContinuityError(error)) comparison.request(isLostEntriesError(error));
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

function buildSuspects({ deps, storage, caches, nodes, refreshCatalog }: Shared): SuspectShards {
  const { catalog, checkpoints } = storage;
  return new SuspectShards({
    forget: () => caches.invalidation.forget(),
    exclude: (node, shard, reason) => catalog.markSuspect(node, shard, reason),
    record: (epoch, node, shard, reason) => checkpoints.suspect(epoch, node, shard, reason),
    notifyApplier: (node, shard, reason) => nodes.get(node).applier.markSuspect(shard, reason),
    refreshCatalog,
    events: storage.events,
    logger: deps.logger,
  });
}

function buildArbiter(
  { config, deps, storage, nodes, positions, endings, refreshCatalog }: Shared,
  trials: Trials,
): Arbiter {
  const { catalog, decisions } = storage;
  const { clock, logger } = deps;
  const opinions = new SecondOpinion({
    node: (id) => {
      const { client, workload } = nodes.get(id);
      return { client, workload, assigned: (shard) => healthyShard(storage, id, shard) };
    },
    collectionOf: (shard) => catalog.collectionOfShard(shard),
    clock,
  });
  return new Arbiter({
    trials,
    decisions,
    positions,
    endings,
    clock,
    limits: { attempts: config.ENTRY_ATTEMPTS, timeoutMs: config.ENTRY_TIMEOUT_MS },
    members: () => nodes.ids(),
    works: (id) => follows(nodes.get(id).member.state),
    isSuspect: (node, shard) => catalog.isSuspect(node, shard),
    isHealthy: (node, shard) => catalog.isHealthy(node, shard),
    // A call that was in flight when the node went may have brought a round beyond the checkpoint.
    mayHaveApplied: async (id, term) => {
      const offeredTo = nodes.get(id).applier.offeredTo(term);
      if (offeredTo !== null) return offeredTo;
      const row = (await storage.nodes.all()).find((each) => each.id === id);
      return row === undefined ? 0 : row.checkpoint + ROUND_ENTRIES_MAX;
    },
    trace: (id, entry) => nodes.get(id).applier.trace(entry),
    ask: (node, trial, term) => opinions.ask(node, trial, term),
    onEnded: ({ lsn, kind }, { outcome, status }) => {
      logger.error({ lsn, kind, outcome, status }, 'entry ended: no healthy node can apply it');
      if (outcome !== 'accepted') storage.events.record(`entry_${outcome}`, { lsn, operation: kind, status });
      void refreshCatalog().catch(() => undefined);
    },
    onRecordError: (error) => logger.warn({ error: String(error) }, 'end of an entry not recorded'),
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
  },
): () => Promise<void> {
  const { shared, leader, retention, verification, rebuilds, appender, nodeList } = parts;
  const { config, deps, storage, nodes, knowledge } = shared;
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
        knowledge,
        onError: (error) => deps.logger.warn({ error: String(error) }, 'lease could not be read or renewed'),
        onOverslept: () => {
          deps.logger.error({ leaseMs: config.LEASE_MS }, 'lease expired while this process was frozen');
          for (const { client } of nodes.all()) client.cutMutations();
        },
      });
      background = Promise.all([
        lease.run(async (term) => {
          const repairs = [verification.scrub.run(term), rebuilds.run(term)];
          await Promise.all([leader.lead(term), retention.run(term), ...repairs]);
        }, stopping.signal),
        nodes.runForEach(({ member }, signal) => member.watch(signal), stopping.signal),
        nodeList.run(stopping.signal),
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

function healthyShard({ catalog }: Storage, node: string, shard: string): NamedShard | null {
  const at = catalog.collectionOfShard(shard);
  const copy = catalog.physical(node, shard);
  if (at === null || copy === null || copy.suspect !== null) return null;
  return { ...copy, tenant: at.tenant, database: at.database };
}

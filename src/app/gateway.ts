// The composition root: builds everything, starts it, stops it in reverse. Reading it is reading the architecture.

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { adminRoutes } from '../api/admin/routes.ts';
import { healthOf, type StatusSource } from '../api/admin/status.ts';
import { Catalog } from '../catalog/catalog.ts';
import { LargeScanner } from '../chroma/parse/large-scanner.ts';
import { Lease, postgresLeaseStore } from '../coordination/lease.ts';
import { type Term } from '../coordination/term.ts';
import { NodeStore } from '../nodes/node-store.ts';
import { canServe, follows } from '../nodes/node-state.ts';
import { RestartCommand } from '../nodes/restart-command.ts';
import type { Config } from '../config.ts';
import { PolychromeError } from '../errors.ts';
import { buildNode, type BuiltNode } from './nodes.ts';
import { Appender } from '../log/appender.ts';
import { PostgresAppendStore, PostgresLog } from '../log/postgres-log.ts';
import { Tail } from '../log/log-buffer.ts';
import { Database } from '../postgres/database.ts';
import { migrate } from '../postgres/migrate.ts';
import { connectOrExplain } from '../postgres/reach.ts';
import { AnswerBytes } from '../http/response-budget.ts';
import { BodyJudge } from '../api/v2/body-probe.ts';
import { CollectionObjects } from '../api/v2/collection-objects.ts';
import { SessionFloors } from '../read/session-floors.ts';
import { descriptionRoutes } from '../api/v2/openapi.ts';
import { localRoutes } from '../api/v2/server-info.ts';
import { Names } from '../api/v2/resolve.ts';
import { NodeChoice } from '../read/node-selection.ts';
import { Reader } from '../read/reader.ts';
import { RecordCache } from '../read/record-cache.ts';
import { RecordReads } from '../api/v2/record-reads.ts';
import { recordWrites } from '../api/v2/record-writes.ts';
import { ResultCache } from '../read/result-cache.ts';
import { SchemaRoutes, schemaRoutes } from '../api/v2/collections.ts';
import { startServer } from '../http/server.ts';
import { ShardLSNs } from '../read/shard-lsns.ts';
import { unsupportedRoutes } from '../api/v2/unsupported.ts';
import { slowDownMs, type ServingNode } from '../write/backpressure.ts';
import { Writer } from '../write/writer.ts';
import { Arbiter } from '../replication/arbiter.ts';
import { CapabilityLevel } from '../nodes/capability-level.ts';
import { Checkpoints, type HeldShard } from '../replication/checkpoints.ts';
import { Decisions } from '../replication/decisions.ts';
import { Leader } from '../replication/leader.ts';
import { Positions } from '../replication/positions.ts';
import { idsChanged } from '../replication/entry-operation.ts';
import { Retention } from '../replication/retention.ts';
import { ROUND_ENTRIES_MAX } from '../replication/applier.ts';
import { SecondOpinion } from '../replication/second-opinion.ts';
import { Stagger } from '../replication/stagger.ts';
import { PostgresTrialStore, Trials, detailOf } from '../replication/trials.ts';
import { sleep, systemClock, type Clock } from '../util/clock.ts';
import { createLogger, type Logger } from '../util/logger.ts';
import { Notifier } from '../util/notifier.ts';

export interface Gateway {
  readonly url: string;
  /** Resolves once it leads and a node serves, or when it is stopped. */
  ready(): Promise<void>;
  stop(): Promise<void>;
}

export interface GatewayParts {
  /** Process of a node that runs on this machine, for /status. */
  readonly nodePid?: (nodeId: string) => number | undefined;
  /** Told of a node that hangs on a call, and should be restarted. */
  readonly onNodeHung?: (nodeId: string) => void;
  /** Told when a part that must run for ever has ended: the process should end too, for nothing restarts it. */
  readonly onFailure?: (error: unknown) => void;
  readonly clock?: Clock;
  /** Numbers in [0, 1). */
  readonly random?: () => number;
  readonly newId?: () => string;
  readonly logger?: Logger;
}

// Chroma's servers refuse larger bodies; a merged call must stay below it with its frame.
const BODY_BYTES_MAX = 40 * 1024 * 1024;
const MERGED_BYTES_MAX = 39 * 1024 * 1024;
const STATEMENT_TIMEOUT_MS = 10_000;
const STOP_DEADLINE_MS = 10_000;
// What replicas may take to finish what they have begun; a node that needs longer is brought along by the next leader.
const LEVEL_DEADLINE_MS = 5_000;
const READY_POLL_MS = 25;

/** Starts a gateway and resolves once it listens. Throws StartupError when it cannot. */
export async function startGateway(config: Config, parts: GatewayParts = {}): Promise<Gateway> {
  const clock = parts.clock ?? systemClock;
  const random = parts.random ?? Math.random;
  const newId = parts.newId ?? randomUUID;
  const logger = parts.logger ?? createLogger(config.LOG_LEVEL);
  const gatewayId = `${hostname()}-${newId().slice(0, 8)}`;

  // PostgreSQL: one bounded pool for each purpose, so that none waits for another's work.
  let warning: string | null = null;
  const database = (connectionsMax: number, purpose: string): Database =>
    new Database({
      url: config.DATABASE_URL,
      schema: config.DATABASE_SCHEMA,
      connectionsMax,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      applicationName: `polychrome ${purpose}`,
      onError: (error) => logger.warn({ error: error.message, purpose }, 'a PostgreSQL connection was lost'),
      onWarning: (text) => {
        if (purpose === 'append') warning = text;
      },
    });
  const [queries, appends, steps, leases] = [
    database(4, 'queries'),
    database(1, 'append'),
    database(2, 'steps'),
    database(1, 'lease'),
  ] as const;
  await connectOrExplain(queries, config.DATABASE_URL);
  await migrate(queries);

  // The log and what is known of it.
  const log = new PostgresLog(queries);
  const head = await log.head();
  const heads = new ShardLSNs(head.lsn);
  const isTold = (): boolean => leader.term !== null;
  const cache = new ResultCache(config.RESULT_CACHE_BYTES, isTold);
  const records = new RecordCache({ bytesMax: config.RECORD_CACHE_BYTES, heads, head: head.lsn, isTold });
  const forget = (): void => {
    cache.clear();
    records.clear();
  };
  const tail = new Tail(log, head.lsn, {
    onUnseen: (lsn) => {
      heads.raiseAll(lsn);
      records.unseen(lsn);
    },
    appliedByAll: () => Math.min(...built.map(({ applier }) => applier.checkpoint)),
  });
  const catalog = new Catalog(queries);
  await catalog.refresh();
  const refreshCatalog = (): Promise<void> => catalog.refresh();
  const positions = new Positions((node, shard) => catalog.isInDoubt(node, shard));
  const checkpoints = new Checkpoints(steps);
  const decisions = new Decisions(steps);
  const nodes = new NodeStore(steps);
  const capabilities = new CapabilityLevel(queries);
  await capabilities.load();
  const appender = new Appender({
    store: new PostgresAppendStore(
      appends,
      () => head.logId,
      () => {
        const text = warning;
        warning = null;
        return text;
      },
    ),
    clock,
    newToken: newId,
    timeoutMs: config.LOG_TIMEOUT_MS,
    onCommitted: (entries) => {
      for (const { lsn, kind, target, parsed } of entries) {
        heads.raise(target ?? '', lsn);
        records.changed(target ?? '', lsn, idsChanged(parsed));
        // A changed configuration may change what queries find.
        if (kind === 'modify_collection') cache.clear();
      }
      tail.publish(entries);
    },
    onError: (error) => logger.warn({ error: String(error) }, 'an append failed'),
  });

  // The nodes, and what brings them along.
  const primaryChanged = new Notifier();
  const limits = (): { maxIds: number; maxBytes: number } => ({
    maxIds: capabilities.current.maxBatchSize,
    maxBytes: MERGED_BYTES_MAX,
  });
  const suspect = async (node: string, shard: string, reason: string, { epoch }: Term): Promise<void> => {
    logger.error({ node, shard, reason }, 'a shard is suspect');
    forget();
    // Here at once: what PostgreSQL says of it may be long in coming.
    catalog.doubt(node, shard, reason);
    await checkpoints.suspect(epoch, node, shard, reason);
    // Only now: a node that passed entries, and whose suspicion was lost with this process, would be taken for sound.
    find(node).applier.markSuspect(shard, reason);
    await refreshCatalog();
    // Until now it could still be asked.
    forget();
  };
  const trials = new Trials({
    store: new PostgresTrialStore(steps),
    clock,
    epoch: () => leader.term?.epoch ?? 0,
    onRepeated: (node, lsn, { attempts, failure }) =>
      logger.warn(
        { node, lsn, attempts, kind: failure.kind, status: failure.status, detail: detailOf(failure) },
        'entry failed on a node',
      ),
    onStoreError: (error) => logger.warn({ error: String(error) }, 'a failed attempt was not recorded'),
  });
  const opinions = new SecondOpinion({
    node: (id) => {
      const { client, workload } = find(id);
      const held = (shard: string): HeldShard | null => {
        const at = catalog.collectionOfShard(shard);
        const physical = catalog.physical(id, shard);
        if (at === undefined || physical === undefined || physical.suspect !== null) return null;
        return { physical: physical.physical, tenant: at.tenant, database: at.database, suspect: null };
      };
      return { client, workload, held };
    },
    collectionOf: (shard) => catalog.collectionOfShard(shard) ?? null,
    clock,
  });
  const arbiter = new Arbiter({
    trials,
    decisions,
    positions,
    clock,
    limits: { attempts: config.ENTRY_ATTEMPTS, timeoutMs: config.ENTRY_TIMEOUT_MS },
    members: () => built.map(({ member }) => member.id),
    works: (id) => follows(find(id).member.state),
    isSuspect: (node, shard) => catalog.isInDoubt(node, shard),
    // A call that was in flight when the node went may have brought a round beyond the checkpoint.
    mayHaveApplied: async (id) => {
      const row = (await nodes.all()).find((each) => each.id === id);
      return row === undefined ? 0 : row.checkpoint + ROUND_ENTRIES_MAX;
    },
    ask: (node, trial, term) => opinions.ask(node, trial, term),
    onEnded: ({ lsn, kind }, { outcome, status }) => {
      logger.error({ lsn, kind, outcome, status }, 'entry ended: no healthy node can apply it');
      void refreshCatalog().catch(() => undefined);
    },
  });
  const stagger = new Stagger({
    serving: () => built.filter(({ member }) => canServe(member.state)).map(({ member }) => member.id),
    primary: () => leader.primary.node,
  });
  const restart =
    config.NODE_RESTART_COMMAND === undefined
      ? null
      : new RestartCommand({ command: config.NODE_RESTART_COMMAND, clock, logger });
  const stopping = new AbortController();
  const built: readonly BuiltNode[] = config.nodes.map((address) =>
    buildNode(address, {
      gatewayId,
      nodesCount: config.nodes.length,
      settleMs: config.SETTLE_MS,
      clock,
      random,
      newId,
      logger,
      log,
      tail,
      appender,
      positions,
      checkpoints,
      decisions,
      capabilities,
      nodes,
      arbiter,
      stagger,
      trials,
      staggerMs: config.STAGGER_MS,
      attemptsMax: config.ENTRY_ATTEMPTS,
      overdueMaxMs: config.ENTRY_TIMEOUT_MS,
      onHung: (node, url) => {
        logger.error({ node }, 'node hangs on a call');
        restart?.run(node, url);
        parts.onNodeHung?.(node);
      },
      primaryChanged,
      leader: () => leader,
      limits,
      suspect,
      isLastCopy: (node, shard) =>
        !built.some(({ member: { id } }) => {
          const physical = id === node ? undefined : catalog.physical(id, shard);
          return physical !== undefined && physical.suspect === null;
        }),
      refreshCatalog,
      forget,
    }),
  );
  const find = (id: string): BuiltNode => built.find(({ member }) => member.id === id) as BuiltNode;
  const leader: Leader = new Leader({
    followers: built,
    head: () => log.head(),
    tail,
    positions,
    checkpoints,
    decisions,
    trials,
    stagger,
    nodes,
    refreshCatalog,
    primaryChanged,
    clock,
    logger,
  });
  const lease = new Lease({
    store: postgresLeaseStore(leases),
    clock,
    holder: gatewayId,
    durationMs: config.LEASE_MS,
    onError: (error) => logger.warn({ error: String(error) }, 'the lease could not be read or renewed'),
  });

  const retention = new Retention({
    log,
    nodes,
    members: built.map(({ member }) => member),
    forgetDeleted: () => catalog.forgetDeleted(),
    halted: () => leader.halted,
    retentionMs: config.WAL_RETENTION,
    bytesMax: config.WAL_RETENTION_BYTES,
    trimmed: head.trimmed,
    clock,
    logger,
  });

  // The data plane.
  const scanner = new LargeScanner();
  const filterLimits = {
    conditionsMax: config.FILTER_CONDITIONS_MAX,
    operandsMax: config.FILTER_OPERANDS_MAX,
    depthMax: config.FILTER_DEPTH_MAX,
  };
  const floors = new SessionFloors(head.lsn);
  const wording = (): { modern: boolean } => ({ modern: capabilities.current.deleteLimit });
  const names = new Names(catalog, wording);
  const choice = new NodeChoice({
    nodes: built,
    positions,
    physical: (node, shard) => catalog.physical(node, shard),
    primary: () => leader.primary.node,
  });
  const answerBytes = new AnswerBytes({ clock });
  const reader = new Reader({
    choice,
    applied: (node, shard) => (shard === null ? positions.applied(node) : positions.appliedTo(node, shard)),
    clock,
    logger,
    timeoutMs: config.READ_TIMEOUT_MS,
    answerBytes,
  });
  const servingNodes = (): ServingNode[] =>
    built
      .filter(({ member }) => canServe(member.state))
      .map(({ member, applier }) => ({
        applied: positions.applied(member.id),
        lagMs: applier.lag(clock.now()).ms ?? 0,
      }));
  const writer = new Writer({
    appender,
    positions,
    decisions,
    floors,
    clock,
    refusal: () => refusalOf(leader),
    refreshCatalog,
    slowDownMs: () => slowDownMs(servingNodes()),
    timeoutMs: config.WRITE_TIMEOUT_MS,
  });
  const judge = new BodyJudge(() => {
    const chosen = choice.now({ shard: null, floor: 0, sticky: false, except: new Set() });
    return chosen?.node.client ?? null;
  });
  const recordReads = new RecordReads({
    scanner,
    filterLimits,
    reader,
    names,
    judge,
    floors,
    heads,
    cache,
    records,
    consistency: config.CONSISTENCY,
    head: () => tail.head,
    serving: () => built.filter(({ member }) => canServe(member.state)).length,
    clock,
    stopped: stopping.signal,
  });
  const objects = new CollectionObjects({ catalog, reader, floors });
  const shared = { writer, reader, names, floors, capabilities: () => capabilities.current };
  const status: StatusSource = {
    gatewayId,
    term: () => leader.term,
    halted: () => leader.halted,
    primary: () => leader.primary.node,
    head: () => tail.head,
    trimmed: () => retention.trimmed,
    waiting: () => ({ append: appender.waiting, acknowledgement: positions.waiting }),
    reads: () => recordReads.counts,
    nodes: () =>
      built.map(({ member, applier, workload }) => ({
        member,
        checkpoint: Math.max(applier.checkpoint, positions.applied(member.id)),
        lag: (now) => applier.lag(now),
        work: () => workload.current,
        failing: () => applier.failing,
        suspects: (max) => catalog.suspects(member.id, max),
        pid: parts.nodePid?.(member.id),
      })),
    quarantined: () => decisions.quarantined.filter((lsn) => lsn > retention.trimmed),
    now: () => clock.now(),
  };
  const server = await startServer({
    host: config.HOST,
    port: config.PORT,
    clock,
    logger,
    maxBodyBytes: BODY_BYTES_MAX,
    bodyBudgetBytes: config.BODY_BUDGET_BYTES,
    answerBytes,
    corsAllowOrigins: config.CORS_ALLOW_ORIGINS,
    capabilities: () => capabilities.current,
    handlers: {
      ...localRoutes({ capabilities: () => capabilities.current, clock }),
      ...recordWrites({ ...shared, scanner, filterLimits, choice, ackLevel: config.ACK_LEVEL }),
      ...recordReads.handlers,
      ...schemaRoutes(
        new SchemaRoutes({ ...shared, objects, judge, catalog, newId, allowReset: config.ALLOW_RESET }),
      ),
      ...unsupportedRoutes(shared),
      ...descriptionRoutes(reader),
      ...adminRoutes(status),
    },
  });

  const background = Promise.all([
    lease.run(async (term: Term) => {
      await Promise.all([leader.lead(term), retention.run(term)]);
    }, stopping.signal),
    ...built.map(({ member }) => member.watch(stopping.signal)),
  ]);
  background.catch((error: unknown) => {
    logger.error({ error: String(error) }, 'a background task ended: this gateway cannot go on');
    parts.onFailure?.(error);
  });

  return {
    url: server.url,
    async ready() {
      while (!healthOf(status).healthy && !stopping.signal.aborted)
        await sleep(clock, READY_POLL_MS, stopping.signal);
    },
    async stop() {
      await server.stop(STOP_DEADLINE_MS);
      await scanner.close();
      await appender.stop();
      await leader.level(LEVEL_DEADLINE_MS);
      stopping.abort();
      await background.catch(() => undefined);
      await Promise.all(
        built.flatMap(({ client, watcher, unverified }) =>
          [client, watcher, unverified].map((each) => each.destroy()),
        ),
      );
      await Promise.all([queries, appends, steps, leases].map((pool) => pool.close()));
    },
  };
}

/** Why no write can be taken at this moment. */
function refusalOf(leader: Leader): PolychromeError | null {
  if (leader.halted !== null) {
    return new PolychromeError('log_unavailable', `No writes: ${leader.halted}. An operator has to decide.`);
  }
  if (leader.term !== null) return null;
  return new PolychromeError(
    'not_leader',
    'This gateway does not lead at the moment; nothing was changed. Try again.',
  );
}

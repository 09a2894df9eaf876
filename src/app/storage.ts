// PostgreSQL and what is kept there.

import { AlertStore } from '../alerts/alert-store.ts';
import { Catalog } from '../catalog/catalog.ts';
import { LargeScanner } from '../chroma/parse/large-scanner.ts';
import type { Config } from '../config/config.ts';
import { postgresLeaseStore, type LeaseStore } from '../coordination/lease.ts';
import { ClusterSnapshots } from '../coordination/cluster-snapshot.ts';
import { GatewayStore } from '../coordination/gateway-store.ts';
import { StartupError } from '../errors.ts';
import { DataSizeReader } from '../history/data-sizes.ts';
import { EventStore } from '../history/event-store.ts';
import { HistoryStore } from '../history/history-store.ts';
import { SlowRequestStore } from '../history/slow-request-store.ts';
import { LogContinuity } from '../log/log-continuity.ts';
import { PostgresAppendStore, type SeenLog } from '../log/postgres-append-store.ts';
import { PostgresLog, type Head, type LastChanges } from '../log/postgres-log.ts';
import { CapabilityLevel } from '../nodes/capability-level.ts';
import { Quarantine } from '../log/quarantine.ts';
import { MemberStore, type MemberList, type NodeLocation } from '../nodes/member-store.ts';
import { NodeStore } from '../nodes/node-store.ts';
import { EventLog } from '../observability/events.ts';
import { migrate } from '../postgres/migrate.ts';
import { ScrubStore } from '../repair/scrub-store.ts';
import { PostgresProbe } from '../history/postgres-probe.ts';
import { CopyStore } from '../repair/copy-store.ts';
import { Checkpoints } from '../replication/checkpoints.ts';
import { Decisions } from '../replication/decisions.ts';
import { scannedEntries } from '../replication/entry-operation.ts';
import { PostgresTrialStore } from '../replication/trials.ts';
import { adoptAtStart } from './adoption.ts';
import { buildPools, type DatabasePools } from './database-pools.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';

export interface Storage {
  readonly pools: DatabasePools['all'];
  /** Scans large bodies in a thread. */
  readonly scanner: LargeScanner;
  readonly log: PostgresLog;
  /** As it was when this gateway started. */
  readonly head: Head;
  /** Read after the head. */
  readonly lastChanges: LastChanges;
  /** Given what this gateway has seen of the log. */
  readonly appendStore: (seen: () => SeenLog) => PostgresAppendStore;
  readonly continuity: LogContinuity;
  readonly leaseStore: LeaseStore;
  readonly clusterState: ClusterSnapshots;
  readonly gateways: GatewayStore;
  readonly catalog: Catalog;
  readonly capabilities: CapabilityLevel;
  readonly checkpoints: Checkpoints;
  readonly copies: CopyStore;
  readonly decisions: Decisions;
  readonly nodes: NodeStore;
  readonly members: MemberStore;
  /** The list of nodes as it was when this gateway started. */
  readonly memberList: MemberList;
  readonly trials: PostgresTrialStore;
  readonly quarantine: Quarantine;
  readonly scrub: ScrubStore;
  readonly eventStore: EventStore;
  readonly postgresProbe: PostgresProbe;
  readonly sizes: DataSizeReader;
  readonly slowRequests: SlowRequestStore;
  readonly history: HistoryStore;
  readonly alerts: AlertStore;
  /** Where every component records what operators should know. */
  readonly events: EventLog;
}

// A gateway stops serving what may be outdated two leases after it was seen (coordination/knowledge.ts).
const EXPIRY_LEASES = 3;

/** Connects, brings the schema up to date and loads the catalog. Throws StartupError. */
export async function buildStorage(config: Config, deps: Deps, life: Lifecycle): Promise<Storage> {
  const pools = await buildPools(config, deps, life);
  await migrate(pools.queries, deps.clock);
  await adoptAtStart(config, deps, pools.queries);
  return storageOn(pools, config, { deps, life });
}

/** The storage of a gateway on open pools and the present schema; loads the catalog. */
export async function storageOn(
  pools: DatabasePools,
  config: Config,
  { deps, life }: { readonly deps: Deps; readonly life: Lifecycle },
): Promise<Storage> {
  const { queries, append, steps, lease, state, takeWarning } = pools;
  const expiryMs = EXPIRY_LEASES * config.LEASE_MS;
  const scanner = new LargeScanner();
  life.add({ name: 'scanner', stop: () => scanner.close() });
  const log = new PostgresLog(queries, (entries) => scannedEntries(entries, scanner));
  const head = await log.head();
  const lastChanges = await log.lastChanges();
  const catalog = new Catalog(queries);
  await catalog.refresh();
  const nodes = new NodeStore(steps);
  await nodes.all();
  const members = new MemberStore(queries);
  const memberList = await seededList(members, deps);
  const capabilities = new CapabilityLevel(queries);
  await capabilities.load();
  const eventStore = new EventStore(queries);
  const decisions = new Decisions(steps);
  return {
    pools: pools.all,
    scanner,
    log,
    head,
    lastChanges,
    appendStore: (seen) => new PostgresAppendStore(append, { logId: () => head.logId, takeWarning, seen }),
    continuity: new LogContinuity(steps),
    leaseStore: postgresLeaseStore(lease),
    clusterState: new ClusterSnapshots(state, deps.gatewayId, expiryMs),
    gateways: new GatewayStore(state, expiryMs),
    catalog,
    capabilities,
    checkpoints: new Checkpoints(steps),
    copies: new CopyStore(steps),
    decisions,
    nodes,
    members,
    memberList,
    trials: new PostgresTrialStore(steps),
    quarantine: new Quarantine(queries, (lsn, isClosed) => decisions.quarantineClosed(lsn, isClosed)),
    scrub: new ScrubStore(queries),
    eventStore,
    postgresProbe: new PostgresProbe({ database: queries, clock: deps.clock }),
    sizes: new DataSizeReader(queries, deps.clock),
    slowRequests: new SlowRequestStore(queries, deps.gatewayId),
    history: new HistoryStore(queries),
    alerts: new AlertStore(queries),
    events: buildEvents(eventStore, deps, life),
  };
}

/** The list of nodes, with those that are named and that it has never had. Throws StartupError when it would be empty. */
async function seededList(members: MemberStore, { nodeDirectory, logger }: Deps): Promise<MemberList> {
  let named: readonly NodeLocation[];
  try {
    named = await nodeDirectory.nodes();
  } catch (error) {
    const list = await members.list();
    if (list.members.every(({ removed }) => removed))
      throw new StartupError(`No Chroma server is known: ${String(error)}. Start again when DNS responds.`);
    logger.warn({ error: String(error) }, 'named nodes not read; the list of nodes stays as it is');
    return list;
  }
  await members.seed(named);
  return members.list();
}

function buildEvents(store: EventStore, { clock, gatewayId, logger }: Deps, life: Lifecycle): EventLog {
  const events = new EventLog({
    store,
    gateway: gatewayId,
    clock,
    onError: (error) => logger.warn({ error: String(error) }, 'events not stored'),
  });
  life.add({
    name: 'events',
    start: async () => events.record('gateway_started'),
    stop: async () => {
      events.record('gateway_stopped');
      await events.stop();
    },
  });
  return events;
}

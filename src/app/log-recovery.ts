// Says what a log has lost, and ends the loss while no gateway leads.

import type { Config } from '../config/config.ts';
import { postgresLeaseStore, type LeaseStore } from '../coordination/lease.ts';
import { StartupError } from '../errors.ts';
import { CapabilityLevel } from '../nodes/capability-level.ts';
import { Database } from '../postgres/database.ts';
import { migrate } from '../postgres/migrate.ts';
import { LogRecovery, type RecoveryReport } from '../repair/log-recovery.ts';
import { RecoveryStore } from '../repair/recovery-store.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import type { ReportProgress } from '../util/progress.ts';
import { postgresServers } from './database-pools.ts';
import { depsOf } from './deps.ts';

const STATEMENT_TIMEOUT_MS = 60_000;
const nothing = (): void => undefined;
const QUIET: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const HOLDER = 'polychrome log recover';

/** What was lost, and what a recovery would do. Throws StartupError. */
export function inspectLoss(config: Config): Promise<RecoveryReport> {
  return withRecovery(config, nothing, (recovery) => recovery.inspect());
}

/** Ends the loss. Throws StartupError, also while a gateway leads. */
export function recoverLog(config: Config, report: ReportProgress = nothing): Promise<RecoveryReport> {
  return withRecovery(config, report, (recovery) => recovery.run());
}

async function withRecovery(
  config: Config,
  report: ReportProgress,
  work: (recovery: LogRecovery) => Promise<RecoveryReport>,
): Promise<RecoveryReport> {
  const deps = depsOf(config, { logger: QUIET });
  const { clock, connections, newId } = deps;
  const database = new Database({
    servers: postgresServers(config, deps),
    schema: config.DATABASE_SCHEMA,
    connectionsMax: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: HOLDER,
    onError: nothing,
  });
  const lease = postgresLeaseStore(database);
  const store = new RecoveryStore(database, newId);
  let servers: { id: string; client: ReturnType<typeof connections.unverified> }[] = [];
  let epoch: number | null = null;
  try {
    await migrate(database, clock);
    const capabilities = new CapabilityLevel(database);
    await capabilities.load();
    servers = (await store.lost()).nodes.map(({ id, url }) => ({
      id,
      client: connections.unverified({ url, clock, readConnections: 1, mutateConnections: 1 }),
    }));
    const recovery = new LogRecovery({
      store,
      servers,
      leavesLists: capabilities.current.metadataArrays,
      idsMax: capabilities.current.maxBatchSize,
      acquire: async () => (epoch = await acquired(lease, config.LEASE_MS, clock)),
      renew: (held) => lease.renew(held),
      report,
    });
    return await work(recovery);
  } finally {
    if (epoch !== null) await lease.release(epoch).catch(nothing);
    await Promise.all(servers.map(({ client }) => client.destroy()));
    await database.close().catch(nothing);
  }
}

/** Takes the lease once nothing has moved in it for as long as a gateway would wait. */
async function acquired(lease: LeaseStore, durationMs: number, clock: Clock): Promise<number> {
  const seen = await lease.read();
  if (seen.holder !== null) await sleep(clock, durationMs);
  const epoch = await lease.acquire(HOLDER, seen);
  if (epoch !== null) return epoch;
  throw new StartupError(
    `Gateway ${seen.holder ?? 'unknown'} leads. Stop all other gateways, then run it again. Nothing was changed.`,
  );
}

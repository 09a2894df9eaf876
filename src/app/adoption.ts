// Adoption: a server that holds data becomes the first node of a new cluster, at its first start or by command.

import type { Config } from '../config/config.ts';
import { StartupError } from '../errors.ts';
import { Database } from '../postgres/database.ts';
import { migrate } from '../postgres/migrate.ts';
import { MemberStore } from '../nodes/member-store.ts';
import { Adoption, type AdoptionReport } from '../repair/adoption.ts';
import { AdoptionStore } from '../repair/adoption-store.ts';
import type { Logger } from '../util/logger.ts';
import { maskCredentials } from '../util/mask-credentials.ts';
import type { ReportProgress } from '../util/progress.ts';
import { postgresServers } from './database-pools.ts';
import { depsOf, type Deps } from './deps.ts';

export interface AdoptCommand {
  readonly isDryRun: boolean;
  readonly report: ReportProgress;
}

const STATEMENT_TIMEOUT_MS = 60_000;
const nothing = (): void => undefined;
const QUIET: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const LOG_EVERY_MS = 10_000;

/** At the first start of a cluster: adopts a first server that holds data, or throws StartupError. */
export async function adoptAtStart(config: Config, deps: Deps, database: Database): Promise<void> {
  const { logger, clock } = deps;
  let loggedAt = -LOG_EVERY_MS;
  const report: ReportProgress = (progress) => {
    if (clock.monotonic() - loggedAt < LOG_EVERY_MS) return;
    loggedAt = clock.monotonic();
    logger.info({ ...progress }, 'adopting');
  };
  const first = config.nodes[0];
  if (first === undefined) {
    if (config.ADOPT)
      throw new StartupError('ADOPT needs servers that are named by NODES or PRIMARY_URL, not by DNS.');
    return;
  }
  await withServers(config, deps, async (servers) => {
    const adoption = adoptionOf(config, { servers, database, deps, report });
    const isWanted = await adoption.isWanted().catch((error: unknown) => {
      if (config.ADOPT)
        throw new StartupError(
          `ADOPT is set, and the first server cannot be read: ${maskCredentials(String(error))}`,
        );
      return false;
    });
    if (!isWanted) return;
    if (!config.ADOPT) {
      throw new StartupError(
        `The server of node "${first.id}" holds data. Set ADOPT=true to take its collections into the cluster under their ids ("polychrome adopt --dry-run" shows what that means), or give it an empty data directory. Nothing was changed.`,
      );
    }
    await new MemberStore(database).seed(config.nodes);
    const { node, collections, records, others } = await adoption.run();
    logger.info({ node, collections: collections.length, records, others }, 'server adopted');
  });
}

/** `polychrome adopt`, in the environment of the gateway. Throws StartupError. */
export async function runAdoption(
  config: Config,
  { isDryRun, report }: AdoptCommand,
): Promise<AdoptionReport> {
  const deps = depsOf(config, { logger: QUIET });
  const database = new Database({
    servers: postgresServers(config, deps),
    schema: config.DATABASE_SCHEMA,
    connectionsMax: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: 'polychrome adopt',
    onError: () => undefined,
  });
  try {
    return await withServers(config, deps, async (servers) => {
      const adoption = adoptionOf(config, { servers, database, deps, report });
      if (isDryRun) return adoption.dryRun();
      await migrate(database, deps.clock);
      await new MemberStore(database).seed(config.nodes);
      return adoption.run();
    });
  } finally {
    await database.close().catch(() => undefined);
  }
}

type Servers = ConstructorParameters<typeof Adoption>[0]['servers'];

async function withServers<T>(
  { nodes }: Config,
  { connections, clock }: Deps,
  work: (servers: Servers) => Promise<T>,
): Promise<T> {
  const servers = nodes.map(({ id, url }) => ({
    id,
    client: connections.unverified({ url, clock, readConnections: 2, mutateConnections: 1 }),
  }));
  try {
    return await work(servers);
  } finally {
    await Promise.all(servers.map(({ client }) => client.destroy()));
  }
}

function adoptionOf(
  config: Config,
  {
    servers,
    database,
    deps,
    report,
  }: { servers: Servers; database: Database; deps: Deps; report: ReportProgress },
): Adoption {
  const { newId, clock } = deps;
  return new Adoption({
    store: new AdoptionStore(database, newId),
    servers,
    tenants: config.ADOPT_TENANTS,
    rebuild: config.ADOPT_REBUILD,
    newId,
    clock,
    report,
  });
}

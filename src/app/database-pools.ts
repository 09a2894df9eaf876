// One bounded pool of connections to PostgreSQL for each purpose, so that no purpose waits for another's work.

import type { Config } from '../config/config.ts';
import { Database } from '../postgres/database.ts';
import { PasswordCommand } from '../postgres/password-command.ts';
import { PostgresServers } from '../postgres/postgres-servers.ts';
import { requireConnections } from '../postgres/require-connections.ts';
import { requireServer } from '../postgres/require-server.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';

/** Connections of each pool. An append needs a connection of its own to know whose warning it received. */
const CONNECTIONS = { queries: 4, append: 1, steps: 2, lease: 1, state: 1 } as const;

/** What one gateway process needs. */
export const CONNECTIONS_PER_GATEWAY = Object.values(CONNECTIONS).reduce((total, each) => total + each, 0);

export interface DatabasePools extends Readonly<Record<keyof typeof CONNECTIONS, Database>> {
  /** Pools by purpose, for metrics. */
  readonly all: readonly (readonly [string, Database])[];
  /** Returns and clears the last warning that the connection for appends received. */
  readonly takeWarning: () => string | null;
}

const STATEMENT_TIMEOUT_MS = 10_000;
// The state of the cluster is one row; a server that takes longer does not respond.
const STATE_TIMEOUT_MS = 2_000;

/** Resolves when PostgreSQL can be used by a gateway. Throws StartupError. */
export async function buildPools(config: Config, deps: Deps, life: Lifecycle): Promise<DatabasePools> {
  const { logger } = deps;
  const servers = postgresServers(config, deps);
  let warning: string | null = null;
  const pool = (purpose: keyof typeof CONNECTIONS): Database => {
    const database = new Database({
      servers,
      schema: config.DATABASE_SCHEMA,
      connectionsMax: CONNECTIONS[purpose],
      statementTimeoutMs: purpose === 'state' ? STATE_TIMEOUT_MS : STATEMENT_TIMEOUT_MS,
      applicationName: `polychrome ${purpose}`,
      onError: ({ message }) => logger.warn({ error: message, purpose }, 'PostgreSQL connection lost'),
      ...(purpose === 'append' ? { onWarning: (text: string) => (warning = text) } : {}),
    });
    life.add({ name: `PostgreSQL pool ${purpose}`, stop: () => database.close() });
    return database;
  };
  const pools = {
    queries: pool('queries'),
    append: pool('append'),
    steps: pool('steps'),
    lease: pool('lease'),
    state: pool('state'),
  };
  await requireServer(pools.queries, servers.label);
  await requireConnections(pools.queries, servers.label, CONNECTIONS_PER_GATEWAY);
  const takeWarning = (): string | null => {
    const text = warning;
    warning = null;
    return text;
  };
  return { ...pools, all: Object.entries(pools), takeWarning };
}

/** Where to connect to, as the settings say. Throws StartupError. */
export function postgresServers(
  config: Config,
  { clock, logger }: Pick<Deps, 'clock' | 'logger'>,
): PostgresServers {
  const { DATABASE_URL: url, DATABASE_URL_FILE: file, DATABASE_PASSWORD_COMMAND: command } = config;
  return new PostgresServers({
    url: url ?? { file: file as string },
    ...(command === undefined ? {} : { password: new PasswordCommand(command, clock) }),
    onError: (reason) =>
      logger.warn({ reason }, 'DATABASE_URL_FILE not read; the last connection string is used'),
    onMoved: (from, to, reason) => logger.warn({ from, to, reason }, 'PostgreSQL server changed'),
  });
}

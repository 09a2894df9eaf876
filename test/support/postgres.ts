// Starts a PostgreSQL for a test file, with a new schema for each test.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../../src/local/postgres.ts';
import { Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrate.ts';
import { PostgresServers } from '../../src/postgres/postgres-servers.ts';
import { systemClock } from '../../src/util/clock.ts';

export interface TestPostgres {
  readonly url: string;
  /** A pool on a new, migrated schema; stop() closes it. */
  database(connectionsMax?: number): Promise<Database>;
  stop(): Promise<void>;
}

export async function testPostgres(): Promise<TestPostgres> {
  const dir = await mkdtemp(join(tmpdir(), 'polychrome-test-'));
  const postgres = await startPostgres({ dir: join(dir, 'postgres'), clock: systemClock });
  const open: Database[] = [];
  let schemas = 0;
  return {
    url: postgres.url,
    async database(connectionsMax = 4) {
      const database = new Database({
        servers: new PostgresServers({ url: postgres.url }),
        schema: `test_${++schemas}`,
        connectionsMax,
        statementTimeoutMs: 10_000,
        applicationName: 'polychrome test',
        onError: () => undefined,
      });
      open.push(database);
      await migrate(database);
      return database;
    },
    async stop() {
      await Promise.all(open.map((database) => database.close()));
      await postgres.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

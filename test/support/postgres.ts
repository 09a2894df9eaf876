// A PostgreSQL for a test file, with a new schema for each test.

import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { postgresLeaseStore } from '../../src/coordination/lease.ts';
import { Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrate.ts';
import { PostgresServers } from '../../src/postgres/postgres-servers.ts';
import { startTestPostgres } from './new-postgres.ts';
import { systemClock } from '../../src/util/clock.ts';

export interface TestPostgres {
  readonly url: string;
  /** A pool on a new, migrated schema; stop() closes it. */
  database(connectionsMax?: number): Promise<Database>;
  stop(): Promise<void>;
}

/** The server that all files of a run share (global-postgres.ts), so nothing outside of a schema may be changed. */
export async function testPostgres(): Promise<TestPostgres> {
  return onServer(inject('postgresUrl'), async () => undefined);
}

/** A server of its own, for tests that change roles, limits or the server itself. */
export async function ownPostgres(): Promise<TestPostgres> {
  const { url, stop } = await startTestPostgres();
  return onServer(url, stop);
}

/** Makes a gateway the leader; returns its epoch. */
export async function takeLease(database: Database, gateway = 'gateway'): Promise<number> {
  const lease = postgresLeaseStore(database);
  return (await lease.acquire(gateway, await lease.read()))!;
}

function onServer(url: string, stop: () => Promise<void>): TestPostgres {
  const open: Database[] = [];
  return {
    url,
    async database(connectionsMax = 4) {
      const database = new Database({
        servers: new PostgresServers({ url }),
        schema: `test_${randomBytes(8).toString('hex')}`,
        connectionsMax,
        statementTimeoutMs: 10_000,
        applicationName: 'polychrome test',
        onError: () => undefined,
      });
      open.push(database);
      await migrate(database, systemClock);
      return database;
    },
    async stop() {
      await Promise.all(open.map((database) => database.close()));
      await stop();
    },
  };
}

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../../test/support/until.ts';
import { ownPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { Database } from './database.ts';
import { PostgresServers } from './postgres-servers.ts';
import { connectionShortage, requireConnections } from './require-connections.ts';

let postgres: TestPostgres;
let admin: Database;
beforeAll(async () => {
  postgres = await ownPostgres();
  admin = await postgres.database(1);
});
afterAll(() => postgres.stop());

/** What a start as `role` comes to when the gateway needs this many connections. */
async function start(role: string, needed: number): Promise<string> {
  const url = new URL(postgres.url);
  url.username = role;
  url.password = 'secret';
  const database = new Database({
    servers: new PostgresServers({ url: url.href }),
    schema: 'polychrome',
    connectionsMax: 1,
    statementTimeoutMs: 10_000,
    applicationName: 'test',
    onError: () => undefined,
  });
  try {
    await requireConnections(database, 'db', needed);
    return 'started';
  } catch (error) {
    return (error as Error).message;
  } finally {
    await database.close();
  }
}

test('a role with too low a limit is refused in one sentence', async () => {
  await admin.query(`create role few login password 'secret' connection limit 3`);
  expect(await start('few', 8)).toBe(
    'PostgreSQL at db has too few connections: a gateway process needs 8, and the connection limit of role "few" leaves 3 (3 in all, 0 in use by others); raise it with ALTER ROLE … CONNECTION LIMIT, or close other connections.',
  );
  // PostgreSQL counts a connection until its process has ended.
  await until(async () => {
    const rows = await admin.query(`select 1 from pg_stat_activity where usename = 'few'`);
    return rows.length === 0;
  }, 'the connections of the role have ended');
  expect(await start('few', 3)).toBe('started');
});

test('a server without enough free connections is refused', async () => {
  await admin.query(`create role many login password 'secret'`);
  // 100 in all, of which 3 are reserved for superusers and at least one is in use by this test.
  expect(await start('many', 90)).toBe('started');
  expect(await start('many', 97)).toMatch(/max_connections without reserved ones leaves 9\d \(97 in all, /);
});

test('a superuser is exempt from the limits of role and database', async () => {
  await admin.query(`alter role postgres connection limit 1`);
  expect(await admin.isPooled()).toBe(false);
  await requireConnections(admin, 'db', 8);
});

describe('the lowest limit is named:', () => {
  const ample = {
    role: 'r',
    isSuperuser: false,
    roleMax: -1,
    roleUsed: 1,
    databaseMax: -1,
    databaseUsed: 1,
    serverMax: 100,
    serverUsed: 1,
  };
  test.each([
    [{}, null],
    [{ serverUsed: 93 }, null],
    [{ serverUsed: 94 }, 'max_connections without reserved ones leaves 7'],
    [{ databaseMax: 9, databaseUsed: 4 }, 'the connection limit of the database leaves 6'],
    [{ databaseMax: 9, databaseUsed: 4, roleMax: 2 }, 'the connection limit of role "r" leaves 2'],
    [{ roleMax: 0, roleUsed: 4 }, 'leaves 0'],
    [{ roleMax: 0, isSuperuser: true }, null],
  ])('%o', (limits, expected) => {
    const found = connectionShortage({ ...ample, ...limits }, 8);
    if (expected === null) expect(found).toBeNull();
    else expect(found).toContain(expected);
  });
});

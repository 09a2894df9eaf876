import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ownPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { until } from '../../test/support/until.ts';
import { systemClock } from '../util/clock.ts';
import { Database, type Row } from './database.ts';
import { PasswordCommand } from './password-command.ts';
import { PostgresServers, type PostgresServersOptions } from './postgres-servers.ts';

let first: TestPostgres;
let admin: Database;
let second: TestPostgres;
let dir: string;
const open: Database[] = [];
beforeAll(async () => {
  [first, second] = await Promise.all([ownPostgres(), ownPostgres()]);
  dir = mkdtempSync(join(tmpdir(), 'polychrome-test-'));
  for (const postgres of [first, second])
    await as(postgres, `create role gateway login superuser password 'first'`);
  admin = databaseOn({ url: first.url }, 1);
});
afterAll(async () => {
  await Promise.all(open.map((database) => database.close()));
  await Promise.all([first.stop(), second.stop()]);
  rmSync(dir, { recursive: true, force: true });
});

const hostOf = ({ url }: TestPostgres): string => new URL(url).host;
const both = (password = 'first'): string =>
  `postgres://gateway:${password}@${hostOf(first)},${hostOf(second)}/postgres`;

function databaseOn(options: PostgresServersOptions, connectionsMax = 2): Database {
  const database = new Database({
    servers: new PostgresServers(options),
    schema: 'polychrome',
    connectionsMax,
    statementTimeoutMs: 5_000,
    applicationName: 'test',
    onError: () => undefined,
  });
  open.push(database);
  return database;
}

/** The port of the server that responds. */
async function portOf(database: Database): Promise<string> {
  const [row] = await database.query(`select current_setting('port') as port`);
  return String(row!['port']);
}
const port = ({ url }: TestPostgres): string => new URL(url).port;

async function as(postgres: TestPostgres, text: string): Promise<Row[]> {
  return databaseOn({ url: postgres.url }, 1).query(text);
}

describe('with several servers', () => {
  test('the first that accepts writes is used', async () => {
    const moves: string[] = [];
    const onMoved = (from: string, to: string): void => void moves.push(`${from} to ${to}`);
    const database = databaseOn({ url: both(), onMoved });
    expect(await portOf(database)).toBe(port(first));
    await as(first, 'alter role gateway set default_transaction_read_only = on');
    try {
      expect(await portOf(databaseOn({ url: both(), onMoved }))).toBe(port(second));
    } finally {
      await as(first, 'alter role gateway reset all');
    }
    expect(moves).toEqual([`${hostOf(first)} to ${hostOf(second)}`]);
  });

  test('a connection whose server no longer accepts writes is left, and all pools with it', async () => {
    const servers = new PostgresServers({ url: both() });
    const pool = (): Database => {
      const options = { servers, schema: 's', connectionsMax: 1, statementTimeoutMs: 5_000 };
      const database = new Database({ ...options, applicationName: 'test', onError: () => undefined });
      open.push(database);
      return database;
    };
    const [one, another] = [pool(), pool()];
    expect([await portOf(one), await portOf(another)]).toEqual([port(first), port(first)]);
    await expect(
      one.transaction(async (query) => {
        await query('set transaction read only');
        await query('create table refused (n int)');
      }),
    ).rejects.toThrow('read-only');
    expect([await portOf(one), await portOf(another)]).toEqual([port(second), port(second)]);
  });

  test('a server that refuses connections is passed over', async () => {
    const database = databaseOn({ url: `postgres://gateway:first@127.0.0.1:1,${hostOf(second)}/postgres` });
    expect(await portOf(database)).toBe(port(second));
  });

  test('the error of the last is reported when none responds', async () => {
    const database = databaseOn({ url: 'postgres://gateway:first@127.0.0.1:1,127.0.0.1:2/postgres' });
    await expect(database.query('select 1')).rejects.toThrow('ECONNREFUSED 127.0.0.1:2');
  });
});

describe('the password changes under load without a restart when it comes from', () => {
  /** Runs queries while `rotate` gives the role a new password and all of its connections are ended. */
  async function survives(database: Database, rotate: () => Promise<void>): Promise<void> {
    const stop = new AbortController();
    /** Successful queries of each loop. */
    const successes = [0, 0];
    const failures: string[] = [];
    const query = async (loop: number): Promise<void> => {
      while (!stop.signal.aborted) {
        try {
          await database.query('select 1');
          successes[loop]! += 1;
        } catch (error) {
          failures.push((error as Error).message);
          await pause(5);
        }
      }
    };
    const load = Promise.all([query(0), query(1)]);
    const eachSucceeds = async (times: number): Promise<void> => {
      const wanted = successes.map((count) => count + times);
      await until(
        async () => successes.every((count, loop) => count >= wanted[loop]!),
        'queries of each loop succeed',
      );
    };
    try {
      await eachSucceeds(25);
      await rotate();
      const ended = await as(
        first,
        `select pid, pg_terminate_backend(pid) from pg_stat_activity where usename = 'gateway'`,
      );
      const pids = ended.map(({ pid }) => Number(pid));
      await until(async () => {
        const left = await admin.query('select 1 from pg_stat_activity where pid = any($1)', [pids]);
        return left.length === 0;
      }, 'the old connections have ended');
      // The first success may be of a query sent before that; the second is of a new connection.
      await eachSucceeds(2);
      failures.length = 0;
      await eachSucceeds(25);
    } finally {
      stop.abort();
      await load;
    }
    expect(failures).toEqual([]);
  }

  test('a file', async () => {
    const file = join(dir, 'url');
    const write = (password: string): void =>
      writeFileSync(file, `postgres://gateway:${password}@${hostOf(first)}/postgres\n`);
    write('first');
    await survives(databaseOn({ url: { file } }), async () => {
      await as(first, `alter role gateway password 'second'`);
      write('second');
    });
  });

  test('a command', async () => {
    const file = join(dir, 'password');
    writeFileSync(file, 'second\n');
    const password = new PasswordCommand(`cat ${file}`, systemClock);
    const url = `postgres://gateway@${hostOf(first)}/postgres`;
    await survives(databaseOn({ url, password }), async () => {
      await as(first, `alter role gateway password 'third'`);
      writeFileSync(file, 'third\n');
    });
  });
});

test('a file that cannot be read any more leaves the last connection string in use', async () => {
  const file = join(dir, 'gone');
  writeFileSync(file, second.url);
  const reasons: string[] = [];
  const database = databaseOn({ url: { file }, onError: (reason) => reasons.push(reason) });
  rmSync(file);
  expect(await portOf(database)).toBe(port(second));
  expect(reasons).toEqual([expect.stringContaining('DATABASE_URL_FILE cannot be read')]);
});

describe('a start is refused when', () => {
  test('the file is missing or holds no connection string', () => {
    expect(() => new PostgresServers({ url: { file: join(dir, 'none') } })).toThrow('cannot be read: ENOENT');
    writeFileSync(join(dir, 'bad'), 'mysql://u:secret@db');
    expect(() => new PostgresServers({ url: { file: join(dir, 'bad') } })).toThrow(
      /^DATABASE_URL_FILE must be a URL that begins with (?!.*secret)/,
    );
  });

  test('the password is given twice', () => {
    const password = new PasswordCommand('true', systemClock);
    expect(() => new PostgresServers({ url: 'postgres://a:b@c/d', password })).toThrow('remove one of them');
  });
});

test('a failing command is reported without its text', async () => {
  const password = new PasswordCommand('echo secret; exit 3', systemClock);
  const database = databaseOn({ url: `postgres://gateway@${hostOf(second)}/postgres`, password });
  await expect(database.query('select 1')).rejects.toThrow(
    /^DATABASE_PASSWORD_COMMAND failed \(exit code 3\)$/,
  );
});

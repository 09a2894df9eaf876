// A PostgreSQL and a standby that follows it by streaming replication, both from the packages of `npm ci`.

import { appendFileSync, chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres, type Postgres } from '../../src/local/postgres.ts';
import { copyPostgresTemplate } from './postgres-template.ts';
import { until } from './until.ts';

export class PostgresPair {
  readonly primary: Postgres;
  readonly standby: Postgres;
  readonly #dir: string;
  #isPromoted = false;

  private constructor(dir: string, primary: Postgres, standby: Postgres) {
    this.#dir = dir;
    this.primary = primary;
    this.standby = standby;
  }

  /** Resolves when the standby streams. With `synchronous` each commit waits for it. */
  static async start({ synchronous }: { readonly synchronous: boolean }): Promise<PostgresPair> {
    const dir = mkdtempSync(join(tmpdir(), 'polychrome-pair-'));
    const [first, second] = [join(dir, 'first'), join(dir, 'second')];
    // The copy is made while it is stopped: the package has no pg_basebackup.
    await copyPostgresTemplate(first);
    const original = await startPostgres({ dir: first });
    await original.stop();
    cpSync(first, second, { recursive: true, preserveTimestamps: true });
    chmodSync(join(second, 'data'), 0o700);
    writeFileSync(join(second, 'data', 'standby.signal'), '');
    const settings = synchronous ? { synchronous_standby_names: 'standby' } : {};
    const primary = await startPostgres({ dir: first, settings });
    const { username, password, hostname, port } = new URL(primary.url);
    const source = `host=${hostname} port=${port} user=${username} password=${password} application_name=standby`;
    // In a file, so that detach() can change it.
    appendFileSync(join(second, 'data', 'postgresql.auto.conf'), `primary_conninfo = '${source}'\n`);
    const standby = await startPostgres({ dir: second });
    const pair = new PostgresPair(dir, primary, standby);
    await until(
      async () => (await query(primary, 'select 1 from pg_stat_replication')).length === 1,
      'the standby streams',
    );
    return pair;
  }

  /** A connection string with both, the first primary first; by default as the superuser. */
  url(credentials?: string): string {
    const url = new URL(this.primary.url);
    const user = credentials ?? `${url.username}:${url.password}`;
    return `postgres://${user}@${url.host},${new URL(this.standby.url).host}/postgres?target_session_attrs=read-write`;
  }

  /** The standby receives nothing more: what is committed from now on, it lacks. */
  async detach(): Promise<void> {
    await query(this.standby, 'alter system reset primary_conninfo');
    await query(this.standby, 'select pg_reload_conf()');
    const streams = (): Promise<unknown[]> => query(this.primary, 'select 1 from pg_stat_replication');
    await until(async () => (await streams()).length === 0, 'the standby no longer streams');
  }

  /** Makes the standby the new primary. */
  async promote(): Promise<void> {
    const [row] = await query(this.standby, 'select pg_promote() as promoted');
    if (row?.['promoted'] !== true) throw new Error('the standby was not promoted');
    this.#isPromoted = true;
  }

  /** The superuser's connection string to the server that takes writes. */
  get writableUrl(): string {
    return (this.#isPromoted ? this.standby : this.primary).url;
  }

  async stop(): Promise<void> {
    await Promise.all([this.primary.stop(), this.standby.stop()]);
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** Executes one statement on a server. */
export async function query(
  { url }: Pick<Postgres, 'url'>,
  text: string,
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

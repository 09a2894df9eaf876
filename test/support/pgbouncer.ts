// PgBouncer in transaction mode in front of a PostgreSQL: Debian's package, which .ci/run installs.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { findFreePort } from '../../src/local/port.ts';
import { until } from './until.ts';

// Debian installs it outside the path of ordinary users.
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin`;
/** A user without rights: PgBouncer does not run as root. */
const UNPRIVILEGED = 65534;

export class PgBouncer {
  readonly url: string;
  readonly #process: ChildProcess;
  readonly #dir: string;

  private constructor(process: ChildProcess, dir: string, url: string) {
    this.#process = process;
    this.#dir = dir;
    this.url = url;
  }

  /** Why it cannot be started; null when it can. Under CI it must start. */
  static unavailable(): string | null {
    if (process.env['CI'] === 'true') return null;
    try {
      execFileSync('pgbouncer', ['--version'], { env: { PATH }, stdio: 'ignore' });
      return null;
    } catch {
      return 'pgbouncer is not installed';
    }
  }

  /** A pool of `connections` to the PostgreSQL at this connection string. */
  static async start(databaseUrl: string, connections: number): Promise<PgBouncer> {
    const { username, password, hostname, port } = new URL(databaseUrl);
    const dir = mkdtempSync(join(tmpdir(), 'polychrome-pgbouncer-'));
    const own = await findFreePort();
    const file = (name: string, lines: readonly string[]): string => {
      writeFileSync(join(dir, name), `${lines.join('\n')}\n`);
      return join(dir, name);
    };
    const users = file('users', [`"${username}" "${password}"`]);
    const config = file('config', [
      '[databases]',
      `* = host=${hostname} port=${port}`,
      '[pgbouncer]',
      'pool_mode = transaction',
      'listen_addr = 127.0.0.1',
      `listen_port = ${own}`,
      'unix_socket_dir =',
      'auth_type = plain',
      `auth_file = ${users}`,
      `default_pool_size = ${connections}`,
    ]);
    chmodSync(dir, 0o755);
    const root = process.getuid?.() === 0;
    const child = spawn('pgbouncer', ['--quiet', config], {
      env: { PATH },
      stdio: 'ignore',
      ...(root ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {}),
    });
    let failure: Error | null = null;
    child.on('error', (error) => (failure = error));
    const url = new URL(databaseUrl);
    url.port = String(own);
    const bouncer = new PgBouncer(child, dir, url.href);
    await until(async () => {
      if (failure !== null || child.exitCode !== null) return true;
      const client = new pg.Client({ connectionString: url.href });
      client.on('error', () => undefined);
      await client.connect();
      await client.end();
      return true;
    }, 'PgBouncer accepts connections');
    if (failure !== null || child.exitCode !== null)
      throw new Error(`PgBouncer did not start (exit code ${child.exitCode})`, { cause: failure });
    return bouncer;
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    if (this.#process.kill('SIGKILL')) await exited;
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

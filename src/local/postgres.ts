// Starts PostgreSQL for a local cluster: with fsync, reachable from this machine only, with a password that stays in
// the data folder. DIR contains `data` (of PostgreSQL), `password`, `port` and `postgres.log`.

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { Client } from 'pg';
import { StartupError } from '../errors.ts';
import { type Clock, sleep, systemClock } from '../util/clock.ts';
import { type Child, type StopStep, spawnChild } from './child.ts';
import { diskFull, errorCode, explainFilesystemError } from './filesystem-errors.ts';
import { commandLineOf } from './process-identity.ts';
import { findFreePort, isPortFree, PortTakenError } from './port.ts';
import {
  findPostgresBinaries,
  postgresUser,
  type PostgresBinaries,
  type RunAs,
} from './postgres-binaries.ts';

export interface PostgresOptions {
  /** The folder of its data, password, port and output; created when missing. */
  readonly dir: string;
  /** Default: the port of the last start when it is free, otherwise a free port. */
  readonly port?: number | undefined;
  readonly clock?: Clock | undefined;
  /** Aborting cancels the start and stops the process. */
  readonly signal?: AbortSignal | undefined;
  /** Variables added to its environment. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly onSpawn?: ((pid: number) => void) | undefined;
  /** Additional settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

export interface Postgres extends Child {
  /** Connection string of the superuser for the database `postgres`; contains the password. */
  readonly url: string;
  readonly port: number;
}

/** Fast shutdown, then immediate. SIGTERM ("smart" mode of pg_ctl) waits for all clients to disconnect. */
export const POSTGRES_STOP: readonly StopStep[] = [
  { signal: 'SIGINT', waitMs: 10_000 },
  { signal: 'SIGQUIT', waitMs: 3_000 },
];

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  // Several Chroma servers share the machine, and the log is read and written near its head.
  shared_buffers: '64MB',
  max_wal_size: '512MB',
  // The reads are too small to benefit from the default three I/O workers.
  io_method: 'sync',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
};

/** Crash recovery replays at most max_wal_size, which takes less than this on a slow disk. */
const READY_WAIT_MS = 120_000;
const READY_POLL_MS = 20;
const PORT_TRIES_MAX = 5;
/** PostgreSQL refuses to start until the backends of a killed postmaster have exited, usually within a second. */
const LEFTOVER_TRIES_MAX = 50;
const LEFTOVER_POLL_MS = 100;

interface Place {
  readonly dir: string;
  readonly data: string;
  readonly binaries: PostgresBinaries;
  readonly runAs: RunAs;
  readonly password: string;
}

/** Starts PostgreSQL on `dir`, initialising a new folder first; resolves when it accepts connections. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const clock = options.clock ?? systemClock;
  const dir = resolve(options.dir);
  const place = await prepare(dir, options.env).catch((error: unknown) => {
    throw explainFilesystemError(error, dir);
  });
  for (let tries = 1; ; tries += 1) {
    const port = await choosePort(options.port, place);
    try {
      return await launch(place, port, clock, options);
    } catch (error) {
      if (!(error instanceof PortTakenError) || options.port !== undefined || tries === PORT_TRIES_MAX)
        throw error;
    }
  }
}

async function prepare(dir: string, env: NodeJS.ProcessEnv | undefined): Promise<Place> {
  const binaries = findPostgresBinaries();
  const data = join(dir, 'data');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const runAs = postgresUser(data, binaries);
  const passwordFile = join(dir, 'password');
  if (!existsSync(data)) await initialise({ dir, data, binaries, runAs, passwordFile, env });
  if (statSync(data).uid === 0) handOver(dir, runAs); // root has copied the folder
  return { dir, data, binaries, runAs, password: readFileSync(passwordFile, 'utf8').trim() };
}

interface NewData {
  readonly dir: string;
  readonly data: string;
  readonly binaries: PostgresBinaries;
  readonly runAs: RunAs;
  readonly passwordFile: string;
  readonly env: NodeJS.ProcessEnv | undefined;
}

async function initialise(place: NewData): Promise<void> {
  const { dir, data, binaries, runAs, passwordFile } = place;
  // Renames the folder when it is complete, so that an interrupted start leaves no partial data.
  const unfinished = join(dir, 'data.unfinished');
  rmSync(unfinished, { recursive: true, force: true });
  writeFileSync(passwordFile, `${randomBytes(24).toString('hex')}\n`, { mode: 0o600 });
  mkdirSync(unfinished, { mode: 0o700 });
  handOver(dir, runAs);
  const files = ['--pgdata', unfinished, '--pwfile', passwordFile];
  const shape = '--username postgres --auth scram-sha-256 --encoding UTF8 --locale C --no-instructions';
  await runInitdb(place, [binaries.initdb, ...files, ...shape.split(' ')]);
  renameSync(unfinished, data);
}

/** Makes the user that runs PostgreSQL the owner of the folder and its content. */
function handOver(dir: string, { uid, gid }: RunAs): void {
  if (uid === undefined || gid === undefined) return;
  for (const path of ['', ...readdirSync(dir, { recursive: true, encoding: 'utf8' })])
    lchownSync(join(dir, path), uid, gid);
}

function runInitdb({ runAs, dir, env }: NewData, command: readonly string[]): Promise<void> {
  const [program = '', ...args] = [...runAs.prefix, ...command];
  const user = runAs.prefix.length > 0 || runAs.uid === undefined ? {} : { uid: runAs.uid, gid: runAs.gid! };
  return new Promise((done, fail) => {
    execFile(
      program,
      args,
      { cwd: dir, env: { ...process.env, ...env }, ...user },
      (error, stdout, stderr) => {
        if (error === null) return done();
        fail(explainOutput(`${stdout}\n${stderr}`, dir, error));
      },
    );
  });
}

async function choosePort(asked: number | undefined, place: Place): Promise<number> {
  const file = join(place.dir, 'port');
  if (asked !== undefined) return asked;
  const remembered = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
  if (remembered > 0 && (await isPortFree(remembered))) return remembered;
  const port = await findFreePort();
  writeFileSync(file, `${port}\n`);
  return port;
}

async function launch(place: Place, port: number, clock: Clock, options: PostgresOptions): Promise<Postgres> {
  const { runAs } = place;
  const settings = { ...SETTINGS, port: String(port), ...options.settings };
  const [command, ...args] = [...runAs.prefix, place.binaries.postgres, '-D', place.data];
  for (const [name, value] of Object.entries(settings)) args.push('-c', `${name}=${value}`);
  const url = `postgresql://postgres:${place.password}@127.0.0.1:${port}/postgres`;
  for (let tries = 1; ; tries += 1) {
    const child = await spawnChild({
      name: 'PostgreSQL',
      command,
      args,
      cwd: place.dir,
      env: { ...process.env, ...options.env, ...ignoreDeadPostmaster(place.data) },
      logFile: join(place.dir, 'postgres.log'),
      ...(runAs.prefix.length > 0 ? {} : { uid: runAs.uid, gid: runAs.gid }),
      stopSequence: POSTGRES_STOP,
      clock,
      onSpawn: options.onSpawn,
    });
    try {
      await untilReady(child, url, clock, options.signal);
      return { ...child, url, port };
    } catch (error) {
      await child.stop();
      const output = child.output();
      if (/could not bind .*Address (already )?in use/.test(output)) {
        throw new PortTakenError(`Port ${port} is in use by another program.`, { cause: error });
      }
      const leftover = /pre-existing shared memory block .* is still in use/.test(output);
      if (!leftover || tries === LEFTOVER_TRIES_MAX) throw explainOutput(output, place.dir, error);
      await sleep(clock, LEFTOVER_POLL_MS, options.signal);
    }
  }
}

/**
 * A killed postmaster leaves its pid file. PostgreSQL refuses to start while any process has that pid: a zombie in a
 * container without init, or another program. This variable, meant for pg_ctl, excludes the pid from that check
 * (CreateLockFile in miscinit.c); the check for running backends still applies.
 */
function ignoreDeadPostmaster(data: string): NodeJS.ProcessEnv {
  const pidFile = join(data, 'postmaster.pid');
  if (!existsSync(pidFile)) return {};
  const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
  const alive = Number.isNaN(pid) || commandLineOf(pid).includes(data);
  return alive ? {} : { PG_GRANDPARENT_PID: String(pid) };
}

/** SQLSTATE cannot_connect_now: PostgreSQL is starting or recovering. */
const STARTING_UP = '57P03';

async function untilReady(child: Child, url: string, clock: Clock, signal?: AbortSignal): Promise<void> {
  let exited = false;
  void child.exited.then(() => (exited = true));
  const deadline = clock.monotonic() + READY_WAIT_MS;
  for (;;) {
    signal?.throwIfAborted();
    const refusal = await tryConnecting(url);
    if (exited) throw new Error('PostgreSQL exited during startup.');
    if (refusal === null) return;
    const waiting = ['ECONNREFUSED', 'ECONNRESET', STARTING_UP].includes(errorCode(refusal.error) ?? '');
    if (!waiting || clock.monotonic() > deadline) throw refusal.error;
    await sleep(clock, READY_POLL_MS, signal);
  }
}

/** Returns null after a successful connection, otherwise the error. */
async function tryConnecting(url: string): Promise<{ readonly error: unknown } | null> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {}); // connect() or end() reports it
  try {
    await client.connect();
    return null;
  } catch (error) {
    return { error };
  } finally {
    await client.end().catch(() => {});
  }
}

/** Turns the last error in PostgreSQL's output into a StartupError. */
function explainOutput(output: string, dir: string, cause: unknown): unknown {
  if (cause instanceof Error && cause.name === 'AbortError') return cause;
  if (output.includes('No space left on device')) return diskFull(dir, cause);
  const lines = output.split('\n').filter((line) => /\b(FATAL|PANIC|error):/.test(line));
  const reason = lines.at(-1)?.replace(/^.*?\b(FATAL|PANIC|error):\s*/, '') ?? String(cause);
  return new StartupError(`PostgreSQL did not start in ${dir}: ${reason}.`, { cause });
}

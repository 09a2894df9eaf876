// Faults of the real PostgreSQL of a cluster.

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { LocalCluster } from '../../src/local/cluster.ts';
import type { TestCluster } from './cluster.ts';

/** A cluster whose PostgreSQL is asked as the superuser. */
export interface SqlTarget {
  readonly superuserUrl: string;
}

/** Freezes all processes of PostgreSQL: connections stay open and nothing responds. Linux only. */
export function freezePostgres({ local }: { readonly local: LocalCluster }): () => void {
  const pids = freeze(local.postgres.pid()!);
  return () => signalAll(pids, 'SIGCONT');
}

/**
 * Ends all processes of PostgreSQL at once, as the end of its machine does. A postmaster that is killed alone leaves
 * others behind for a moment, which no longer wait for the standby and show commits that it lacks. Linux only.
 */
export function killPostgres({ pid }: { readonly pid: number }): void {
  signalAll(freeze(pid), 'SIGKILL');
}

/** Returns the processes, the postmaster first, so that it starts none meanwhile. */
function freeze(postmaster: number): number[] {
  process.kill(postmaster, 'SIGSTOP');
  const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8');
  const pids = children.split(' ').filter(Boolean).map(Number);
  signalAll(pids, 'SIGSTOP');
  return [postmaster, ...pids];
}

function signalAll(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** Executes one statement as the superuser, without the gateway. */
export async function sql<R extends pg.QueryResultRow>(
  cluster: SqlTarget,
  text: string,
  values: unknown[] = [],
): Promise<R[]> {
  const client = new pg.Client({ connectionString: cluster.superuserUrl });
  await client.connect();
  try {
    return (await client.query<R>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** Ends every connection but its own. */
export async function terminateConnections(cluster: SqlTarget): Promise<void> {
  await sql(
    cluster,
    `select pg_terminate_backend(pid) from pg_stat_activity
     where backend_type = 'client backend' and pid <> pg_backend_pid()`,
  );
}

/** A disk for PostgreSQL, small enough to be filled. */
export class SmallDisk {
  readonly #folder: string;
  readonly #ballast: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#ballast = join(folder, 'ballast');
  }

  /** Why this machine cannot provide one; null when it can. */
  static unavailable(): string | null {
    if (process.platform !== 'linux' || process.getuid?.() !== 0)
      return 'mounting a small disk requires root on Linux';
    try {
      execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'pipe' });
      return null;
    } catch (error) {
      return `a tmpfs cannot be mounted: ${(error as Error).message.split('\n').at(-1)}`;
    }
  }

  /** Stops PostgreSQL, moves it onto a new disk and starts it. */
  static async under(cluster: TestCluster, mebibytes: number): Promise<SmallDisk> {
    const folder = join(cluster.dataDir, 'postgres');
    const aside = join(cluster.dataDir, 'postgres.aside');
    await cluster.local.postgres.stop();
    renameSync(folder, aside);
    mkdirSync(folder, { mode: 0o755 });
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder]);
    execFileSync('cp', ['-a', `${aside}/.`, folder]);
    rmSync(aside, { recursive: true });
    await cluster.local.postgres.start();
    return new SmallDisk(folder);
  }

  fill(): void {
    const file = openSync(this.#ballast, 'a');
    try {
      for (const block of [Buffer.alloc(1 << 20), Buffer.alloc(1 << 12)]) writeUntilFull(file, block);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }

  makeRoom(): void {
    rmSync(this.#ballast, { force: true });
  }

  /** Stops PostgreSQL and removes the disk. */
  async remove(cluster: TestCluster): Promise<void> {
    await cluster.local.postgres.stop();
    execFileSync('umount', [this.#folder]);
  }
}

function writeUntilFull(file: number, block: Buffer): void {
  try {
    while (writeSync(file, block) === block.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

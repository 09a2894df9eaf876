// Runs a child in its own process group: Ctrl-C reaches only the parent, which stops its children in order, and the
// children of a wrapper script are stopped with it.

import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, renameSync, statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Clock, sleep } from '../util/clock.ts';
import { hasLivingMember } from './process-identity.ts';

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Child {
  readonly pid: number;
  readonly exited: Promise<ChildExit>;
  /** Signals the process group; does nothing when it has exited. */
  signal(signal: NodeJS.Signals): void;
  /** Runs the stop sequence; resolves when no process of the group is left. */
  stop(): Promise<void>;
  /** Returns the end of the output since the start. */
  output(): string;
}

/** A signal, and how long to wait for the exit before the next one. */
export interface StopStep {
  readonly signal: NodeJS.Signals;
  readonly waitMs: number;
}

export interface ChildOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Receives standard output and error. A file instead of a pipe, because a child outlives a killed parent. */
  readonly logFile: string;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Applied in order; SIGKILL follows the last step. */
  readonly stopSequence: readonly StopStep[];
  readonly clock: Clock;
  /** Records the process immediately after its start; when it throws, the child is killed. */
  readonly onSpawn?: ((pid: number) => void) | undefined;
}

/** A larger log is renamed to FILE.1 at the next start, so that two files bound the disk usage. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
const OUTPUT_BYTES_MAX = 8 * 1024;
/** Only a process blocked in the kernel takes longer to exit after SIGKILL. */
const KILL_WAIT_MS = 5_000;
const POLL_MS = 10;

/** Starts a child; rejects when the program cannot be executed. */
export async function spawnChild(options: ChildOptions): Promise<Child> {
  rotate(options.logFile);
  const log = openSync(options.logFile, 'a', 0o600);
  const logStart = fstatSync(log).size;
  const spawned = spawn(options.command, options.args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ['ignore', log, log],
    detached: true,
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  closeSync(log);
  const pid = spawned.pid;
  if (pid === undefined) {
    const cause = await new Promise<Error>((resolve) => spawned.once('error', resolve));
    throw new Error(`${options.name} could not be started: ${cause.message}`, { cause });
  }
  const exited = new Promise<ChildExit>((resolve) => {
    spawned.once('exit', (code, signal) => {
      signalGroup(pid, 'SIGKILL'); // the rest of the group
      resolve({ code, signal });
    });
  });
  try {
    options.onSpawn?.(pid);
  } catch (error) {
    signalGroup(pid, 'SIGKILL'); // an unrecorded process must not run
    throw error;
  }
  return {
    pid,
    exited,
    signal: (signal) => signalGroup(pid, signal),
    stop: () => stopGroup(pid, exited, options),
    output: () => readLastOutput(options.logFile, logStart),
  };
}

async function stopGroup(pid: number, exited: Promise<ChildExit>, options: ChildOptions): Promise<void> {
  for (const { signal, waitMs } of options.stopSequence) {
    signalGroup(pid, signal);
    signalGroup(pid, 'SIGCONT'); // a stopped process handles no other signal
    if (await settledWithin(exited, waitMs, options.clock)) break;
  }
  signalGroup(pid, 'SIGKILL');
  const deadline = options.clock.monotonic() + KILL_WAIT_MS;
  await settledWithin(exited, KILL_WAIT_MS, options.clock);
  while (groupExists(pid)) {
    if (options.clock.monotonic() > deadline) {
      throw new Error(`${options.name} (process group ${pid}) did not exit after SIGKILL`);
    }
    await sleep(options.clock, POLL_MS);
  }
}

/** Returns true when `promise` settles within `waitMs`. */
export async function settledWithin(
  promise: Promise<unknown>,
  waitMs: number,
  clock: Clock,
): Promise<boolean> {
  const timeout = new AbortController();
  const settled = await Promise.race([
    promise.then(() => true),
    sleep(clock, waitMs, timeout.signal).then(() => false),
  ]);
  timeout.abort();
  await nextTurn();
  return settled;
}

export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: the group has exited, which every caller expects.
  }
}

/** Returns true while the group has a process other than zombies, which remain on a machine without init. */
function groupExists(pid: number): boolean {
  try {
    process.kill(-pid, 0);
  } catch {
    return false;
  }
  return process.platform !== 'linux' || hasLivingMember(pid);
}

function rotate(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_BYTES_MAX) renameSync(file, `${file}.1`);
}

function readLastOutput(file: string, from: number): string {
  const descriptor = openSync(file, 'r');
  try {
    const size = fstatSync(descriptor).size;
    const start = Math.max(from, size - OUTPUT_BYTES_MAX);
    const bytes = Buffer.alloc(Math.max(0, size - start));
    return bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, bytes.length, start));
  } finally {
    closeSync(descriptor);
  }
}

// One child process, in a process group of its own: a Ctrl-C at the terminal reaches only the parent, which
// stops its children in order, and a wrapper script's own children end with it.

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
  /** Signals the whole group; nothing happens when it has ended. */
  signal(signal: NodeJS.Signals): void;
  /** Stops it by its stop sequence; resolves when no process of the group is left. */
  stop(): Promise<void>;
  /** The end of what it has written since it was started. */
  output(): string;
}

/** A signal, and how long to wait for the end before the next one. */
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
  /** Standard output and error are appended here: a file, not a pipe, because a child outlives a killed parent. */
  readonly logFile: string;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Tried in order; SIGKILL follows the last. */
  readonly stopSequence: readonly StopStep[];
  readonly clock: Clock;
  /** Puts the process on record, at once; when it throws, the child is killed. */
  readonly onSpawn?: ((pid: number) => void) | undefined;
}

/** A child's log is put aside as FILE.1 at the next start once it is larger: two of these bound the disk used. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
const OUTPUT_BYTES_MAX = 8 * 1024;
/** SIGKILL cannot be refused; longer than this only a process stuck in the kernel takes. */
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
      signalGroup(pid, 'SIGKILL'); // whatever the leader left behind
      resolve({ code, signal });
    });
  });
  try {
    options.onSpawn?.(pid);
  } catch (error) {
    signalGroup(pid, 'SIGKILL'); // what cannot be put on record must not run
    throw error;
  }
  return {
    pid,
    exited,
    signal: (signal) => signalGroup(pid, signal),
    stop: () => stopGroup(pid, exited, options),
    output: () => readTail(options.logFile, logStart),
  };
}

async function stopGroup(pid: number, exited: Promise<ChildExit>, options: ChildOptions): Promise<void> {
  for (const { signal, waitMs } of options.stopSequence) {
    signalGroup(pid, signal);
    signalGroup(pid, 'SIGCONT'); // a paused process takes no other signal
    if (await settledWithin(exited, waitMs, options.clock)) break;
  }
  signalGroup(pid, 'SIGKILL');
  const deadline = options.clock.monotonic() + KILL_WAIT_MS;
  await settledWithin(exited, KILL_WAIT_MS, options.clock);
  while (groupExists(pid)) {
    if (options.clock.monotonic() > deadline) {
      throw new Error(`${options.name} (process group ${pid}) does not end, not even by SIGKILL`);
    }
    await sleep(options.clock, POLL_MS);
  }
}

/** True when `promise` has settled before `waitMs` have passed. */
export async function settledWithin(
  promise: Promise<unknown>,
  waitMs: number,
  clock: Clock,
): Promise<boolean> {
  const patience = new AbortController();
  const settled = await Promise.race([
    promise.then(() => true),
    sleep(clock, waitMs, patience.signal).then(() => false),
  ]);
  patience.abort();
  await nextTurn();
  return settled;
}

export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: the group has ended, which is what every caller is after.
  }
}

/** True while any process of the group is left, other than zombies, which a machine without init never reaps. */
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

function readTail(file: string, from: number): string {
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

// What runs from a data directory, on record: so that a second start on a live directory is refused, and a start
// after a SIGKILL ends what the dead one left behind. Children outlive a killed parent.

import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StartupError } from '../errors.ts';
import { type Clock, sleep } from '../util/clock.ts';
import { type StopStep, signalGroup } from './child.ts';
import { errorCode } from './filesystem-errors.ts';
import { identityOf, isRunning, type ProcessIdentity, processesWithEnvironment } from './process-identity.ts';

interface ChildEntry extends ProcessIdentity {
  readonly name: string;
  readonly stopSequence: readonly StopStep[];
}

export interface ProcessRecord {
  /** The variable every child gets, by which it is known even if its entry could not be written. */
  readonly childEnvironment: NodeJS.ProcessEnv;
  /** Puts a child on record, in place of the one of that name. */
  add(name: string, pid: number, stopSequence: readonly StopStep[]): void;
  /** Gives the directory free; to be called when all children have ended. */
  release(): void;
}

export interface ReclaimOptions {
  readonly directory: string;
  /** The directory's own random id. */
  readonly directoryId: string;
  readonly clock: Clock;
  /** Told of each process that was ended. */
  readonly onReclaimed: (name: string, pid: number) => void;
}

const CHILD_VARIABLE = 'POLYCHROME_CHILD_OF';
const STRAY_STOP: readonly StopStep[] = [{ signal: 'SIGTERM', waitMs: 3_000 }];
const POLL_MS = 10;
/** SIGKILL cannot be refused; longer than this only a process stuck in the kernel takes. */
const KILL_WAIT_MS = 5_000;

/**
 * Takes the directory for this process and ends what a dead one left in it; StartupError when a living one holds it.
 * Until `release`, whatever ends this process, short of SIGKILL, ends the children with it.
 */
export async function takeProcessRecord(options: ReclaimOptions): Promise<ProcessRecord> {
  const { directory, directoryId } = options;
  const lockFile = lockFileOf(directory);
  const childrenFile = join(directory, 'children.json');
  takeLock(lockFile, directory);
  await endLeftovers(readJson(childrenFile, isChildList) ?? [], options);
  rmSync(childrenFile, { force: true });

  const children = new Map<string, ChildEntry>();
  const killAll = (): void => {
    for (const child of children.values()) if (isRunning(child)) signalGroup(child.pid, 'SIGKILL');
  };
  process.on('exit', killAll);
  return {
    childEnvironment: { [CHILD_VARIABLE]: directoryId },
    add(name, pid, stopSequence) {
      const identity = identityOf(pid);
      if (identity === undefined) return; // ended already
      children.set(name, { ...identity, name, stopSequence });
      writeJson(childrenFile, [...children.values()]);
    },
    release() {
      process.off('exit', killAll);
      rmSync(childrenFile, { force: true });
      rmSync(lockFile, { force: true });
    },
  };
}

/** StartupError when a living process holds the directory; changes nothing. */
export function refuseHeldDirectory(directory: string): void {
  const holder = readJson(lockFileOf(directory), isIdentity);
  if (holder !== undefined && isRunning(holder)) throw inUse(directory, holder.pid);
}

function lockFileOf(directory: string): string {
  return join(directory, 'lock.json');
}

/** The lock file appears complete and at once (a link), so nobody reads half of one. */
function takeLock(lockFile: string, directory: string): void {
  const own = `${lockFile}.${process.pid}`;
  writeJson(own, identityOf(process.pid));
  try {
    for (;;) {
      try {
        linkSync(own, lockFile);
        return;
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error;
      }
      putAsideStaleLock(lockFile, directory);
    }
  } finally {
    rmSync(own, { force: true });
  }
}

function putAsideStaleLock(lockFile: string, directory: string): void {
  refuseHeldDirectory(directory);
  const aside = `${lockFile}.stale.${process.pid}`;
  try {
    renameSync(lockFile, aside);
  } catch {
    return; // another start was faster; the loop meets its lock
  }
  // Another start may have put its own lock in place between the look and the rename.
  const moved = readJson(aside, isIdentity);
  if (moved !== undefined && isRunning(moved)) {
    linkSync(aside, lockFile);
    rmSync(aside);
    throw inUse(directory, moved.pid);
  }
  rmSync(aside);
}

function inUse(directory: string, pid: number): StartupError {
  return new StartupError(
    `The data directory ${directory} is in use by a running Polychrome (process ${pid}): stop that one, or choose another with --data.`,
  );
}

async function endLeftovers(recorded: readonly ChildEntry[], options: ReclaimOptions): Promise<void> {
  const { directoryId, clock, onReclaimed } = options;
  await Promise.all(
    recorded.filter(isRunning).map(async (child) => {
      await endProcess(child, child.stopSequence, (signal) => signalGroup(child.pid, signal), clock);
      onReclaimed(child.name, child.pid);
    }),
  );
  // Children whose parent died before their entry was written, and what a dead wrapper script left.
  await Promise.all(
    processesWithEnvironment(CHILD_VARIABLE, directoryId).map(async (stray) => {
      await endProcess(stray, STRAY_STOP, (signal) => signalProcess(stray.pid, signal), clock);
      onReclaimed('a process', stray.pid);
    }),
  );
}

async function endProcess(
  identity: ProcessIdentity,
  stopSequence: readonly StopStep[],
  send: (signal: NodeJS.Signals) => void,
  clock: Clock,
): Promise<void> {
  for (const { signal, waitMs } of [...stopSequence, { signal: 'SIGKILL', waitMs: KILL_WAIT_MS } as const]) {
    send(signal);
    send('SIGCONT'); // a paused process takes no other signal
    const deadline = clock.monotonic() + waitMs;
    while (clock.monotonic() < deadline) {
      if (!isRunning(identity)) return send('SIGKILL');
      await sleep(clock, POLL_MS);
    }
  }
  throw new StartupError(
    `Process ${identity.pid}, left by an earlier start, does not end, not even by SIGKILL.`,
  );
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ESRCH: it has ended.
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  return (
    typeof value === 'object' &&
    value !== null &&
    'pid' in value &&
    typeof value.pid === 'number' &&
    'startedAt' in value &&
    typeof value.startedAt === 'string'
  );
}

function isChildList(value: unknown): value is ChildEntry[] {
  return Array.isArray(value) && value.every((entry) => isIdentity(entry) && 'stopSequence' in entry);
}

/** Undefined for a file that is missing or was cut off by a crash: then nothing is known. */
function readJson<T>(file: string, isExpected: (value: unknown) => value is T): T | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return isExpected(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function writeJson(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(value)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

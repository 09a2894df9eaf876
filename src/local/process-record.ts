// Records the processes that use a data directory. A second start on a directory in use is refused, and a start after
// a SIGKILL stops the orphaned children, which outlive a killed parent.

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
  /** The variable that identifies every child, even when its entry was not written. */
  readonly childEnvironment: NodeJS.ProcessEnv;
  /** Records a child; replaces the entry of the same name. */
  add(name: string, pid: number, stopSequence: readonly StopStep[]): void;
  /** Releases the directory; call it after all children have exited. */
  release(): void;
}

export interface ReclaimOptions {
  readonly directory: string;
  /** The random id of the directory. */
  readonly directoryId: string;
  readonly clock: Clock;
  /** Called for each orphan that was stopped. */
  readonly onReclaimed: (name: string, pid: number) => void;
}

const CHILD_VARIABLE = 'POLYCHROME_CHILD_OF';
const ORPHAN_STOP: readonly StopStep[] = [{ signal: 'SIGTERM', waitMs: 3_000 }];
const POLL_MS = 10;
/** Only a process blocked in the kernel takes longer to exit after SIGKILL. */
const KILL_WAIT_MS = 5_000;

/**
 * Locks the directory for this process and stops the orphans of an earlier one; throws StartupError when a running
 * process holds the lock. Until `release`, the children are killed when this process exits other than by SIGKILL.
 */
export async function takeProcessRecord(options: ReclaimOptions): Promise<ProcessRecord> {
  const { directory, directoryId } = options;
  const lockFile = lockFileOf(directory);
  const childrenFile = join(directory, 'children.json');
  takeLock(lockFile, directory);
  await stopOrphans(readJson(childrenFile, isChildList) ?? [], options);
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
      if (identity === null) return; // exited already
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

/** Throws StartupError when a running process uses the directory; changes nothing. */
export function refuseHeldDirectory(directory: string): void {
  const holder = readJson(lockFileOf(directory), isIdentity);
  if (holder !== null && isRunning(holder)) throw inUse(directory, holder.pid);
}

function lockFileOf(directory: string): string {
  return join(directory, 'lock.json');
}

/** Creates the lock file with link(2), so that other processes never read a partial file. */
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
    return; // another start has removed it; the next attempt finds its lock
  }
  // Another start may have created its own lock between the check and the rename.
  const moved = readJson(aside, isIdentity);
  if (moved !== null && isRunning(moved)) {
    linkSync(aside, lockFile);
    rmSync(aside);
    throw inUse(directory, moved.pid);
  }
  rmSync(aside);
}

function inUse(directory: string, pid: number): StartupError {
  return new StartupError(
    `The data directory ${directory} is in use by a running Polychrome (process ${pid}): stop it, or choose another directory with --data.`,
  );
}

async function stopOrphans(recorded: readonly ChildEntry[], options: ReclaimOptions): Promise<void> {
  const { directoryId, clock, onReclaimed } = options;
  await Promise.all(
    recorded.filter(isRunning).map(async (child) => {
      await stopProcess(child, child.stopSequence, (signal) => signalGroup(child.pid, signal), clock);
      onReclaimed(child.name, child.pid);
    }),
  );
  // Children whose entry was not written before their parent exited, and children of an exited wrapper script.
  await Promise.all(
    processesWithEnvironment(CHILD_VARIABLE, directoryId).map(async (orphan) => {
      await stopProcess(orphan, ORPHAN_STOP, (signal) => signalProcess(orphan.pid, signal), clock);
      onReclaimed('a process', orphan.pid);
    }),
  );
}

async function stopProcess(
  identity: ProcessIdentity,
  stopSequence: readonly StopStep[],
  send: (signal: NodeJS.Signals) => void,
  clock: Clock,
): Promise<void> {
  for (const { signal, waitMs } of [...stopSequence, { signal: 'SIGKILL', waitMs: KILL_WAIT_MS } as const]) {
    send(signal);
    send('SIGCONT'); // a stopped process handles no other signal
    const deadline = clock.monotonic() + waitMs;
    while (clock.monotonic() < deadline) {
      if (!isRunning(identity)) return send('SIGKILL');
      await sleep(clock, POLL_MS);
    }
  }
  throw new StartupError(
    `Process ${identity.pid} of an earlier start did not exit after SIGKILL: stop it, or restart the machine.`,
  );
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ESRCH: the process has exited.
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

/** Returns null for a file that is missing or was truncated by a crash. */
function readJson<T>(file: string, isExpected: (value: unknown) => value is T): T | null {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return isExpected(value) ? value : null;
  } catch {
    return null;
  }
}

function writeJson(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(value)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

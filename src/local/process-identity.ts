// Identifies a process by its pid and start time, because systems reuse pids. A process is signalled only when both
// match.

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Start time as reported by the system; comparable only for equality, on one machine. */
  readonly startedAt: string;
}

/** Returns the identity of a running process; null when there is none, or only a zombie. */
export function identityOf(pid: number): ProcessIdentity | null {
  const startedAt = process.platform === 'linux' ? startedAtFromProc(pid) : startedAtFromPs(pid);
  return startedAt === null ? null : { pid, startedAt };
}

/** Returns true while exactly this process runs. */
export function isRunning(identity: ProcessIdentity): boolean {
  return identityOf(identity.pid)?.startedAt === identity.startedAt;
}

interface ProcStat {
  /** True for a zombie or dead process. */
  readonly ended: boolean;
  readonly group: number;
  readonly startTicks: string;
}

/** Parses the fields of /proc/PID/stat that identify a process; exported for its test. */
export function parseProcStat(stat: string): ProcStat | null {
  // The second field is the program's name in parentheses, which may contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // proc_pid_stat(5): field 3 is the state, 5 the process group, 22 the start time in ticks since boot.
  const [state, group, startTicks] = [fields[0], fields[2], fields[19]];
  if (state === undefined || group === undefined || startTicks === undefined) return null;
  return { ended: state === 'Z' || state === 'X', group: Number(group), startTicks };
}

function startedAtFromProc(pid: number): string | null {
  const parsed = parseProcStat(readOrEmpty(`/proc/${pid}/stat`));
  if (parsed === null || parsed.ended) return null;
  // Ticks count from boot, so the identity includes the boot id.
  return `${readOrEmpty('/proc/sys/kernel/random/boot_id').trim()} ${parsed.startTicks}`;
}

function startedAtFromPs(pid: number): string | null {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    const [state, ...started] = line.split(/\s+/);
    return state === undefined || state.startsWith('Z') || started.length === 0 ? null : started.join(' ');
  } catch {
    return null; // ps exits 1 when there is no such process
  }
}

/** Returns the command line of a process, separated by spaces; empty when there is no such process. */
export function commandLineOf(pid: number): string {
  if (identityOf(pid) === null) return '';
  if (process.platform === 'linux') return readOrEmpty(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
  return spawnSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' }).stdout;
}

/** Returns the processes whose environment contains `NAME=value`; none on systems without /proc. */
export function processesWithEnvironment(name: string, value: string): ProcessIdentity[] {
  const wanted = `${name}=${value}`;
  const found: ProcessIdentity[] = [];
  for (const entry of listOrEmpty('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (!readOrEmpty(`/proc/${pid}/environ`).split('\0').includes(wanted)) continue;
    const identity = identityOf(pid);
    if (identity !== null) found.push(identity);
  }
  return found;
}

/** Returns true when /proc lists a process of that group that is not a zombie. */
export function hasLivingMember(group: number): boolean {
  return listOrEmpty('/proc').some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    const parsed = parseProcStat(readOrEmpty(`/proc/${entry}/stat`));
    return parsed !== null && !parsed.ended && parsed.group === group;
  });
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function listOrEmpty(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

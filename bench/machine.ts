// Describes the machine and the versions that a benchmark ran on.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { findPostgresBinaries } from '../src/local/postgres-binaries.ts';
import { haproxyVersion, type TargetName } from './targets.ts';

const GIB = 1024 ** 3;
/** Share of cores busy before the benchmark starts, above which results carry a warning. */
const BUSY_SHARE_MAX = 0.25;
const SAMPLE_MS = 3_000;

export interface Machine {
  readonly lines: readonly string[];
  /** Why the results are unreliable, or null. */
  readonly warning: string | null;
}

/** `coresBusy` is the number of busy cores before the targets started. */
export function describeMachine(targets: readonly TargetName[], chroma: string, coresBusy: number): Machine {
  const cores = availableParallelism();
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const lines = [
    `${cores} × ${model}, ${(totalmem() / GIB).toFixed(0)} GiB, ${type()} ${release()}`,
    `${chroma} in every target; Node ${process.versions.node}; Polychrome ${polychromeVersion()}`,
  ];
  if (targets.some((name) => name.startsWith('polychrome'))) lines.push(postgresVersion());
  if (targets.includes('haproxy')) lines.push(haproxyVersion());
  const isBusy = coresBusy > cores * BUSY_SHARE_MAX;
  const warning = `The machine was not idle: ${coresBusy.toFixed(1)} of ${cores} cores were busy before the benchmark started.`;
  return { lines, warning: isBusy ? warning : null };
}

/** Average number of busy cores over a sample of three seconds. */
export async function busyCores(): Promise<number> {
  const before = cpuTimes();
  await wait(SAMPLE_MS);
  const after = cpuTimes();
  return availableParallelism() * (1 - (after.idle - before.idle) / (after.all - before.all));
}

function cpuTimes(): { idle: number; all: number } {
  const times = cpus().map((cpu) => cpu.times);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return { idle: sum(times.map(({ idle }) => idle)), all: sum(times.flatMap((each) => Object.values(each))) };
}

function polychromeVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  try {
    const revision = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return `${version} (${revision.trim()})`;
  } catch {
    return version; // not a checkout
  }
}

function postgresVersion(): string {
  const output = execFileSync(findPostgresBinaries().postgres, ['--version'], { encoding: 'utf8' });
  return output.replace(/^postgres \(PostgreSQL\)/, 'PostgreSQL').trim();
}

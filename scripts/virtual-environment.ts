// Python's packages in folders of their own, made once: a virtual environment for each set of packages.

import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** What scripts download is kept here; removing it costs nothing but time. */
export const CACHE = fileURLToPath(new URL('../node_modules/.cache/polychrome/', import.meta.url));

const STEP_MS_MAX = 600_000;
const execute = promisify(execFile);

/** Runs a program; throws an Error with the last line it wrote to standard error. */
export async function run(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<void> {
  try {
    await execute(command, args, { timeout: STEP_MS_MAX, ...(env === undefined ? {} : { env }) });
  } catch (error) {
    const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    const last = stderr.trimEnd().split('\n').at(-1) ?? '';
    throw new Error(last === '' ? String(error) : last, { cause: error });
  }
}

export interface VirtualEnvironment {
  readonly name: string;
  /** With their versions, as pip takes them. */
  readonly packages: readonly string[];
  /** A module whose import shows that all is there. */
  readonly proof: string;
  /** False: only the packages themselves. */
  readonly dependencies: boolean;
}

/** The environment's Python, made when it is not there yet; throws when Python or pip cannot do it. */
export async function virtualEnvironment(environment: VirtualEnvironment): Promise<string> {
  const { name, packages, proof, dependencies } = environment;
  const folder = join(CACHE, name);
  const python = join(folder, 'bin', 'python');
  const works = (): Promise<void> => run(python, ['-c', `import ${proof}`]);
  try {
    await works();
  } catch {
    rmSync(folder, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', folder]);
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
    await run(python, [...install, ...(dependencies ? [] : ['--no-deps']), ...packages]);
    await works();
  }
  return python;
}

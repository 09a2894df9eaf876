// Creates a Python virtual environment for each set of packages, once.

import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Folder of downloads; it can be removed at any time. */
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
  /** Names with versions, as arguments of pip. */
  readonly packages: readonly string[];
  /** A module whose import proves that the installation is complete. */
  readonly proof: string;
  /** False: without the dependencies of the packages. */
  readonly dependencies: boolean;
}

/** The Python of the environment, which is created when missing; throws when Python or pip fails. */
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

// Creates a Python virtual environment for each set of packages, once.

import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Folder of downloads; it can be removed at any time. */
export const CACHE = fileURLToPath(new URL('../node_modules/.cache/polychrome/', import.meta.url));

// pip downloads hundreds of MB for some of the environments.
const STEP_MS_MAX = 1_200_000;
const execute = promisify(execFile);

/** Runs a program; throws an Error with the last line it wrote to standard error, or with the time it had. */
export async function run(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<void> {
  try {
    await execute(command, args, { timeout: STEP_MS_MAX, ...(env === undefined ? {} : { env }) });
  } catch (error) {
    const { stderr = '', killed = false } = error as { stderr?: string; killed?: boolean };
    const said = stderr.trimEnd().split('\n').at(-1) ?? '';
    const reason = killed
      ? `not done within ${STEP_MS_MAX / 60_000} minutes: ${command} ${args.join(' ')}`
      : said;
    throw new Error(reason === '' ? String(error) : reason, { cause: error });
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
    await run('python3', ['-m', 'venv', folder]).catch((error: Error) => {
      throw new Error(`${error.message}\nInstall Python: apt-get install python3-venv`, { cause: error });
    });
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
    await run(python, [...install, ...(dependencies ? [] : ['--no-deps']), ...packages]);
    await works();
  }
  return python;
}

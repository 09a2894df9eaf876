// Makes a template of PostgreSQL for the test files of a project: each cluster has a PostgreSQL of its own.

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { TEMPLATE } from './postgres-template.ts';

const COMMAND = fileURLToPath(new URL('make-postgres-template.ts', import.meta.url));

export default async function setup(): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), 'polychrome-template-'));
  const template = join(dir, 'postgres');
  // In a process of its own: the package of the binaries is not found from here.
  await promisify(execFile)(process.execPath, [COMMAND, template]);
  process.env[TEMPLATE] = template;
  return () => rm(dir, { recursive: true, force: true });
}

// Starts one PostgreSQL for all test files of the project pg: each has schemas of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    postgresUrl: string;
  }
}

const COMMAND = fileURLToPath(new URL('run-postgres.ts', import.meta.url));

/** In a process of its own, which also stops it when the test run is killed. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [COMMAND], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const [url] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    exited.then(() => Promise.reject(new Error('PostgreSQL for the tests did not start'))),
  ])) as [string];
  project.provide('postgresUrl', url);
  return async () => {
    child.stdin.end();
    await exited;
  };
}

// A folder of PostgreSQL as initdb leaves it, made once for a run of the tests: to copy it takes a tenth of the time.

import { cp } from 'node:fs/promises';

/** Names the folder to the test processes; set by global-postgres-template.ts. */
export const TEMPLATE = 'TEST_POSTGRES_TEMPLATE';

/** Makes `dir` the folder of a new PostgreSQL if this run has a template; otherwise the first start makes it. */
export async function copyPostgresTemplate(dir: string): Promise<void> {
  const template = process.env[TEMPLATE];
  if (template !== undefined) await cp(template, dir, { recursive: true });
}

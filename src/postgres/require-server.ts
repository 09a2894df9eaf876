// Stops the start of a gateway that cannot reach PostgreSQL, or finds a release that is too old.

import { StartupError } from '../errors.ts';
import type { Database } from './database.ts';

// 14 is the oldest release still maintained. The SQL needs 12: generated identity columns, ATTACH PARTITION without
// blocking readers.
const VERSION_MIN = 140_000;

/** Resolves when PostgreSQL at `host` responds and is recent enough. Throws StartupError that says what to change. */
export async function requireServer(database: Database, host: string): Promise<void> {
  try {
    const [row] = await database.query<{ version: number }>(
      `select current_setting('server_version_num')::int as version`,
    );
    if ((row?.version ?? 0) >= VERSION_MIN) return;
  } catch (error) {
    const reason =
      error instanceof Error ? error.message || String((error as { code?: string }).code) : String(error);
    throw new StartupError(`PostgreSQL at ${host} (DATABASE_URL) cannot be used: ${reason}.`, {
      cause: error,
    });
  }
  throw new StartupError(`PostgreSQL at ${host} is older than release 14, which Polychrome needs.`);
}

import { StartupError } from '../errors.ts';
import type { Database } from './database.ts';

// Releases the SQL here needs: generated identity columns, ATTACH PARTITION without blocking readers (12), and the
// oldest release still maintained.
const VERSION_MIN = 140_000;

/** Makes sure that PostgreSQL answers and is recent enough. Throws StartupError with what to do about it. */
export async function connectOrExplain(database: Database, url: string): Promise<void> {
  const at = new URL(url);
  try {
    const [row] = await database.query<{ version: number }>(
      `select current_setting('server_version_num')::int as version`,
    );
    if ((row?.version ?? 0) >= VERSION_MIN) return;
    throw new StartupError(`PostgreSQL at ${at.host} is older than release 14, which Polychrome needs.`);
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const why =
      error instanceof Error ? error.message || String((error as { code?: string }).code) : String(error);
    throw new StartupError(`PostgreSQL at ${at.host} (DATABASE_URL) cannot be used: ${why}.`, {
      cause: error,
    });
  }
}

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../../src/local/postgres.ts';
import { systemClock } from '../../src/util/clock.ts';
import { copyPostgresTemplate } from './postgres-template.ts';

/** Starts a server in a new folder, which `stop` deletes. */
export async function startTestPostgres(): Promise<{
  readonly url: string;
  readonly stop: () => Promise<void>;
}> {
  const dir = await mkdtemp(join(tmpdir(), 'polychrome-test-'));
  await copyPostgresTemplate(join(dir, 'postgres'));
  const postgres = await startPostgres({ dir: join(dir, 'postgres'), clock: systemClock });
  return {
    url: postgres.url,
    stop: async () => {
      await postgres.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

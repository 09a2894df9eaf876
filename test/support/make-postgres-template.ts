// Makes the folder that its argument names a template for copyPostgresTemplate.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { startPostgres } from '../../src/local/postgres.ts';

const dir = process.argv[2]!;
const postgres = await startPostgres({ dir });
await postgres.stop();
// Each copy chooses its own port.
for (const file of ['port', 'postgres.log']) rmSync(join(dir, file), { force: true });

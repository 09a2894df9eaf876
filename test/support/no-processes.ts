// A test that starts a process is no unit test: each way of starting one fails.

import childProcess from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';

for (const name of ['exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync'] as const) {
  childProcess[name] = (() => {
    throw new Error(`${name}: a test of the project unit starts a process; name its file *.process.test.ts`);
  }) as never;
}
syncBuiltinESMExports();

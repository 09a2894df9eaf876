// npm run chaos: random faults under a checked load.

import { spawnSync } from 'node:child_process';
import { Command, InvalidArgumentError } from 'commander';
import { chaos } from './chaos.ts';

const LONG_SUITES = ['postgres-faults', 'large-backlog', 'node-faults'].map(
  (name) => `test/system/${name}.test.ts`,
);

const positive = (text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('must be a number above 0.');
  return value;
};

const options = new Command('chaos')
  .description('Random faults under a checked load; compares the content of all nodes at the end.')
  .option('--minutes <n>', 'how long', positive, 2)
  .option('--seed <n>', 'draws the same faults again', positive, Date.now() % 1_000_000)
  .option('--longest-fault <seconds>', 'longest duration of a fault', positive, 20)
  .option('--long', 'first the fault suites, with the default settings and faults that last 20 s')
  .parse()
  .opts<{ minutes: number; seed: number; longestFault: number; long?: boolean }>();

if (options.long === true) {
  const env = { ...process.env, CHAOS: '1' };
  const { status } = spawnSync('npx', ['vitest', 'run', ...LONG_SUITES], { env, stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}
console.log(`seed ${options.seed}`);
const result = await chaos({
  seed: options.seed,
  forMs: options.minutes * 60_000,
  longestFaultMs: options.longestFault * 1_000,
  log: (line) => console.log(`${new Date().toISOString().slice(11, 23)} ${line}`),
});
console.log(`${result.faults} faults, ${result.acknowledged} writes acknowledged`, result.statuses);
for (const promise of result.broken) console.error(`BROKEN (seed ${options.seed}): ${promise}`);
process.exit(result.broken.length === 0 ? 0 : 1);

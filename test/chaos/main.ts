// npm run chaos: random faults of real processes under clients whose histories are checked.

import { spawnSync } from 'node:child_process';
import { Command, InvalidArgumentError } from 'commander';
import { isGoInstalled } from '../histories/porcupine.ts';
import { chaos } from './chaos.ts';
import { isWhole, reportOf } from './report.ts';

const LONG_SUITES = [
  'postgres-faults',
  'gateway-drills',
  'large-backlog',
  'node-faults',
  'rebuild',
  'crash-points',
  'crash-points-deciding',
  'damaged-copies',
].map((name) => `test/system/${name}.test.ts`);

const positive = (text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('must be a number above 0.');
  return value;
};

const options = new Command('chaos')
  .description(
    'Random faults of every process and link under a recorded load; checks histories and compares nodes.',
  )
  .option('--minutes <n>', 'how long', positive, 2)
  .option('--seed <n>', 'draws the same faults again', positive, Date.now() % 1_000_000)
  .option('--longest-fault <seconds>', 'longest duration of a fault', positive, 10)
  .option('--gateways <n>', 'how many gateways', positive, 3)
  .option('--long', 'first the fault suites, with every crash point and with faults of 20 s and more')
  .parse()
  .opts<{ minutes: number; seed: number; longestFault: number; gateways: number; long?: boolean }>();

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
  gateways: options.gateways,
  comparesPorcupine: isGoInstalled(),
  log: (line) => console.log(`${new Date().toISOString().slice(11, 23)} ${line}`),
});
console.log(reportOf(result));
process.exit(isWhole(result) ? 0 : 1);

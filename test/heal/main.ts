// npm run heal: drills of damage and failure after which a cluster must heal by itself. Prints what was seen.

import { Command, InvalidArgumentError } from 'commander';
import { changedMeanwhile } from './changes.ts';
import { damagedStart } from './damaged-start.ts';
import { diskFull } from './disk-full.ts';
import type { HealDrill } from './drill.ts';
import { killedMidBatch, nodeKilledInPhases } from './kills.ts';
import { outrunCopy } from './outrun.ts';
import { quietRounds } from './quiet.ts';

const DRILLS: readonly HealDrill[] = [
  diskFull,
  damagedStart,
  killedMidBatch,
  nodeKilledInPhases,
  changedMeanwhile,
  outrunCopy,
  quietRounds,
];

const whole = (text: string): number => {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('must be a whole number below 10^9.');
};

const options = new Command('heal')
  .description('Damages and kills nodes; the cluster heals by itself, and every node is compared.')
  .option('--seed <n>', 'draws the same moments again', whole, Date.now() % 1_000_000)
  .option('--only <name...>', 'only these drills')
  .option('--short', 'fewer rounds')
  .option('--list', 'lists the drills and ends')
  .parse()
  .opts<{ seed: number; only?: string[]; short?: true; list?: true }>();

const chosen = DRILLS.filter(({ name }) => options.only?.includes(name) ?? true);
if (chosen.length === 0) {
  console.error(`No drill is named ${options.only?.join(' or ')}; --list shows them.`);
  process.exit(2);
}
if (options.list === true) {
  for (const { name, about } of chosen) console.log(`${name.padEnd(22)} ${about}`);
  process.exit(0);
}

console.log(`seed ${options.seed}`);
const bad: string[] = [];
for (const { name, about, run } of chosen) {
  console.log(`${name}: ${about}`);
  const log = (line: string): void => console.log(`  ${new Date().toISOString().slice(11, 19)} ${line}`);
  try {
    const broken = await run({ seed: options.seed, isShort: options.short === true, log });
    for (const each of broken) console.error(`  BROKEN: ${each}`);
    if (broken.length > 0) bad.push(name);
  } catch (error) {
    console.error('  could not be finished:', error);
    bad.push(name);
  }
}
console.log(bad.length === 0 ? 'All is well.' : `FAULTS (seed ${options.seed}): ${bad.join(', ')}`);
process.exit(bad.length === 0 ? 0 : 1);

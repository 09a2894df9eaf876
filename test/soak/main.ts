// npm run soak: a mixed load on a cluster, and a report of the gateway's memory, handles and event-loop delay and of the
// size of PostgreSQL.

import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { soakReport } from './report.ts';
import { soak } from './soak.ts';

const positive = (text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('must be a number above 0.');
  return value;
};

const today = new Date().toISOString().slice(0, 10);
const options = new Command('soak')
  .description(
    'A mixed load on a cluster of three nodes; reports memory, handles, event loop and PostgreSQL size.',
  )
  .option('--minutes <n>', 'how long', positive, 10)
  .option('--report <file>', 'path of the report', `docs/reports/${today}-soak.md`)
  .parse()
  .opts<{ minutes: number; report: string }>();

const result = await soak({
  forMs: options.minutes * 60_000,
  log: (line) => console.log(`${new Date().toISOString().slice(11, 19)} ${line}`),
});
const machine = `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB`;
mkdirSync(dirname(options.report), { recursive: true });
writeFileSync(options.report, soakReport(result, { minutes: options.minutes, machine, date: today }));
console.log(`Written: ${options.report}`);
for (const fault of result.broken) console.error(`BROKEN: ${fault}`);
process.exit(result.broken.length === 0 ? 0 : 1);

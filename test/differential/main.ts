// `npm run differential`: as many sequences as asked for, against servers started here or named.

import { randomInt } from 'node:crypto';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Command, InvalidArgumentError } from 'commander';
import { StartupError } from '../../src/errors.ts';
import { check, type CheckResult } from './check.ts';
import { compareSequence, type Endpoints, Mismatch, newTally } from './compare.ts';
import { openEndpoint } from './endpoint.ts';
import { checkHostile, type HostileResult, titleOf } from './hostile/check.ts';
import type { Operation } from './operation.ts';
import { type Servers, startServers } from './servers.ts';

interface Options {
  readonly runs: number;
  readonly seed?: number;
  readonly newest?: true;
  readonly chroma?: string;
  readonly a?: string;
  readonly b?: string;
  readonly replay?: string;
  readonly hostile?: true;
  readonly only?: number;
}

const EXAMPLES = `
Examples:
  npm run differential -- --runs 2000
  npm run differential -- --runs 200 --seed 7              the same sequences every time
  npm run differential -- --replay failure.json            one sequence, as a failure printed it
  npm run differential -- --hostile --runs 500 --seed 7    hostile requests; each case on a collection of its own
  npm run differential -- --hostile --seed 7 --only 12     one of them again
  npm run differential -- --a http://127.0.0.1:8000 --b http://127.0.0.1:8001   servers already running

--newest finds or fetches the newest server in a form that runs here (scripts/newest-chroma.ts).`;

const PROGRESS_EVERY = 50;
/** Hostile cases that take longer are shown. */
const SLOW_MS = 5_000;

const options = parseOptions(process.argv.slice(2));
try {
  process.exitCode = (await run(options)) ? 0 : 1;
} catch (error) {
  if (!(error instanceof StartupError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

function parseOptions(args: readonly string[]): Options {
  return new Command('differential')
    .description('Compares Polychrome over two nodes with one bare server, operation by operation.')
    .option('--runs <N>', 'sequences of about 20 operations, or hostile cases', wholeNumber, 200)
    .option(
      '--seed <S>',
      'which sequences (default: new ones)',
      wholeNumber,
      Math.trunc(performance.now() * 1e3) + process.pid,
    )
    .option('--newest', 'on the newest Chroma server')
    .option('--chroma <CMD>', 'command that starts a Chroma server, for both sides (also: CHROMA_COMMAND)')
    .option('--a <URL>', 'this Polychrome instead of one of our own; needs --b')
    .option('--b <URL>', 'this bare server')
    .option('--replay <FILE>', 'run the sequence in this file')
    .option(
      '--hostile',
      'requests of unusual sizes, counts and values, each followed by a check that all works',
    )
    .option('--only <N>', 'with --hostile: only this case of the seed', wholeNumber)
    .addHelpText('after', EXAMPLES)
    .parse(args, { from: 'user' })
    .opts<Options>();
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d{1,9}$/.test(text)) return value;
  throw new InvalidArgumentError('A whole number below 10^9 is expected.');
}

async function run(given: Options): Promise<boolean> {
  if (given.hostile === true) return runHostile(given);
  const servers = await serversFor(given);
  const endpoints = { a: openEndpoint(servers.a), b: openEndpoint(servers.b) };
  try {
    console.log(`${servers.release}: Polychrome at ${servers.a}, bare at ${servers.b}.`);
    return given.replay === undefined
      ? await runSeed(endpoints, given)
      : await replay(endpoints, given.replay);
  } finally {
    await Promise.all([endpoints.a.close(), endpoints.b.close()]);
    await servers.stop();
  }
}

async function serversFor({ a, b, ...own }: Options): Promise<Servers> {
  if (a !== undefined && b !== undefined) {
    const nothing = async (): Promise<void> => undefined;
    return { a, b, release: 'Servers as named', nodePids: () => [], restartBare: nothing, stop: nothing };
  }
  if (a !== undefined || b !== undefined) throw new StartupError('--a and --b go together.');
  return startServers({ chroma: await commandFor(own) });
}

async function commandFor({
  chroma,
  newest,
}: Pick<Options, 'chroma' | 'newest'>): Promise<string | undefined> {
  return newest ? newestCommand() : (chroma ?? process.env['CHROMA_COMMAND']);
}

async function newestCommand(): Promise<string> {
  const script = fileURLToPath(new URL('../../scripts/newest-chroma.ts', import.meta.url));
  return (await promisify(execFile)(process.execPath, [script])).stdout.trim();
}

async function runSeed(endpoints: Endpoints, { runs, seed = randomInt(1e9) }: Options): Promise<boolean> {
  console.log(`${runs} sequences from seed ${seed}.`);
  const started = performance.now();
  const result = await check({
    endpoints,
    runs,
    seed,
    onProgress: (done) => {
      if (done % PROGRESS_EVERY === 0) console.log(`  ${done} of ${runs} …`);
    },
  });
  report(result, (performance.now() - started) / 1_000);
  if (result.failure === null) return true;
  console.log('Save these lines to a file and run: npm run differential -- --replay FILE');
  console.log(JSON.stringify(result.failure.operations, null, 1));
  return false;
}

function report({ tally, failure }: CheckResult, seconds: number): void {
  console.log(`${tally.sequences} sequences, ${tally.operations} operations in ${seconds.toFixed(1)} s.`);
  const list = (counts: ReadonlyMap<string, number>): string =>
    [...counts].map(([name, count]) => `  ${count} × ${name}`).join('\n') || '  none';
  console.log(`Documented differences met:\n${list(tally.differences)}`);
  console.log(failure === null ? 'Everything else was equal.' : `They differ at ${failure.message}`);
}

async function runHostile(given: Options): Promise<boolean> {
  const { runs, seed = randomInt(1e9), only } = given;
  console.log(`${only === undefined ? `${runs} hostile cases` : `Hostile case ${only}`} from seed ${seed}.`);
  const counts = new Map<string, number>();
  const onResult = (result: HostileResult): void => {
    if (result.fault !== null) console.log(`FAULT in ${titleOf(result)}\n${result.fault}\n`);
    else if (only !== undefined || result.tookMs > SLOW_MS)
      console.log(
        `${titleOf(result)}: ${result.outcomes.join(', ')} in ${(result.tookMs / 1_000).toFixed(1)} s`,
      );
    for (const outcome of result.outcomes) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  };
  const results = await checkHostile({ seed, runs, only, chroma: await commandFor(given), onResult });
  for (const [outcome, count] of counts) console.log(`  ${count} × ${outcome}`);
  const faults = results.filter(({ fault }) => fault !== null);
  console.log(
    faults.length === 0 ? 'Polychrome survived all of them.' : `${faults.length} cases with faults.`,
  );
  return faults.length === 0;
}

async function replay(endpoints: Endpoints, file: string): Promise<boolean> {
  const operations = JSON.parse(await readFile(file, 'utf8')) as readonly Operation[];
  try {
    await compareSequence(endpoints, operations, newTally());
    console.log(`${operations.length} operations: equal.`);
    return true;
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    console.log(`They differ at ${error.message}`);
    return false;
  }
}

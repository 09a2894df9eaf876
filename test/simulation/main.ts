// npm run simulate: whole clusters under a seed, in one process.

import { Command, InvalidArgumentError } from 'commander';
import { MUTANTS } from './mutants.ts';
import { importMutated } from './mutation.ts';
import { describeFailure, planOf, runPlan, STEPS } from './world/run.ts';

const whole = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('must be a whole number.');
  return value;
};

interface Options {
  readonly seeds: number;
  readonly seed: number;
  readonly steps: number;
  readonly trace?: boolean;
  readonly keepGoing?: boolean;
  readonly mutants?: boolean | string;
  readonly recorded?: boolean;
}

const options = new Command('simulate')
  .description('Simulates clusters under faults, one for each seed, and checks every invariant at each step.')
  .option('--seeds <n>', 'how many seeds', whole, 100)
  .option('--seed <n>', 'the first seed', whole, 1)
  .option('--steps <n>', 'requests of clients in each plan', whole, STEPS)
  .option('--trace', 'prints what happens, of the first seed only')
  .option('--keep-going', 'goes on after a failing seed, and names all of them at the end')
  .option('--mutants [name]', 'introduces each deliberate bug, or one, until a seed catches it')
  .option('--recorded', 'with --mutants: only the seed that is recorded to catch it')
  .parse()
  .opts<Options>();

const PROGRESS_MS = 60_000;

/** Runs seeds, by default until one fails; returns whether none did. */
async function simulate({ seeds, seed: first, steps, keepGoing = false }: Options): Promise<boolean> {
  const since = performance.now();
  let shownAt = since;
  const failed: number[] = [];
  let virtualMs = 0;
  let events = 0;
  for (let seed = first; seed < first + seeds; seed++) {
    const plan = planOf(seed, steps);
    const result = await runPlan(plan);
    virtualMs += result.virtualMs;
    events += result.events;
    if (performance.now() - shownAt > PROGRESS_MS) {
      shownAt = performance.now();
      console.log(`${seed - first + 1} of ${seeds} seeds, ${failed.length} failed`);
    }
    if (result.violation !== null && keepGoing) {
      failed.push(seed);
      console.error(`seed ${seed}: ${result.violation.message}`);
    } else if (result.violation !== null) {
      console.error(await describeFailure(plan, result.violation));
      console.error(`repeat with: npm run simulate -- --seeds 1 --seed ${seed} --steps ${steps} --trace`);
      return false;
    }
  }
  const seconds = (performance.now() - since) / 1_000;
  const rate = `${(seeds / seconds).toFixed(1)} seeds/s`;
  const simulated = `${Math.round(virtualMs / 1_000)} simulated seconds, ${events} events`;
  const outcome = failed.length === 0 ? 'no violation' : `${failed.length} failed: ${failed.join(', ')}`;
  console.log(`${seeds} seeds from ${first}: ${outcome} (${simulated}, ${seconds.toFixed(1)} s, ${rate})`);
  return failed.length === 0;
}

async function trace({ seed, steps }: Options): Promise<boolean> {
  const { trace: lines, violation } = await runPlan(planOf(seed, steps), { traces: true });
  for (const line of lines) console.log(line);
  console.log(violation === null ? 'no violation' : violation.message);
  return violation === null;
}

/** Introduces each mutant; returns whether all were caught. */
async function mutants({
  seeds,
  seed: first,
  steps,
  mutants: wanted,
  recorded = false,
}: Options): Promise<boolean> {
  const chosen = MUTANTS.filter(
    ({ name, seed }) => (wanted === true || name === wanted) && (!recorded || seed !== null),
  );
  let isComplete = chosen.length > 0;
  for (const mutant of chosen) {
    const since = performance.now();
    const mutated = await importMutated(mutant);
    const candidates = recorded
      ? [mutant.seed as number]
      : Array.from({ length: seeds }, (_, i) => first + i);
    let caught: string | null = null;
    for (const seed of candidates) {
      const { violation } = await mutated.runPlan(planOf(seed, steps));
      if (violation === null) continue;
      caught = `seed ${seed}: ${violation.message.slice(0, 160)}`;
      break;
    }
    const seconds = ((performance.now() - since) / 1_000).toFixed(1);
    console.log(`${mutant.name}: ${caught ?? 'ESCAPED'} (${seconds} s)`);
    isComplete &&= caught !== null;
  }
  return isComplete;
}

const run = options.mutants !== undefined ? mutants : options.trace === true ? trace : simulate;
process.exitCode = (await run(options)) ? 0 : 1;

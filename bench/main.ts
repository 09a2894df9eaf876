// `npm run bench`: measures Polychrome, a bare Chroma server, its ceiling and HAProxy in one run.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StartupError } from '../src/errors.ts';
import { Bodies } from './bodies.ts';
import { appliesTo, type BenchmarkRun, runClosedWorkload } from './closed-workload.ts';
import { busyCores, describeMachine } from './machine.ts';
import { type Options, parseCommand } from './options.ts';
import { Progress } from './progress.ts';
import { jsonReport, markdownReport, redrawCharts, type ReportContext, writeReport } from './report.ts';
import { Results } from './results.ts';
import type { Settings } from './settings.ts';
import { runSpecialWorkload, SPECIAL_WORKLOADS, type SpecialWorkload } from './special-workloads.ts';
import { sweep, SWEPT } from './sweep.ts';
import { Fleet, TARGET_NAMES, type Target, TARGETS } from './targets.ts';
import { closedWorkloads, type Workload } from './workloads.ts';

const RESULTS = join(import.meta.dirname, 'results');

try {
  await main();
} catch (error) {
  console.error(error instanceof StartupError ? `bench: ${error.message}` : error);
  process.exitCode = 1;
}
process.exit(); // an interrupted measurement may leave pending timers and sockets

async function main(): Promise<void> {
  const command = parseCommand(process.argv.slice(2));
  if (command.kind === 'help') return console.log(command.text);
  if (command.kind === 'redraw') return redrawCharts(RESULTS);
  const fleet = new Fleet();
  const stop = new AbortController();
  const interrupted = new Promise<never>((_resolve, reject) => {
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason));
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stop.abort(new StartupError(`stopped by ${signal}.`)));
  }
  try {
    await Promise.race([runBenchmark(fleet, command, stop.signal), interrupted]);
  } finally {
    await fleet.stop();
  }
}

async function runBenchmark(fleet: Fleet, options: Options, stop: AbortSignal): Promise<void> {
  const { settings, targets: names, only } = options;
  const bodies = new Bodies(settings);
  const closed = closedWorkloads(bodies);
  const isSelected = ({ name }: { readonly name: string }): boolean => only === null || only.has(name);
  const coresBusy = await busyCores();
  console.log(`Starting ${names.join(', ')} …`);
  await fleet.start(names, (name) => console.log(`  ${name}: ${TARGETS[name]}`));
  const selected = { closed: closed.filter(isSelected), special: SPECIAL_WORKLOADS.filter(isSelected) };
  const progress = new Progress(countSteps(selected, fleet.targets, settings), process.stderr);
  const run: BenchmarkRun = {
    settings,
    bodies,
    targets: fleet.targets,
    results: new Results(),
    onStep: (description) => progress.step(description),
  };
  for (const workload of selected.closed) {
    await runClosedWorkload(workload, run);
    if (SWEPT.includes(workload.name)) await sweep(workload, run);
    bodies.releaseSupplies();
  }
  for (const special of selected.special) await runSpecialWorkload(special, closed, run);
  progress.finish();
  stop.throwIfAborted(); // measurements taken while the targets stopped are invalid
  await report(run.results, options, {
    machine: describeMachine(names, fleet.releaseName, coresBusy),
    settings,
    titles: new Map([...closed, ...SPECIAL_WORKLOADS].map(({ name, title }) => [name, title])),
    date: new Date(),
  });
}

async function report(
  results: Results,
  { settings, targets, only, json }: Options,
  context: ReportContext,
): Promise<void> {
  const isComplete = only === null && targets.length === TARGET_NAMES.length && !settings.quick;
  const file = await writeReport(isComplete ? RESULTS : join(RESULTS, 'partial'), results, context);
  if (json !== undefined) writeFileSync(json, jsonReport(results, context));
  console.log(markdownReport(results, context, []));
  if (results.isIncomplete) process.exitCode = 1;
  console.log(`Results written to ${file}${json === undefined ? '' : ` and ${json}`}`);
}

function countSteps(
  selected: { readonly closed: readonly Workload[]; readonly special: readonly SpecialWorkload[] },
  targets: readonly Target[],
  settings: Settings,
): number {
  let steps = 0;
  for (const workload of selected.closed) {
    const applicable = targets.filter((target) => appliesTo(workload, target));
    steps += applicable.length * settings.rounds;
    if (SWEPT.includes(workload.name)) {
      steps += applicable.filter(({ batch }) => batch === 1).length * settings.sweepLoads.length;
    }
  }
  for (const special of selected.special) {
    const applicable = targets.filter(({ name }) => special.targets.includes(name));
    steps += applicable.length * special.rounds(settings);
  }
  return steps;
}

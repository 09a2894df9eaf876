// `npm run bench`: measures Polychrome against a bare Chroma server, its limit, and HAProxy, in one run.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { StartupError } from '../src/errors.ts';
import { applies, type ClosedRun, runClosedWorkload } from './closed.ts';
import { FAULTS, measureBulk, measureCatchup, measureFailover } from './faults.ts';
import { measureLag } from './lag.ts';
import { busyCores, describeMachine } from './machine.ts';
import { measureMemory } from './memory.ts';
import { Progress } from './progress.ts';
import { jsonReport, markdownReport, type ReportContext, writeReport } from './report.ts';
import { Results } from './results.ts';
import { FULL, QUICK, type Settings } from './settings.ts';
import { SWEPT, sweep } from './sweep.ts';
import { Fleet, TARGET_NAMES, type TargetName, TARGETS } from './targets.ts';
import { Bodies, closedWorkloads, type Workload } from './workloads.ts';

/** Workloads that are no closed loop, in the order they run, and the targets they are for. */
const SPECIAL: Readonly<Record<string, { readonly title: string; readonly targets: readonly TargetName[] }>> =
  {
    lag: {
      title: 'from acknowledgement to applied on every node, at half load (latencies are lags)',
      targets: ['polychrome3'],
    },
    catchup: {
      title:
        'entries a second, from the first answer of a node that was away until it serves again; direct: as many records in bulk, into a collection of the same content (latencies are durations)',
      targets: ['direct', 'polychrome3'],
    },
    failover: {
      title: 'reads and writes while the primary is killed, and while it hangs',
      targets: ['polychrome3'],
    },
    memory: {
      title: "the gateway's largest resident set during bulk adds",
      targets: ['polychrome1'],
    },
  };

interface Options {
  readonly settings: Settings;
  readonly targets: readonly TargetName[];
  readonly only: ReadonlySet<string> | null;
  readonly json: string | undefined;
}

try {
  await main();
} catch (error) {
  console.error(error instanceof StartupError ? `bench: ${error.message}` : error);
  process.exitCode = 1;
}
process.exit(); // an interrupted measurement may still be waiting for something

async function main(): Promise<void> {
  const options = readOptions();
  if (options === null) return;
  const fleet = new Fleet();
  const stopped = new AbortController();
  const interrupted = new Promise<never>((_resolve, reject) => {
    stopped.signal.addEventListener('abort', () => reject(stopped.signal.reason));
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stopped.abort(new StartupError(`stopped by ${signal}.`)));
  }
  try {
    await Promise.race([measure(fleet, options, stopped.signal), interrupted]);
  } finally {
    await fleet.stop();
  }
}

async function measure(fleet: Fleet, options: Options, stopped: AbortSignal): Promise<void> {
  const { settings, targets: names, only, json } = options;
  const bodies = new Bodies(settings);
  const all = closedWorkloads(bodies);
  const chosen = (name: string): boolean => only === null || only.has(name);
  const busyBefore = await busyCores();
  console.log(`Starting ${names.join(', ')} …`);
  await fleet.start(names, (name) => console.log(`  ${name}: ${TARGETS[name]}`));
  const { targets } = fleet;
  const special = Object.keys(SPECIAL).filter(chosen);
  const progress = new Progress(
    countSteps(
      all.filter(({ name }) => chosen(name)),
      fleet,
      settings,
    ),
    process.stderr,
  );
  const results = new Results();
  const run: ClosedRun = { settings, bodies, targets, results, onStep: (what) => progress.step(what) };
  for (const workload of all.filter(({ name }) => chosen(name))) {
    await runClosedWorkload(workload, run);
    if (SWEPT.includes(workload.name)) await sweep(workload, run);
    bodies.forget();
  }
  for (const name of special) await runSpecial(name, all, run);
  progress.finish();
  stopped.throwIfAborted(); // what was measured while the targets were being stopped is not written down
  const context: ReportContext = {
    machine: describeMachine(names, fleet.releaseName, busyBefore),
    settings,
    titles: new Map(
      [...all, ...Object.entries(SPECIAL).map(([name, { title }]) => ({ name, title }))].map(
        ({ name, title }) => [name, title],
      ),
    ),
    date: new Date(),
  };
  const complete = only === null && names.length === TARGET_NAMES.length && !settings.quick;
  const file = await writeReport(
    join(import.meta.dirname, complete ? 'results' : 'results/partial'),
    results,
    context,
  );
  if (json !== undefined) writeFileSync(json, jsonReport(results, context));
  console.log(markdownReport(results, context, []));
  if (results.incomplete) process.exitCode = 1;
  console.log(`Written: ${file}${json === undefined ? '' : ` and ${json}`}`);
}

async function runSpecial(name: string, all: readonly Workload[], run: ClosedRun): Promise<void> {
  const workload = (wanted: string): Workload => all.find((one) => one.name === wanted)!;
  const rounds = name === 'catchup' ? run.settings.catchupRounds : 1;
  for (let round = 1; round <= rounds; round += 1) {
    for (const target of run.targets.filter((one) => SPECIAL[name]?.targets.includes(one.name))) {
      const step = (what: string): void => run.onStep(`${name} · ${target.name}${what}`);
      try {
        if (name === 'lag') {
          step('');
          await measureLag(workload('add_c64'), target, run);
        } else if (name === 'catchup') {
          step(` · round ${round}`);
          if (target.name === 'direct') await measureBulk(workload('bulk_add'), target, run);
          else await measureCatchup(workload('add_c64'), target, run);
        } else if (name === 'failover') {
          for (const fault of FAULTS) {
            step(` · ${fault}`);
            await measureFailover(fault, workload('query_c64'), workload('add_c64'), target, run);
          }
        } else {
          step('');
          await measureMemory(target, run);
        }
      } catch (error) {
        run.results.addFailure(name, target.name, String(error));
      }
    }
  }
}

function countSteps(workloads: readonly Workload[], fleet: Fleet, settings: Settings): number {
  let steps = 0;
  for (const workload of workloads) {
    const taking = fleet.targets.filter((target) => applies(workload, target));
    steps += taking.length * settings.rounds;
    if (SWEPT.includes(workload.name)) {
      steps += taking.filter(({ batch }) => batch === 1).length * settings.sweepLoads.length;
    }
  }
  return steps;
}

function readOptions(): Options | null {
  const known = [...closedWorkloads(new Bodies(QUICK)).map(({ name }) => name), ...Object.keys(SPECIAL)];
  const { values } = parseOptions();
  if (values.help === true) {
    console.log(helpText(known));
    return null;
  }
  const targets = chosenFrom('target', values.targets, TARGET_NAMES) ?? TARGET_NAMES;
  const only = chosenFrom('workload', values.only, known);
  for (const name of only ?? []) {
    const wanted = SPECIAL[name]?.targets;
    if (wanted !== undefined && !wanted.some((target) => targets.includes(target))) {
      throw new StartupError(`${name} needs the target ${wanted.join(' or ')}.`);
    }
  }
  return {
    settings: values.quick === true ? QUICK : FULL,
    // In the order they are listed: the ceiling shares the server of `direct`.
    targets: TARGET_NAMES.filter((name) => targets.includes(name)),
    only: only === null ? null : new Set(only),
    json: values.json,
  };
}

function parseOptions(): {
  values: { quick?: boolean; help?: boolean; only?: string; targets?: string; json?: string };
} {
  try {
    return parseArgs({
      options: {
        quick: { type: 'boolean' },
        only: { type: 'string' },
        targets: { type: 'string' },
        json: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new StartupError(`${(error as Error).message} See --help.`);
  }
}

function chosenFrom<T extends string>(
  kind: string,
  list: string | undefined,
  known: readonly T[],
): T[] | null {
  if (list === undefined) return null;
  const names = list.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !known.includes(name as T));
  if (unknown === undefined) return names as T[];
  throw new StartupError(`There is no ${kind} "${unknown}". There are: ${known.join(', ')}.`);
}

function helpText(workloads: readonly string[]): string {
  return `npm run bench [-- OPTIONS]

  --quick            everything, but short: under three minutes on a quiet machine
  --only NAME,…      only these workloads: ${workloads.join(', ')}
  --targets NAME,…   only these targets: ${TARGET_NAMES.join(', ')}
  --json FILE        the numbers as JSON, too
  --help             this text

Targets:
${Object.entries(TARGETS)
  .map(([name, what]) => `  ${name.padEnd(12)} ${what}`)
  .join('\n')}

A complete run writes bench/results/, any other bench/results/partial/. Settings of Polychrome can be given in the
environment, and CHROMA_COMMAND names another Chroma server for all targets.`;
}

// Command-line options of `npm run bench`.

import { parseArgs } from 'node:util';
import { StartupError } from '../src/errors.ts';
import { Bodies } from './bodies.ts';
import { FULL, QUICK, type Settings } from './settings.ts';
import { SPECIAL_WORKLOADS } from './special-workloads.ts';
import { TARGET_NAMES, type TargetName, TARGETS } from './targets.ts';
import { closedWorkloads } from './workloads.ts';

export interface Options {
  readonly settings: Settings;
  readonly targets: readonly TargetName[];
  /** Names of the workloads to run; null for all. */
  readonly only: ReadonlySet<string> | null;
  /** Path of an additional copy of the JSON results. */
  readonly json: string | undefined;
}

export type Command =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'redraw' }
  | ({ readonly kind: 'measure' } & Options);

/** Parses the command line; throws StartupError when it is invalid. */
export function parseCommand(args: readonly string[]): Command {
  const values = parseFlags(args);
  const workloads = [
    ...closedWorkloads(new Bodies(QUICK)).map(({ name }) => name),
    ...SPECIAL_WORKLOADS.map(({ name }) => name),
  ];
  if (values.help === true) return { kind: 'help', text: helpText(workloads) };
  if (values.redraw === true) return { kind: 'redraw' };
  const targets = parseList('target', values.targets, TARGET_NAMES) ?? TARGET_NAMES;
  const only = parseList('workload', values.only, workloads);
  for (const special of SPECIAL_WORKLOADS.filter(({ name }) => only?.includes(name))) {
    if (!special.targets.some((target) => targets.includes(target))) {
      throw new StartupError(`${special.name} requires the target ${special.targets.join(' or ')}.`);
    }
  }
  return {
    kind: 'measure',
    settings: values.quick === true ? QUICK : FULL,
    // In their declared order: the ceiling shares the server of `direct`.
    targets: TARGET_NAMES.filter((name) => targets.includes(name)),
    only: only === null ? null : new Set(only),
    json: values.json,
  };
}

interface Flags {
  readonly quick?: boolean;
  readonly redraw?: boolean;
  readonly help?: boolean;
  readonly only?: string;
  readonly targets?: string;
  readonly json?: string;
}

function parseFlags(args: readonly string[]): Flags {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean' },
        only: { type: 'string' },
        targets: { type: 'string' },
        json: { type: 'string' },
        redraw: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    return values;
  } catch (error) {
    throw new StartupError(`${(error as Error).message} See --help.`);
  }
}

function parseList<T extends string>(
  kind: string,
  list: string | undefined,
  known: readonly T[],
): T[] | null {
  if (list === undefined) return null;
  const names = list.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !known.includes(name as T));
  if (unknown === undefined) return names as T[];
  throw new StartupError(`Unknown ${kind} "${unknown}". Available: ${known.join(', ')}.`);
}

function helpText(workloads: readonly string[]): string {
  return `npm run bench [-- OPTIONS]

  --quick            short run of every workload; about five minutes on an idle machine
  --only NAME,…      run only these workloads: ${workloads.join(', ')}
  --targets NAME,…   run only these targets: ${TARGET_NAMES.join(', ')}
  --json FILE        also write the results to FILE as JSON
  --redraw           redraw the charts in bench/results from results.json without measuring
  --help             show this text

Targets:
${Object.entries(TARGETS)
  .map(([name, description]) => `  ${name.padEnd(12)} ${description}`)
  .join('\n')}

A full run of all workloads and targets writes bench/results/, any other run bench/results/partial/. Environment
variables configure Polychrome as usual; CHROMA_COMMAND selects another Chroma server for all targets.`;
}

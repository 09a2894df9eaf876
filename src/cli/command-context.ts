// What commands that print share: where they print to, plain tables, and text that cannot control the terminal.

import Table from 'cli-table3';
import { systemClock, type Clock } from '../util/clock.ts';

/** What a command prints to, and the environment that holds its defaults. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly write: (text: string | Uint8Array) => void;
}

/** The same for commands that go on until they are interrupted. */
export interface LiveContext extends CommandContext {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The output is a terminal: it can be redrawn, and shows colours unless NO_COLOR is set. */
  readonly isTerminal: boolean;
  /** Sets the exit code of a command that has printed what it found. */
  readonly exitWith: (code: number) => void;
}

export const PROCESS: LiveContext = {
  env: process.env,
  write: (text) => void process.stdout.write(text),
  clock: systemClock,
  // Ctrl-C ends the process, and with it the command.
  signal: new AbortController().signal,
  isTerminal: process.stdout.isTTY,
  exitWith: (code) => void (process.exitCode = code),
};

const BORDERS =
  'top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right left left-mid mid mid-mid right right-mid';
const NO_BORDER = Object.fromEntries(BORDERS.split(' ').map((part) => [part, '']));

/** Aligned columns without borders, one line a row. */
export function columns(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const table = new Table({
    head: [...head],
    chars: { ...NO_BORDER, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) table.push(row.map((cell) => String(cell)));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Without control characters: client data must not control the terminal. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is replaced
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) =>
    character === '\n' ? ' ' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

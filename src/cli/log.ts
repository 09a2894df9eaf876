// `polychrome log tail`: the newest entries of the log: what they change and how large they are, never their content.

import { Command, InvalidArgumentError } from 'commander';
import { sleep } from '../util/clock.ts';
import { columns, PROCESS, printable, type LiveContext } from './command-context.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome log tail                the last 20 entries, the newest at the end
  polychrome log tail --limit 200
  polychrome log tail --follow       prints entries as they are appended, until Ctrl-C
  polychrome log tail --json         one JSON object a line

Exit code 0: printed. Exit code 1: no gateway responded, or it refused the request.`;

interface TailOptions extends OperatorOptions {
  readonly limit: number;
  readonly follow?: boolean;
}

/** As GET /admin/log returns it. */
interface TailEntry {
  readonly lsn: number;
  readonly at: string;
  readonly kind: string;
  readonly collection: string | null;
  readonly bytes: number;
  readonly outcome: string | null;
}

const POLL_MS = 1_000;

export function logCommand(context: LiveContext = PROCESS): Command {
  const command = new Command('log').description('Looks at the log.').addHelpText('after', EXAMPLES);
  addOperatorOptions(
    command
      .command('tail')
      .description('lists the newest entries: LSN, time, kind, collection, size, outcome')
      .option('--limit <n>', 'how many entries', limitOf, 20)
      .option('--follow', 'print entries as they are appended'),
    context.env,
  ).action((options: TailOptions) => tail(options, context));
  return command;
}

async function tail(options: TailOptions, context: LiveContext): Promise<void> {
  const api = new OperatorApi(options);
  const read = async (after?: number): Promise<TailEntry[]> => {
    const query = new URLSearchParams({ limit: String(options.limit) });
    if (after !== undefined) query.set('after', String(after));
    return (await api.get<{ entries: TailEntry[] }>(`/admin/log?${query.toString()}`)).entries;
  };
  let last = 0;
  const print = (entries: readonly TailEntry[]): void => {
    last = entries.at(-1)?.lsn ?? last;
    if (entries.length > 0) context.write(options.json === true ? jsonLines(entries) : table(entries));
  };
  print(await read());
  if (last === 0 && options.json !== true) context.write('The log is empty.\n');
  while (options.follow === true && !context.signal.aborted) {
    await sleep(context.clock, POLL_MS, context.signal);
    print(await read(last));
  }
}

const jsonLines = (entries: readonly TailEntry[]): string =>
  entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');

function table(entries: readonly TailEntry[]): string {
  const rows = entries.map(({ lsn, at, kind, collection, bytes, outcome }) => [
    lsn,
    at,
    kind,
    printable(collection ?? '-'),
    bytes,
    outcome ?? '-',
  ]);
  return `${columns(['LSN', 'at', 'kind', 'collection', 'bytes', 'outcome'], rows)}\n`;
}

function limitOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text) && Number(text) <= 1_000) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 1 to 1000.');
}

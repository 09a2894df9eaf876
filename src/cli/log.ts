// `polychrome log`: lists the newest entries of the log, and ends the loss of its last entries.

import { Command, InvalidArgumentError } from 'commander';
import { runLogRecovery } from '../app/log-recovery.ts';
import { loadConfig } from '../config/config.ts';
import { sleep } from '../util/clock.ts';
import { columns, PROCESS, printable, type LiveContext } from './command-context.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome log tail                the last 20 entries, the newest at the end
  polychrome log tail --limit 200
  polychrome log tail --follow       prints entries as they are appended, until Ctrl-C
  polychrome log tail --json         one JSON object a line
  polychrome log recover             in the environment of the gateway, while none runs: which LSNs the log has lost
  polychrome log recover --accept-loss

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
  command
    .command('recover')
    .description(
      'continues without the entries that the log has lost (log_rewound); all gateways must be stopped',
    )
    .option('--accept-loss', 'do it: the entries are gone for good')
    .option('--json', 'print JSON')
    .action((options: RecoverOptions) => recover(options, context));
  return command;
}

interface RecoverOptions {
  readonly acceptLoss?: boolean;
  readonly json?: boolean;
}

async function recover(
  { acceptLoss: isAccepted = false, json }: RecoverOptions,
  context: LiveContext,
): Promise<void> {
  const report = await runLogRecovery(loadConfig(context.env), isAccepted);
  if (json === true) return context.write(`${JSON.stringify(report, null, 2)}\n`);
  const { from, to, kept, applied, removed, missing } = report;
  const lines = [
    `The log lacks LSN ${from} to ${to}; writes that were acknowledged are among them.`,
    `Node ${kept} has applied entries up to LSN ${applied}: what it holds stays, and every other node is copied from it.`,
    ...removed.map((name) => `Collection ${name} is unknown to the log: it is removed from the nodes.`),
    ...missing.map(
      (name) => `Collection ${name} is missing on node ${kept}: delete it, if its deletion was lost.`,
    ),
    isAccepted
      ? `Done. LSN ${from} to ${to} are used up by entries without effect. Start the gateways.`
      : 'Nothing was changed. Bring back the PostgreSQL server that has these entries, or repeat with --accept-loss.',
  ];
  context.write(`${lines.map(printable).join('\n')}\n`);
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

// `polychrome log`: lists the newest entries of the log, and ends the loss of its last entries.

import { Command, InvalidArgumentError } from 'commander';
import { sleep } from '../util/clock.ts';
import { columns, PROCESS, printable, type LiveContext } from './command-context.ts';
import { OPERATION_PROCESS, type OperationContext } from './operation-context.ts';
import { addWaitOptions, startOperation, WAITING_HELP, type WaitOptions } from './operation-wait.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome log tail                the last 20 entries, the newest at the end
  polychrome log tail --limit 200
  polychrome log tail --follow       prints entries as they are appended, until Ctrl-C
  polychrome log tail --json         one JSON object a line
  polychrome log recover             which LSNs the log has lost (log_rewound), and what would stay
  polychrome log recover --accept-loss --url http://polychrome-admin:9000 --token "$ADMIN_TOKEN"

Exit code 0: printed. Exit code 1: no gateway responded, or it refused the request.
${WAITING_HELP}`;

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

export function logCommand(
  context: LiveContext = PROCESS,
  waiting: OperationContext = OPERATION_PROCESS,
): Command {
  const command = new Command('log').description('Looks at the log.').addHelpText('after', EXAMPLES);
  addOperatorOptions(
    command
      .command('tail')
      .description('lists the newest entries: LSN, time, kind, collection, size, outcome')
      .option('--limit <n>', 'how many entries', limitOf, 20)
      .option('--follow', 'print entries as they are appended'),
    context.env,
  ).action((options: TailOptions) => tail(options, context));
  addWaitOptions(
    command
      .command('recover')
      .description('continues without the entries that the log has lost (log_rewound)')
      .option('--accept-loss', 'do it: the entries are gone for good'),
    waiting.env,
  ).action((options: RecoverOptions) => recover(options, waiting));
  return command;
}

interface RecoverOptions extends WaitOptions {
  readonly acceptLoss?: boolean;
}

/** As GET /admin/log/loss returns it, and the result of a recovery. */
interface Loss {
  readonly from: number;
  readonly to: number;
  readonly kept: string;
  readonly applied: number;
  readonly silent: readonly string[];
  readonly removed: readonly string[];
  readonly missing: readonly string[];
}

async function recover({ acceptLoss, ...options }: RecoverOptions, context: OperationContext): Promise<void> {
  if (acceptLoss === true)
    return startOperation('/admin/log/recover?accept_loss=true', options, context, ({ result }) =>
      sentences(result as unknown as Loss, (from, to) => [
        `Done. LSN ${from} to ${to} are used up by entries without effect. The gateway starts again; start the others.`,
      ]),
    );
  const loss = await new OperatorApi(options).get<Loss>('/admin/log/loss');
  if (options.json === true) return context.write(`${JSON.stringify(loss, null, 2)}\n`);
  const next = (): string[] => [
    'Nothing was changed. Bring back the PostgreSQL server that has these entries, or stop all other gateways and repeat with --accept-loss.',
  ];
  context.write(`${sentences(loss, next)}\n`);
}

function sentences(
  { from, to, kept, applied, silent, removed, missing }: Loss,
  end: (from: number, to: number) => readonly string[],
): string {
  const lines = [
    `The log lacks LSN ${from} to ${to}; writes that were acknowledged are among them.`,
    `Node ${kept} has applied entries up to LSN ${applied}: what it holds stays, and every other node is copied from it.`,
    ...silent.map((id) => `Node ${id} does not respond: what it has applied beyond that is lost.`),
    ...removed.map((name) => `Collection ${name} is unknown to the log: it is removed from the nodes.`),
    ...missing.map(
      (name) => `Collection ${name} is missing on node ${kept}: delete it, if its deletion was lost.`,
    ),
    ...end(from, to),
  ];
  return lines.map(printable).join('\n');
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

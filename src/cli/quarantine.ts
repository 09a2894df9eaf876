// `polychrome quarantine`: lists, shows, retries and discards entries that no node could apply.

import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { StartupError } from '../errors.ts';
import { PROCESS, printable, type CommandContext } from './command-context.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome quarantine list
  polychrome quarantine show 1042
  polychrome quarantine show 1042 --body > body.json
  polychrome quarantine retry 1042 --url http://polychrome-admin:9000 --token "$ADMIN_TOKEN"
  polychrome quarantine discard 1042

An entry is quarantined when no healthy node can apply it. "retry" appends it again, under a new LSN; "discard" closes
the record and changes nothing else. Exit code 0: done; for "retry": the entry was applied. Exit code 1: anything else.`;

export function quarantineCommand(context: CommandContext = PROCESS): Command {
  const command = new Command('quarantine')
    .description('Lists, shows, retries and discards entries of the log that no node could apply.')
    .addHelpText('after', EXAMPLES);
  const add = (name: string, description: string): Command =>
    addOperatorOptions(command.command(name).description(description), context.env);
  add('list', 'lists quarantined entries')
    .option('--all', 'closed ones too')
    .action((options: ListOptions) => list(options, context));
  add('show', 'shows one entry: its collection, the response of the nodes, the beginning of its body')
    .argument('<lsn>', 'LSN of the entry', lsnOf)
    .option('--body', 'print the whole body and nothing else')
    .action((lsn: number, options: ShowOptions) => show(lsn, options, context));
  add('retry', 'appends the entry again and waits for the outcome')
    .argument('<lsn>', 'LSN of the entry', lsnOf)
    .action((lsn: number, options: OperatorOptions) => retry(lsn, options, context));
  add('discard', 'closes the record of the entry; changes nothing else')
    .argument('<lsn>', 'LSN of the entry', lsnOf)
    .action((lsn: number, options: OperatorOptions) => discard(lsn, options, context));
  return command;
}

function lsnOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('An LSN is a whole number.');
}

interface ListOptions extends OperatorOptions {
  readonly all?: boolean;
}

interface ShowOptions extends OperatorOptions {
  readonly body?: boolean;
}

/** As GET /admin/quarantine returns it. */
interface ListedEntry {
  readonly lsn: number;
  readonly kind: string;
  readonly collection: { readonly tenant: string; readonly database: string; readonly name: string } | null;
  readonly bodyBytes: number;
  readonly status: number;
  readonly response: string;
  readonly quarantinedAt: string;
  readonly closed: 'retried' | 'discarded' | null;
  readonly closedAt: string | null;
  readonly retriedLSN: number | null;
}

const PAGE_SIZE = 1_000;

async function list({ all, json, ...options }: ListOptions, { write }: CommandContext): Promise<void> {
  const api = new OperatorApi(options);
  const entries: ListedEntry[] = [];
  for (let isLast = false, after = 0; !isLast; after = entries.at(-1)?.lsn ?? 0) {
    const search = new URLSearchParams({ after: String(after), limit: String(PAGE_SIZE) });
    if (all === true) search.set('closed', 'true');
    const page = await api.get<{ entries: ListedEntry[] }>(`/admin/quarantine?${search.toString()}`);
    entries.push(...page.entries);
    isLast = page.entries.length < PAGE_SIZE;
  }
  if (json === true) return write(`${JSON.stringify(entries, null, 2)}\n`);
  if (entries.length === 0) return write('No entry is quarantined.\n');
  const table = new Table({
    head: ['LSN', 'kind', 'collection', 'since', 'response', 'state'],
    colWidths: [null, null, null, null, 44, null],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const entry of entries) {
    table.push([
      entry.lsn,
      entry.kind,
      collectionName(entry),
      entry.quarantinedAt,
      printable(`${entry.status} ${entry.response}`.slice(0, 160)),
      stateOf(entry),
    ]);
  }
  write(`${table.toString()}\n`);
}

async function show(
  lsn: number,
  { body, json, ...options }: ShowOptions,
  { write }: CommandContext,
): Promise<void> {
  const api = new OperatorApi(options);
  if (body === true) return write(await api.bytes(`/admin/quarantine/${lsn}/body`));
  const entry = await api.get<ListedEntry & { readonly body: string }>(`/admin/quarantine/${lsn}`);
  if (json === true) return write(`${JSON.stringify(entry, null, 2)}\n`);
  const table = new Table({ style: { head: [], border: [] }, colWidths: [null, 90], wordWrap: true });
  const isWhole = Buffer.byteLength(entry.body) >= entry.bodyBytes;
  table.push(
    { LSN: entry.lsn },
    { kind: entry.kind },
    { collection: collectionName(entry) },
    { 'quarantined at': entry.quarantinedAt },
    { state: stateOf(entry) },
    { 'response of nodes': printable(`${entry.status} ${entry.response}`) },
    { body: `${entry.bodyBytes} bytes${isWhole ? '' : '; "show --body" prints all of them'}` },
  );
  write(`${table.toString()}\n${printable(entry.body)}${isWhole ? '' : ' …'}\n`);
}

interface RetryReport {
  readonly retriedLSN: number;
  readonly outcome: 'applied' | 'refused' | 'quarantined' | 'partly_applied' | 'pending';
  readonly response: { readonly status: number; readonly body: string } | null;
}

async function retry(
  lsn: number,
  { json, ...options }: OperatorOptions,
  { write }: CommandContext,
): Promise<void> {
  const result = await new OperatorApi(options).post<RetryReport>(`/admin/quarantine/${lsn}/retry`);
  if (json === true) write(`${JSON.stringify(result, null, 2)}\n`);
  const appended = `The entry at LSN ${lsn} was appended again as LSN ${result.retriedLSN}`;
  if (result.outcome === 'applied') {
    if (json !== true) write(`${appended} and applied.\n`);
    return;
  }
  const { status, body } = result.response ?? { status: 0, body: '' };
  const responses = printable(`${status} ${body}`);
  const sentences = {
    pending: 'its outcome was not known in time. Look at GET /status; do not retry it again.',
    quarantined: `it was quarantined again. Nodes responded: ${responses}`,
    partly_applied: `only a part of its records was applied. Nodes responded: ${responses}`,
    refused: `it was refused. Nodes responded: ${responses}`,
  };
  throw new StartupError(`${appended}; ${sentences[result.outcome]}`);
}

async function discard(
  lsn: number,
  { json, ...options }: OperatorOptions,
  { write }: CommandContext,
): Promise<void> {
  const result = await new OperatorApi(options).post<object>(`/admin/quarantine/${lsn}/discard`);
  write(
    json === true
      ? `${JSON.stringify(result, null, 2)}\n`
      : `The quarantined entry at LSN ${lsn} was discarded.\n`,
  );
}

function collectionName({ collection }: ListedEntry): string {
  if (collection === null) return '(deleted)';
  return printable(`${collection.tenant}/${collection.database}/${collection.name}`);
}

function stateOf({ closed, closedAt, retriedLSN }: ListedEntry): string {
  if (closed === null) return 'open';
  const lsn = closed === 'retried' ? ` as LSN ${retriedLSN ?? 'unknown (interrupted)'}` : '';
  return `${closed}${lsn} at ${closedAt ?? 'an unknown time'}`;
}

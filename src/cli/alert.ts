// `polychrome alert`: lists open alerts, and tests the webhooks.

import { Command } from 'commander';
import { columns, PROCESS, printable, type LiveContext } from './command-context.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome alert list
  polychrome alert test          sends a message to every configured webhook, and shows what became of it

Set SLACK_WEBHOOK_URL or ALERT_WEBHOOK_URL on the gateway. docs/operations.md has a section for each alert.
Exit code 0: nothing is open; for "test": every webhook took the message. 1: no gateway responded.
2: an alert is open; for "test": a webhook did not take the message, or none is configured.`;

const FOUND_CODE = 2;

/** As GET /admin/alerts returns it. */
interface AlertReport {
  readonly open: readonly { readonly key: string; readonly since: string; readonly detail: string }[];
  readonly webhooks: readonly {
    readonly name: string;
    readonly sent: number;
    readonly failed: number;
    readonly lastError: string | null;
  }[];
}

export function alertCommand(context: LiveContext = PROCESS): Command {
  const command = new Command('alert')
    .description('Lists open alerts, and tests webhooks.')
    .addHelpText('after', EXAMPLES);
  const add = (name: string, description: string): Command =>
    addOperatorOptions(command.command(name).description(description), context.env);
  add('list', 'lists open alerts').action((options: OperatorOptions) => list(options, context));
  add('test', 'sends a test to every webhook').action((options: OperatorOptions) => test(options, context));
  return command;
}

async function list(options: OperatorOptions, { write, exitWith }: LiveContext): Promise<void> {
  const report = await new OperatorApi(options).get<AlertReport>('/admin/alerts');
  const { open, webhooks } = report;
  if (open.length > 0) exitWith(FOUND_CODE);
  if (options.json === true) return write(`${JSON.stringify(report, null, 2)}\n`);
  const rows = open.map(({ key, since, detail }) => [key, since, printable(detail)]);
  write(open.length === 0 ? 'No alert is open.\n' : `${columns(['alert', 'since', 'detail'], rows)}\n`);
  for (const { name, lastError, failed } of webhooks)
    if (lastError !== null)
      write(`Webhook ${name} does not work: ${lastError} (${failed} failed attempts).\n`);
}

async function test(options: OperatorOptions, { write, exitWith }: LiveContext): Promise<void> {
  const api = new OperatorApi(options);
  const { results } = await api.post<{ results: { name: string; error: string | null }[] }>(
    '/admin/alerts/test',
  );
  if (results.length === 0 || results.some(({ error }) => error !== null)) exitWith(FOUND_CODE);
  if (options.json === true) return write(`${JSON.stringify(results, null, 2)}\n`);
  if (results.length === 0) write('No webhook is configured: set SLACK_WEBHOOK_URL or ALERT_WEBHOOK_URL.\n');
  for (const { name, error } of results)
    write(`${name}: ${error === null ? 'delivered' : `not delivered: ${error}`}\n`);
}

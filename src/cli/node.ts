// `polychrome node`: lists the nodes of a cluster and changes them.

import Table from 'cli-table3';
import { Command } from 'commander';
import { OPERATION_PROCESS, type OperationContext } from './operation-context.ts';
import {
  addWaitOptions,
  startOperation,
  WAITING_HELP,
  type DescribeResult,
  type WaitOptions,
} from './operation-wait.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';
import { printable } from './command-context.ts';

const EXAMPLES = `
Examples:
  polychrome node list
  polychrome node promote node-2
  polychrome node verify node-2
  polychrome node promote node-2 --url http://polychrome-admin:9000 --token "$ADMIN_TOKEN" --json
${WAITING_HELP}`;

export function nodeCommand(context: OperationContext = OPERATION_PROCESS): Command {
  const command = new Command('node')
    .description('Lists the nodes of a cluster and changes them.')
    .addHelpText('after', EXAMPLES);
  addOperatorOptions(command.command('list').description('lists the nodes'), context.env).action(
    (options: OperatorOptions) => list(options, context),
  );
  const change = (name: string, description: string, describe: (id: string) => DescribeResult): void => {
    addWaitOptions(command.command(name).description(description), context.env)
      .argument('<id>', 'id of the node')
      .action((id: string, options: WaitOptions) =>
        startOperation(actionPath(id, name), options, { context, describe: describe(id) }),
      );
  };
  change(
    'promote',
    'makes a serving node the primary; no request fails',
    (id) =>
      ({ before }) =>
        before === id
          ? `Node ${id} is the primary already.`
          : `Node ${id} is the primary; before it was ${String(before)}.`,
  );
  change(
    'verify',
    'compares every collection of a node with another node; a copy that differs becomes suspect',
    (id) =>
      ({ collections, records, suspects }) => {
        const compared = `${String(collections)} collections of node ${id} compared, ${String(records)} records.`;
        return suspects === 0
          ? `${compared} No copy is wrong.`
          : `${compared} ${String(suspects)} copies became suspect: see GET /status.`;
      },
  );
  return command;
}

const actionPath = (id: string, action: string): string => `/admin/nodes/${encodeURIComponent(id)}/${action}`;

/** As GET /admin/nodes returns it. */
interface ListedNode {
  readonly id: string;
  readonly url: string;
  readonly role: string;
  readonly state: string;
  readonly reason: string | null;
  readonly checkpoint: number;
  readonly lag: { readonly entries: number };
}

async function list({ json, ...options }: OperatorOptions, { write }: OperationContext): Promise<void> {
  const { nodes } = await new OperatorApi(options).get<{ nodes: ListedNode[] }>('/admin/nodes');
  if (json === true) return write(`${JSON.stringify(nodes, null, 2)}\n`);
  const table = new Table({
    head: ['id', 'role', 'state', 'checkpoint', 'lag', 'url', 'reason'],
    colWidths: [null, null, null, null, null, null, 40],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const { id, role, state, checkpoint, lag, url, reason } of nodes)
    table.push([id, role, state, checkpoint, lag.entries, printable(url), printable(reason ?? '')]);
  write(`${table.toString()}\n`);
}

// `polychrome node`: lists the nodes of a cluster and changes them.

import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { OPERATION_PROCESS, type OperationContext } from './operation-context.ts';
import { addWaitOptions, startOperation, WAITING_HELP, type WaitOptions } from './operation-wait.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';
import { printable } from './command-context.ts';

const EXAMPLES = `
Examples:
  polychrome node list
  polychrome node add d http://chroma-d:8000
  polychrome node drain node-2 && systemctl restart chroma@2 && polychrome node undrain node-2
  polychrome node remove node-3
  polychrome node promote node-2
  polychrome node verify node-2
  polychrome node rebuild node-2 --collection notes
  polychrome node promote node-2 --url http://polychrome-admin:9000 --token "$ADMIN_TOKEN" --json
${WAITING_HELP}`;

export function nodeCommand(context: OperationContext = OPERATION_PROCESS): Command {
  const command = new Command('node')
    .description('Lists the nodes of a cluster and changes them.')
    .addHelpText('after', EXAMPLES);
  addOperatorOptions(command.command('list').description('lists the nodes'), context.env).action(
    (options: OperatorOptions) => list(options, context),
  );
  const change = (name: string, description: string): void => {
    addWaitOptions(command.command(name).description(description), context.env)
      .argument('<id>', 'id of the node', nodeId)
      .action((id: string, options: WaitOptions) => startOperation(actionPath(id, name), options, context));
  };
  change('promote', 'makes a serving node the primary; no request fails');
  change(
    'verify',
    'compares every collection of a node with another node; a copy that differs becomes suspect',
  );
  addRebuild(command, context);
  addWaitOptions(
    command.command('add').description('adds a Chroma server with an empty data directory, and fills it'),
    context.env,
  )
    .argument('<id>', 'id of the node: lower-case letters, digits and dashes', nodeId)
    .argument('<url>', 'address of the server')
    .action((id: string, url: string, options: WaitOptions) =>
      startOperation(`${actionPath(id, 'add')}?${new URLSearchParams({ url }).toString()}`, options, context),
    );
  change('drain', 'takes a node out of service; it follows the log and may be stopped');
  change('undrain', 'takes a node back into service');
  change('remove', 'removes a node from the cluster');
  return command;
}

function addRebuild(command: Command, context: OperationContext): void {
  addWaitOptions(
    command
      .command('rebuild')
      .description('copies the collections of a node anew from other nodes, one after the other'),
    context.env,
  )
    .argument('<id>', 'id of the node', nodeId)
    .option('--collection <id>', 'only this collection: its id, or its name')
    .action((id: string, { collection, ...options }: WaitOptions & { collection?: string }) => {
      const query = collection === undefined ? '' : `?${new URLSearchParams({ collection }).toString()}`;
      return startOperation(`${actionPath(id, 'rebuild')}${query}`, options, context);
    });
}

/** Refuses what no route of the operator API matches. */
function nodeId(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(text)) return text;
  throw new InvalidArgumentError('A node id has up to 63 lower-case letters, digits and dashes.');
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

// `polychrome operation`: lists, shows and waits for long operations of a gateway.

import Table from 'cli-table3';
import { Command } from 'commander';
import { OPERATION_PROCESS, type OperationContext } from './operation-context.ts';
import { follow, outcomeText, progressLine, type ReportedOperation } from './operation-wait.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';
import { printable } from './command-context.ts';

const EXAMPLES = `
Examples:
  polychrome operation list
  polychrome operation show 1f3a9c02
  polychrome operation wait 1f3a9c02 --url http://polychrome-admin:9000 --token "$ADMIN_TOKEN"

A gateway remembers its operations until it is restarted. Exit code of "wait": 0 when the operation is done, 1 when it
failed, 130 after Ctrl-C.`;

export function operationCommand(context: OperationContext = OPERATION_PROCESS): Command {
  const command = new Command('operation')
    .description('Lists, shows and waits for long operations: nodes that join, leave, or are rebuilt.')
    .addHelpText('after', EXAMPLES);
  const add = (name: string, description: string): Command =>
    addOperatorOptions(command.command(name).description(description), context.env);
  add('list', 'lists the operations of the gateway, newest first').action((options: OperatorOptions) =>
    list(options, context),
  );
  add('show', 'shows one operation')
    .argument('<id>', 'id of the operation')
    .action((id: string, options: OperatorOptions) => show(id, options, context));
  add('wait', 'waits for an operation and shows its progress')
    .argument('<id>', 'id of the operation')
    .action((id: string, options: OperatorOptions) => wait(id, options, context));
  return command;
}

async function list({ json, ...options }: OperatorOptions, { write }: OperationContext): Promise<void> {
  const { operations } = await new OperatorApi(options).get<{ operations: ReportedOperation[] }>(
    '/admin/operations',
  );
  if (json === true) return write(`${JSON.stringify(operations, null, 2)}\n`);
  if (operations.length === 0) return write('The gateway knows no operation.\n');
  const table = new Table({
    head: ['id', 'operation', 'started', 'state', 'progress'],
    colWidths: [null, null, null, null, 60],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const each of operations)
    table.push([each.id, `${each.kind} ${each.target}`, each.startedAt, each.state, stateText(each)]);
  write(`${table.toString()}\n`);
}

async function show(
  id: string,
  { json, ...options }: OperatorOptions,
  { write }: OperationContext,
): Promise<void> {
  const operation = await read(id, options);
  if (json === true) return write(`${JSON.stringify(operation, null, 2)}\n`);
  const { kind, target, state, startedAt, endedAt } = operation;
  const ended = endedAt === null ? '' : `, ended ${endedAt}`;
  write(`${kind} ${target}: ${state}, started ${startedAt}${ended}\n${stateText(operation)}\n`);
}

async function wait(id: string, options: OperatorOptions, context: OperationContext): Promise<void> {
  await follow(await read(id, options), options, context);
}

function read(id: string, options: OperatorOptions): Promise<ReportedOperation> {
  return new OperatorApi(options).get<ReportedOperation>(`/admin/operations/${encodeURIComponent(id)}`);
}

function stateText(operation: ReportedOperation): string {
  const { state, error } = operation;
  if (state === 'failed') return printable(error ?? '');
  return state === 'running' ? progressLine(operation) : outcomeText(operation);
}

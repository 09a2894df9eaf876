// `polychrome events`: lists what happened to the cluster, and follows it.

import { Command, InvalidArgumentError } from 'commander';
import { EVENT_KINDS } from '../observability/events.ts';
import { sleep } from '../util/clock.ts';
import { columns, PROCESS, printable, type LiveContext } from './command-context.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome events                       the last 20 events, the newest at the end
  polychrome events --limit 200 --level error
  polychrome events --node node-2 --kind node_down
  polychrome events --follow              prints events as they happen, until Ctrl-C
  polychrome events --json                one JSON object a line

docs/operations.md says for every kind what it means and what to do.
Exit code 0: printed. Exit code 1: no gateway responded, or it refused the request.`;

interface EventOptions extends OperatorOptions {
  readonly limit: number;
  readonly kind?: string;
  readonly level?: string;
  readonly node?: string;
  readonly follow?: boolean;
}

/** As GET /admin/events returns it. */
interface ListedEvent {
  readonly id: number;
  readonly at: string;
  readonly level: string;
  readonly kind: string;
  readonly node: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

const POLL_MS = 1_000;

export function eventsCommand(context: LiveContext = PROCESS): Command {
  const command = new Command('events')
    .description('Lists what happened to the cluster: failovers, suspect shards, operator actions.')
    .option('--limit <n>', 'how many events', limitOf, 20)
    .option('--kind <kind>', 'only events of this kind', kindOf)
    .option('--level <level>', 'only events of this level: info, warning, error')
    .option('--node <id>', 'only events of this node')
    .option('--follow', 'print events as they happen')
    .addHelpText('after', EXAMPLES);
  return addOperatorOptions(command, context.env).action((options: EventOptions) => events(options, context));
}

async function events(options: EventOptions, context: LiveContext): Promise<void> {
  const api = new OperatorApi(options);
  let last = 0;
  const print = (listed: readonly ListedEvent[]): void => {
    if (listed.length > 0) context.write(options.json === true ? jsonLines(listed) : table(listed));
    last = listed.at(-1)?.id ?? last;
  };
  const newest = await api.get<{ events: ListedEvent[] }>(`/admin/events?${filterOf(options).toString()}`);
  print(newest.events.reverse());
  if (last === 0 && options.json !== true && options.follow !== true) context.write('No such event.\n');
  while (options.follow === true && !context.signal.aborted) {
    await sleep(context.clock, POLL_MS, context.signal);
    const filter = filterOf(options);
    filter.set('after', String(last));
    print((await api.get<{ events: ListedEvent[] }>(`/admin/events?${filter.toString()}`)).events);
  }
}

function filterOf({ limit, kind, level, node }: EventOptions): URLSearchParams {
  const filter = new URLSearchParams({ limit: String(limit) });
  if (kind !== undefined) filter.set('kind', kind);
  if (level !== undefined) filter.set('level', level);
  if (node !== undefined) filter.set('node', node);
  return filter;
}

const jsonLines = (listed: readonly ListedEvent[]): string =>
  listed.map((event) => `${JSON.stringify(event)}\n`).join('');

function table(listed: readonly ListedEvent[]): string {
  const rows = listed.map(({ at, level, kind, node, detail }) => [
    at,
    level,
    kind,
    node ?? '-',
    printable(textOf(detail)),
  ]);
  return `${columns(['at', 'level', 'kind', 'node', 'detail'], rows)}\n`;
}

function textOf(detail: ListedEvent['detail']): string {
  return Object.entries(detail)
    .map(
      ([name, value]) =>
        `${name}=${typeof value === 'string' && /\s/.test(value) ? JSON.stringify(value) : String(value)}`,
    )
    .join(' ');
}

function limitOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text) && Number(text) <= 1_000) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 1 to 1000.');
}

function kindOf(text: string): string {
  if (text in EVENT_KINDS) return text;
  throw new InvalidArgumentError(`It must be one of ${Object.keys(EVENT_KINDS).join(', ')}.`);
}

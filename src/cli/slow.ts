// `polychrome slow`: requests that took SLOW_QUERY_MS or longer, of all gateways.

import { Command, InvalidArgumentError } from 'commander';
import { columns, PROCESS, printable, type CommandContext } from './command-context.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome slow                    the newest 20 of the last day
  polychrome slow --slowest --since 1h
  polychrome slow --json

Shows counts and sizes, never content. SLOW_QUERY_MS sets from when on a request is slow; PostgreSQL keeps the newest 10,000.
Exit code 0: printed. Exit code 1: no gateway responded, or it refused the request.`;

interface SlowOptions extends OperatorOptions {
  readonly limit: number;
  readonly since: number;
  readonly slowest?: boolean;
}

/** As GET /admin/slow returns it. */
interface ListedRequest {
  readonly at: string;
  readonly gateway: string;
  readonly route: string;
  readonly collection: string | null;
  readonly status: number | null;
  readonly ms: number;
  readonly shape: Readonly<Record<string, number | string>>;
}

const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: DAY_MS };

export function slowCommand(context: CommandContext = PROCESS): Command {
  const command = new Command('slow')
    .description('Lists slow requests: route, time, status, and the shape of what was asked for.')
    .option('--limit <n>', 'how many requests', limitOf, 20)
    .option('--since <duration>', 'how far back, such as 30m, 6h or 2d', durationOf, DAY_MS)
    .option('--slowest', 'the slowest first, instead of the newest')
    .addHelpText('after', EXAMPLES);
  return addOperatorOptions(command, context.env).action((options: SlowOptions) => slow(options, context));
}

async function slow(options: SlowOptions, { write }: CommandContext): Promise<void> {
  const query = new URLSearchParams({ limit: String(options.limit), since_ms: String(options.since) });
  if (options.slowest === true) query.set('order', 'slowest');
  const path = `/admin/slow?${query.toString()}`;
  const { requests } = await new OperatorApi(options).get<{ requests: ListedRequest[] }>(path);
  if (options.json === true) return write(`${JSON.stringify(requests, null, 2)}\n`);
  if (requests.length === 0) return write('No slow request.\n');
  const rows = requests.map(({ at, route, collection, status, ms, shape }) => [
    at,
    ms,
    status ?? 'aborted',
    route,
    printable(collection ?? '-'),
    Object.entries(shape)
      .map(([name, value]) => `${name}=${value}`)
      .join(' '),
  ]);
  write(`${columns(['at', 'ms', 'status', 'route', 'collection', 'shape'], rows)}\n`);
}

function limitOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text) && Number(text) <= 1_000) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 1 to 1000.');
}

function durationOf(text: string): number {
  const [, count, unit = ''] = /^([1-9]\d{0,4})([smhd])$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError('It must be a duration such as 30m, 6h or 2d.');
  return Number(count) * (UNIT_MS[unit] ?? 0);
}

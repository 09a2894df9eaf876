// `polychrome status`: the cluster at a glance, once or until Ctrl-C.

import { styleText } from 'node:util';
import { Command, InvalidArgumentError } from 'commander';
import { StartupError } from '../errors.ts';
import { sleep } from '../util/clock.ts';
import { columns, PROCESS, printable, type LiveContext } from './command-context.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome status
  polychrome status --watch                 redraws every 2 s, until Ctrl-C
  polychrome status --watch --interval 10
  polychrome status --json                  GET /status as it is
  polychrome status --url http://polychrome:8000 || alert

Exit code 0: every component is healthy. 1: no gateway responded. 2: a component is degraded or unhealthy.
docs/operations.md explains the states and components.`;

interface StatusOptions extends OperatorOptions {
  readonly watch?: boolean;
  readonly interval: number;
}

/** The fields of GET /status that are shown. */
interface ShownStatus {
  readonly leader: string | null;
  readonly epoch: number | null;
  /** Absent on gateways of earlier releases. */
  readonly gateways?: readonly { readonly id: string; readonly leads: boolean }[];
  readonly head: number;
  readonly pending: number;
  readonly quarantined: readonly number[];
  /** Absent on gateways of earlier releases; null before the first sizes are known. */
  readonly capacity?: { readonly resources: readonly ShownResource[] } | null;
  readonly nodes: readonly ShownNode[];
}

interface ShownResource {
  readonly resource: string;
  readonly limitReached: string | null;
  readonly advice: string | null;
}

interface ShownNode {
  readonly id: string;
  readonly role: string;
  readonly state: string;
  readonly since: string;
  readonly checkpoint: number;
  readonly lag: { readonly entries: number; readonly ms: number | null };
  readonly reason: string | null;
  readonly lastError: string | null;
  readonly work: { readonly ms: number; readonly remainingMs: number } | null;
  readonly failing: { readonly lsn: number; readonly attempts: number; readonly error: string } | null;
  readonly suspects: readonly unknown[];
}

/** As GET /health/check returns it. */
interface ShownHealth {
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  readonly components: Readonly<Record<string, { readonly state: string; readonly reason: string | null }>>;
}

const UNHEALTHY_CODE = 2;
const CLEAR_SCREEN = '\u001b[H\u001b[J';
const COLORS = { healthy: 'green', degraded: 'yellow', unhealthy: 'red' } as const;
const STATE_COLORS: Readonly<Record<string, 'green' | 'yellow' | 'red'>> = {
  serving: 'green',
  busy: 'green',
  catching_up: 'yellow',
  joining: 'yellow',
  draining: 'yellow',
  down: 'red',
  fenced: 'red',
  needs_rebuild: 'red',
};

export function statusCommand(context: LiveContext = PROCESS): Command {
  const command = new Command('status')
    .description('Shows what the gateway and each node are doing, since when, and why.')
    .option('--watch', 'redraw until Ctrl-C')
    .option('--interval <s>', 'seconds between two looks', intervalOf, 2)
    .addHelpText('after', EXAMPLES);
  return addOperatorOptions(command, context.env).action((options: StatusOptions) =>
    options.watch === true ? watch(options, context) : once(options, context),
  );
}

async function once(options: StatusOptions, context: LiveContext): Promise<void> {
  const api = new OperatorApi(options);
  const [status, health] = await ask(api);
  context.write(
    options.json === true
      ? `${JSON.stringify({ ...status, health }, null, 2)}\n`
      : page(status, health, context),
  );
  if (health.status !== 'healthy') context.exitWith(UNHEALTHY_CODE);
}

async function watch(options: StatusOptions, context: LiveContext): Promise<void> {
  const api = new OperatorApi(options);
  while (!context.signal.aborted) {
    const text = await look(api, options, context);
    if (!context.isTerminal) context.write(`${new Date(context.clock.now()).toISOString()}\n${text}\n`);
    else context.write(`${CLEAR_SCREEN}${text}`);
    await sleep(context.clock, options.interval * 1_000, context.signal);
  }
}

/** A gateway that does not respond is shown as such: it may come back. */
async function look(api: OperatorApi, options: StatusOptions, context: LiveContext): Promise<string> {
  try {
    const [status, health] = await ask(api);
    return options.json === true
      ? `${JSON.stringify({ ...status, health })}\n`
      : page(status, health, context);
  } catch (error) {
    if (error instanceof StartupError) return `${error.message}\n`;
    throw error;
  }
}

function ask(api: OperatorApi): Promise<[ShownStatus, ShownHealth]> {
  return Promise.all([api.get<ShownStatus>('/status'), api.report<ShownHealth>('/health/check')]);
}

function page(status: ShownStatus, health: ShownHealth, { env, isTerminal, clock }: LiveContext): string {
  const hasColors = isTerminal && (env['NO_COLOR'] ?? '') === '';
  const color = (text: string, name: 'green' | 'yellow' | 'red' | undefined): string =>
    hasColors && name !== undefined ? styleText(name, text, { validateStream: false }) : text;
  const { leader, epoch, head, pending, quarantined, nodes } = status;
  const summary = `${color(health.status, COLORS[health.status])} · head ${head} · ${pending} pending`;
  const { gateways = [] } = status;
  const other = gateways.find(({ leads }) => leads)?.id;
  const known = other === undefined ? 'no gateway leads' : `leader ${other}`;
  const leads = leader === null ? known : `leader ${leader}, epoch ${epoch}`;
  const leading = gateways.length > 1 ? `${leads} · ${gateways.length} gateways` : leads;
  const open = quarantined.length === 0 ? '' : ` · ${quarantined.length} quarantined`;
  const rows = nodes.map((node) => [
    node.id,
    node.role,
    color(node.state, STATE_COLORS[node.state]),
    duration(clock.now() - Date.parse(node.since)),
    node.checkpoint,
    lagOf(node.lag),
    remarkOf(node),
  ]);
  const table = columns(['node', 'role', 'state', 'for', 'checkpoint', 'lag', 'remark'], rows);
  const flaws = Object.entries(health.components)
    .filter(([, { state }]) => state !== 'healthy')
    .map(
      ([name, { state, reason }]) =>
        `${color(state, COLORS[state as ShownHealth['status']])} ${name}: ${printable(reason ?? '')}\n`,
    );
  const remarks = [...flaws, ...capacityRemarks(status)];
  return `${summary}${open} · ${leading}\n\n${table}\n${remarks.length === 0 ? '' : `\n${remarks.join('')}`}`;
}

/** One line for each limit that is reached soon. */
function capacityRemarks({ capacity }: ShownStatus): string[] {
  return (capacity?.resources ?? []).flatMap(({ resource, limitReached, advice }) =>
    advice === null ? [] : [`capacity ${resource}: its limit is reached on ${limitReached}. ${advice}\n`],
  );
}

function lagOf({ entries, ms }: ShownNode['lag']): string {
  return entries === 0 ? '0' : `${entries}${ms === null ? '' : ` (${duration(ms)})`}`;
}

function remarkOf({ reason, work, failing, suspects }: ShownNode): string {
  const remarks: string[] = [];
  if (reason !== null) remarks.push(reason);
  if (work !== null && work.ms >= 1_000)
    remarks.push(`call for ${duration(work.ms)}, about ${duration(work.remainingMs)} left`);
  if (failing !== null) remarks.push(`LSN ${failing.lsn} failed ${failing.attempts} times: ${failing.error}`);
  if (suspects.length > 0) remarks.push(`${suspects.length} suspect`);
  return printable(remarks.join('; ')).slice(0, 120);
}

/** In the largest unit that gives a whole number above zero. */
function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 1) return `${Math.round(seconds * 1_000)} ms`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}

function intervalOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number of seconds.');
}

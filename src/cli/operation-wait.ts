// Starts long operations on a gateway and waits for them: progress, Ctrl-C, and the exit code of the command.

import type { Command } from 'commander';
import { StartupError } from '../errors.ts';
import { sleep } from '../util/clock.ts';
import { operationOutcome } from '../util/operation-outcome.ts';
import type { OperationContext } from './operation-context.ts';
import { addOperatorOptions, OperatorApi, UnreachableGateway, type OperatorOptions } from './operator-api.ts';
import { printable } from './command-context.ts';

/** As GET /admin/operations/ID returns it. */
export interface ReportedOperation {
  readonly id: string;
  readonly kind: string;
  readonly target: string;
  readonly state: 'running' | 'done' | 'failed';
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly progress: ReportedProgress | null;
  readonly result: Readonly<Record<string, unknown>> | null;
  readonly error: string | null;
}

interface ReportedProgress {
  readonly phase: string;
  readonly done: number;
  readonly total: number | null;
  readonly unit: string;
  readonly perSecond: number | null;
  readonly remainingMs: number | null;
}

export interface WaitOptions extends OperatorOptions {
  readonly detach?: boolean;
}

/** Says in sentences what a finished operation did. */
type Describe = (operation: ReportedOperation) => string;

/** The part of a command's help that concerns waiting. */
export const WAITING_HELP = `
The command waits and shows progress; --detach returns at once, and so does Ctrl-C. The operation continues on the
gateway either way: "polychrome operation wait ID" waits for it again.
Exit code 0: done, or started with --detach. 1: failed or refused. 130: detached with Ctrl-C.`;

/** Adds the options of a command that starts a long operation. */
export function addWaitOptions(command: Command, env: OperationContext['env']): Command {
  return addOperatorOptions(command, env).option('--detach', 'return once the operation has started');
}

// A person sees the end within a quarter of a second; a request of the operator API costs well under a millisecond.
const POLL_MS = 250;
// A gateway restarts, or another takes over behind the same address, within seconds.
const UNREACHABLE_MS_MAX = 30_000;
// Lines of a log, as opposed to one line on a terminal.
const LINE_EVERY_MS = 10_000;
const CLEAR_LINE = '\r\u001B[K';
const EXIT_DETACHED = 130;

/** Starts the operation of a POST route and follows it. Throws StartupError when it is refused or fails. */
export async function startOperation(
  path: string,
  options: WaitOptions,
  context: OperationContext,
  describe: Describe = outcomeText,
): Promise<void> {
  const api = new OperatorApi(options);
  const started = await api.post<ReportedOperation>(path);
  if (options.detach !== true) return follow(started, options, context, describe);
  if (options.json === true) return context.write(`${JSON.stringify(started, null, 2)}\n`);
  context.write(`Started. Follow it with: ${waitCommand(started.id, options)}\n`);
}

/** Follows a started operation to its end or Ctrl-C. Throws StartupError when it fails. */
export async function follow(
  started: ReportedOperation,
  options: OperatorOptions,
  context: OperationContext,
  describe: Describe = outcomeText,
): Promise<void> {
  const detached = new AbortController();
  const stopListening = context.onInterrupt(() => detached.abort());
  const view = new ProgressView(context, options.json === true);
  try {
    const ended = await untilEnded(started, options, { context, view, signal: detached.signal });
    view.clear();
    if (ended === null) {
      context.progress.write(
        `Detached; the operation continues. Follow it with: ${waitCommand(started.id, options)}\n`,
      );
      return context.setExitCode(EXIT_DETACHED);
    }
    if (options.json === true) context.write(`${JSON.stringify(ended, null, 2)}\n`);
    if (ended.state === 'failed') throw new StartupError(ended.error ?? 'The operation failed.');
    if (options.json !== true) context.write(`${describe(ended)}\n`);
  } finally {
    view.clear();
    stopListening();
  }
}

/** The ended operation; null when the signal aborted first. */
async function untilEnded(
  started: ReportedOperation,
  options: OperatorOptions,
  { context, view, signal }: { context: OperationContext; view: ProgressView; signal: AbortSignal },
): Promise<ReportedOperation | null> {
  const { clock } = context;
  const api = new OperatorApi(options);
  let seenAt = clock.monotonic();
  for (let operation = started; ;) {
    if (operation.state !== 'running') return operation;
    view.show(operation);
    await sleep(clock, POLL_MS, signal);
    if (signal.aborted) return null;
    try {
      operation = await api.get<ReportedOperation>(`/admin/operations/${started.id}`);
      seenAt = clock.monotonic();
    } catch (error) {
      const isPassing = error instanceof UnreachableGateway;
      if (!isPassing || clock.monotonic() - seenAt > UNREACHABLE_MS_MAX) throw error;
    }
  }
}

/** What a finished operation did, in sentences. */
export function outcomeText(operation: ReportedOperation): string {
  return printable(operationOutcome(operation));
}

function waitCommand(id: string, { url }: OperatorOptions): string {
  return `polychrome operation wait ${id} --url ${url}`;
}

/** Progress as one line that is rewritten on a terminal, and as a few lines elsewhere. */
class ProgressView {
  readonly #context: OperationContext;
  readonly #isSilent: boolean;
  #phase: string | null = null;
  #lineAt = 0;
  #isShown = false;

  constructor(context: OperationContext, isSilent: boolean) {
    this.#context = context;
    this.#isSilent = isSilent;
  }

  show(operation: ReportedOperation): void {
    const { progress, clock } = this.#context;
    if (this.#isSilent || operation.progress === null) return;
    const line = progressLine(operation);
    if (progress.isTTY) {
      progress.write(`${CLEAR_LINE}${line}`);
      this.#isShown = true;
      return;
    }
    const now = clock.monotonic();
    if (operation.progress.phase === this.#phase && now - this.#lineAt < LINE_EVERY_MS) return;
    this.#phase = operation.progress.phase;
    this.#lineAt = now;
    progress.write(`${line}\n`);
  }

  clear(): void {
    if (this.#isShown) this.#context.progress.write(CLEAR_LINE);
    this.#isShown = false;
  }
}

/** As in "node add d: catching up, 1200 of 4000 entries (30 %), 250/s, 11 s left". */
export function progressLine({ kind, target, progress }: ReportedOperation): string {
  const parts = [`${kind}${target === '' ? '' : ` ${target}`}: ${progress?.phase ?? 'started'}`];
  if (progress !== null) {
    const { done, total, unit, perSecond, remainingMs } = progress;
    const share = total === null || total === 0 ? '' : ` (${Math.floor((done / total) * 100)} %)`;
    if (total !== 0) parts.push(total === null ? `${done} ${unit}` : `${done} of ${total} ${unit}${share}`);
    if (perSecond !== null && perSecond > 0) parts.push(`${rounded(perSecond)}/s`);
    if (remainingMs !== null) parts.push(`${duration(remainingMs)} left`);
  }
  return printable(parts.join(', '));
}

function rounded(value: number): string {
  return value >= 10 ? String(Math.round(value)) : value.toFixed(1);
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}

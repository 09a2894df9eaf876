// Runs a command of the command line against a server that responds as a test says.

import type { Command } from 'commander';
import type { LiveContext } from '../../src/cli/command-context.ts';
import type { Handler } from '../../src/http/router.ts';
import { startTestServer, stopTestServer, type TestRoutes, type TestServer } from './http-server.ts';
import { ManualClock } from './manual-clock.ts';

export interface CommandRun {
  /** What has been printed so far. */
  readonly output: () => string;
  /** The exit code that the command has set; 0 before. */
  readonly code: () => number;
  readonly clock: ManualClock;
  readonly stop: AbortController;
  /** Resolves when the command has ended; rejects with its error. */
  readonly done: Promise<unknown>;
}

/** A gateway of which a command sees nothing but these routes. */
export class StandInGateway {
  #server: TestServer | null = null;

  /** Starts it, in place of the one before; returns its URL. */
  async start(routes: TestRoutes): Promise<string> {
    await this.stop();
    this.#server = await startTestServer(routes);
    return this.#server.server.url;
  }

  async stop(): Promise<void> {
    if (this.#server !== null) await stopTestServer(this.#server);
    this.#server = null;
  }
}

export class CommandRunner {
  readonly #gateway = new StandInGateway();

  /** Runs the command with `--url` of a server with these routes. */
  async start(
    commandOf: (context: LiveContext) => Command,
    routes: TestRoutes,
    words: readonly string[],
    options: { env?: Record<string, string>; isTerminal?: boolean } = {},
  ): Promise<CommandRun> {
    const url = await this.#gateway.start(routes);
    const [clock, stop] = [new ManualClock(), new AbortController()];
    let [output, code] = ['', 0];
    const write = (text: string | Uint8Array): void => void (output += Buffer.from(text).toString());
    const command = commandOf({
      env: options.env ?? {},
      write,
      clock,
      signal: stop.signal,
      isTerminal: options.isTerminal ?? false,
      exitWith: (wanted) => void (code = wanted),
    });
    for (const each of [command, ...command.commands])
      each.exitOverride().configureOutput({ writeErr: write, writeOut: write });
    const done = command.parseAsync([...words, '--url', url], { from: 'user' });
    done.catch(() => undefined);
    return { output: () => output, code: () => code, clock, stop, done };
  }

  stop(): Promise<void> {
    return this.#gateway.stop();
  }
}

/** An operation as the operator API returns it. */
export const operationStatus = (fields: object = {}): object => ({
  id: '0000000a',
  kind: 'node promote',
  target: 'b',
  state: 'running',
  startedAt: '2026-01-02T03:04:05.000Z',
  endedAt: null,
  progress: null,
  result: null,
  error: null,
  ...fields,
});

export const jsonHandler =
  (value: unknown, status = 200): Handler =>
  async () => ({ status, body: JSON.stringify(value) });

// Runs an operator's command on a node: one that restarts it when it hangs on a call, one that empties it when its files are
// damaged.

import { spawn } from 'node:child_process';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';

export interface NodeCommandOptions {
  /** For the log. */
  readonly purpose: 'restart' | 'reset';
  /** For the shell; NODE_ID and NODE_URL are in its environment. */
  readonly command: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

// A server needs some seconds to start and to be verified; a node is not restarted again before that.
const APART_MS = 60_000;
// A command that has not ended by then is ended.
const LIMIT_MS = 60_000;

export class NodeCommand {
  readonly #options: NodeCommandOptions;
  readonly #ranAt = new Map<string, number>();

  constructor(options: NodeCommandOptions) {
    this.#options = options;
  }

  /** Runs the command, at most once a minute for each node. Never throws. */
  run(node: string, url: string): void {
    const { purpose, command, clock, logger } = this.#options;
    const now = clock.monotonic();
    if (now - (this.#ranAt.get(node) ?? -Infinity) < APART_MS) return;
    this.#ranAt.set(node, now);
    logger.warn({ node }, `${purpose} command started`);
    const child = spawn(command, {
      shell: true,
      stdio: 'ignore',
      timeout: LIMIT_MS,
      env: { ...process.env, NODE_ID: node, NODE_URL: url },
    });
    child.on('error', (error) => logger.error({ node, error: error.message }, `${purpose} command failed`));
    child.on('exit', (code, signal) => {
      if (code === 0) logger.info({ node }, `${purpose} command ended`);
      else logger.error({ node, code, signal }, `${purpose} command failed`);
    });
  }
}

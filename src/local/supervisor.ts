// Keeps one child running: what dies is started again, later each time, and given up aloud in the end.
//
//   starting → running → waiting → starting …      (died)
//                      → given_up                  (died too often: decided in restart-policy.ts)
//   any      → stopped → starting                  (stop and start, on purpose)

import type { Clock } from '../util/clock.ts';
import type { Child } from './child.ts';
import { decideRestart, RESTART_POLICY, type RestartPolicy } from './restart-policy.ts';

type SupervisedState = 'starting' | 'running' | 'waiting' | 'stopped' | 'given_up';

export interface Supervised {
  readonly name: string;
  state(): SupervisedState;
  /** Of the process now running; undefined between two. */
  pid(): number | undefined;
  /** Signals the process; a death that follows is like any other. */
  signal(signal: NodeJS.Signals): void;
  /** Starts it; resolves when it is ready and stays supervised, rejects (and stays stopped) when it is not. */
  start(): Promise<void>;
  /** Stops it on purpose; it stays so until `start`. */
  stop(): Promise<void>;
}

/** What the supervisor tells; pino's loggers fit. */
export interface SupervisorLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface SupervisorOptions {
  readonly name: string;
  /** Starts the child and resolves when it is ready; leaves nothing running when it rejects or is aborted. */
  readonly launch: (signal: AbortSignal) => Promise<Child>;
  readonly clock: Clock;
  readonly logger: SupervisorLogger;
  readonly policy?: RestartPolicy | undefined;
  readonly onGivenUp?: ((reason: string) => void) | undefined;
}

/** A supervised child, not yet started. */
export function supervise(options: SupervisorOptions): Supervised {
  return new Supervisor(options);
}

class Supervisor implements Supervised {
  readonly name: string;
  readonly #options: SupervisorOptions;
  #state: SupervisedState = 'stopped';
  #child: Child | undefined;
  #quickDeaths = 0;
  #launching: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #abort = new AbortController();
  #cancelRestart: () => void = () => {};

  constructor(options: SupervisorOptions) {
    this.name = options.name;
    this.#options = options;
  }

  state(): SupervisedState {
    return this.#state;
  }

  pid(): number | undefined {
    return this.#child?.pid;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.signal(signal);
  }

  async start(): Promise<void> {
    if (this.#state === 'starting' || this.#state === 'running') return this.#launching;
    this.#cancelRestart();
    await this.#stopping; // never two processes on one folder
    this.#quickDeaths = 0;
    try {
      await this.#launch();
    } catch (error) {
      this.#state = 'stopped';
      throw error;
    }
  }

  stop(): Promise<void> {
    this.#state = 'stopped';
    this.#cancelRestart();
    this.#abort.abort();
    this.#stopping = this.#end();
    return this.#stopping;
  }

  async #end(): Promise<void> {
    await this.#launching?.catch(() => {}); // its failure was told to whoever started it
    const child = this.#child;
    await child?.stop();
    if (this.#child === child) this.#child = undefined;
  }

  #launch(): Promise<void> {
    this.#state = 'starting';
    this.#abort = new AbortController();
    this.#launching = this.#bringUp(this.#abort.signal);
    return this.#launching;
  }

  async #bringUp(signal: AbortSignal): Promise<void> {
    const child = await this.#options.launch(signal);
    if (signal.aborted) {
      await child.stop();
      signal.throwIfAborted();
    }
    this.#child = child;
    this.#state = 'running';
    void this.#watch(child);
  }

  async #watch(child: Child): Promise<void> {
    const readySince = this.#options.clock.monotonic();
    const { code, signal } = await child.exited;
    if (this.#child !== child) return;
    this.#child = undefined;
    if (this.#state !== 'running') return; // stopped on purpose
    this.#afterDeath(this.#options.clock.monotonic() - readySince, signal ?? `exit code ${code}`);
  }

  #afterDeath(readyMs: number, reason: string): void {
    const { clock, logger, policy = RESTART_POLICY, onGivenUp } = this.#options;
    const decision = decideRestart(policy, this.#quickDeaths, readyMs);
    this.#quickDeaths = decision.quickDeaths;
    const fields = { child: this.name, reason, quickDeaths: decision.quickDeaths };
    if (decision.action === 'give_up') {
      this.#state = 'given_up';
      logger.error(
        fields,
        `${this.name} died ${decision.quickDeaths} times in a row and is given up: ${reason}`,
      );
      onGivenUp?.(reason);
      return;
    }
    this.#state = 'waiting';
    logger.warn(fields, `${this.name} died (${reason}); it is started again in ${decision.delayMs} ms`);
    this.#cancelRestart = clock.after(decision.delayMs, () => void this.#restart());
  }

  async #restart(): Promise<void> {
    try {
      await this.#launch();
      this.#options.logger.info({ child: this.name, pid: this.pid() }, `${this.name} runs again`);
    } catch (error) {
      if (this.#state !== 'starting') return; // stopped on purpose meanwhile
      this.#afterDeath(0, error instanceof Error ? error.message : String(error));
    }
  }
}

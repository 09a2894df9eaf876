// Restarts a child that exits, with an increasing delay, until the restart policy stops the restarts.
//
//   starting → running → waiting → starting …      (exited)
//                      → given_up                  (too many quick exits: restart-policy.ts)
//   any      → stopped → starting                  (stop and start)

import type { Clock } from '../util/clock.ts';
import type { Child } from './child.ts';
import { decideRestart, RESTART_POLICY, type RestartPolicy } from './restart-policy.ts';

type SupervisedState = 'starting' | 'running' | 'waiting' | 'stopped' | 'given_up';

export interface Supervised {
  readonly name: string;
  state(): SupervisedState;
  /** Id of the current process; null while none runs. */
  pid(): number | null;
  /** Signals the process; the supervisor restarts it when it exits. */
  signal(signal: NodeJS.Signals): void;
  /** Starts the child; resolves when it is ready. When it rejects, the child stays stopped. */
  start(): Promise<void>;
  /** Goes on as after an exit with this reason: for a child whose start has failed. */
  startLater(reason: string): void;
  /** Stops the child; it stays stopped until `start`. */
  stop(): Promise<void>;
}

/** The part of a pino logger that the supervisor uses. */
export interface SupervisorLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface SupervisorOptions {
  readonly name: string;
  /** Starts the child and resolves when it is ready; stops it when it rejects or is aborted. */
  readonly launch: (signal: AbortSignal) => Promise<Child>;
  readonly clock: Clock;
  readonly logger: SupervisorLogger;
  readonly policy?: RestartPolicy | undefined;
  readonly onGivenUp?: ((reason: string) => void) | undefined;
  /** Called after so many quick exits, and every further one, of a child that is restarted without end. */
  readonly onFailing?: ((reason: string) => void) | undefined;
  /** Aborted once everything is about to stop: a child that exits from then on is not restarted. */
  readonly stopRequested?: AbortSignal | undefined;
}

/** Creates a supervised child without starting it. */
export function supervise(options: SupervisorOptions): Supervised {
  return new Supervisor(options);
}

class Supervisor implements Supervised {
  readonly name: string;
  readonly #options: SupervisorOptions;
  #state: SupervisedState = 'stopped';
  #child: Child | null = null;
  #quickExits = 0;
  #launching: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;
  #abort = new AbortController();
  #cancelRestart: () => void = () => {};

  constructor(options: SupervisorOptions) {
    this.name = options.name;
    this.#options = options;
  }

  state(): SupervisedState {
    return this.#state;
  }

  pid(): number | null {
    return this.#child?.pid ?? null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.signal(signal);
  }

  async start(): Promise<void> {
    if (this.#state === 'starting' || this.#state === 'running') return void (await this.#launching);
    this.#cancelRestart();
    await this.#stopping; // two processes must never use one folder
    this.#quickExits = 0;
    try {
      await this.#launch();
    } catch (error) {
      this.#state = 'stopped';
      throw error;
    }
  }

  startLater(reason: string): void {
    if (this.#state === 'stopped') this.#onExit(0, reason);
  }

  stop(): Promise<void> {
    this.#state = 'stopped';
    this.#cancelRestart();
    this.#abort.abort();
    this.#stopping = this.#end();
    return this.#stopping;
  }

  async #end(): Promise<void> {
    await this.#launching?.catch(() => {}); // `start` has reported this failure
    const child = this.#child;
    await child?.stop();
    if (this.#child === child) this.#child = null;
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
    this.#child = null;
    if (this.#state !== 'running') return; // stopped by `stop`
    this.#onExit(this.#options.clock.monotonic() - readySince, signal ?? `exit code ${code}`);
  }

  #onExit(readyMs: number, reason: string): void {
    const { clock, logger, policy = RESTART_POLICY, onGivenUp, onFailing, stopRequested } = this.#options;
    // A signal to the whole process group, as from systemd, reaches the children as well.
    if (stopRequested?.aborted === true) {
      this.#state = 'stopped';
      return;
    }
    const decision = decideRestart(policy, this.#quickExits, readyMs);
    this.#quickExits = decision.quickExits;
    const fields = { child: this.name, reason, quickExits: decision.quickExits };
    if (decision.action === 'give_up') {
      this.#state = 'given_up';
      logger.error(
        fields,
        `${this.name} exited ${decision.quickExits} times in a row; restarts stopped: ${reason}`,
      );
      onGivenUp?.(reason);
      return;
    }
    this.#state = 'waiting';
    if (decision.quickExits >= policy.quickExitsMax) onFailing?.(reason);
    // Its remedy may have stopped it.
    if (this.state() !== 'waiting') return;
    logger.warn(fields, `${this.name} exited (${reason}); restart in ${decision.delayMs} ms`);
    this.#cancelRestart = clock.after(decision.delayMs, () => void this.#restart());
  }

  async #restart(): Promise<void> {
    if (this.#options.stopRequested?.aborted === true) {
      this.#state = 'stopped';
      return;
    }
    try {
      await this.#launch();
      this.#options.logger.info({ child: this.name, pid: this.pid() }, `${this.name} restarted`);
    } catch (error) {
      if (this.#state !== 'starting') return; // `stop` was called during the start
      this.#onExit(0, error instanceof Error ? error.message : String(error));
    }
  }
}

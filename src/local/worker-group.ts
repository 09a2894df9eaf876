// Keeps the workers of one `polychrome serve` running: restarts one that ended, within bounds, and stops all in order.

import { sleep, type Clock } from '../util/clock.ts';
import { onAbort } from '../util/race.ts';
import { decideRestart, RESTART_POLICY } from './restart-policy.ts';

export interface WorkerProcess {
  /** Resolves when it serves; pending for ever when it ends before. */
  readonly serving: Promise<void>;
  /** Resolves when it has ended: how. */
  readonly ended: Promise<string>;
  signal(name: NodeJS.Signals): void;
}

export interface WorkerGroupOptions {
  readonly count: number;
  /** Starts worker `number`, counted from 1. */
  readonly fork: (number: number) => WorkerProcess;
  /** Called when the first worker serves. */
  readonly onServing: () => void;
  readonly onRestart: (number: number, reason: string, delayMs: number) => void;
  /** Called when the group cannot go on; stops it. */
  readonly onFailure: (reason: string) => void;
  /** How long a worker goes on serving after SIGTERM, ms. */
  readonly stopDelayMs: number;
  readonly clock: Clock;
}

// After its delay: a gateway gives each of its parts 15 s, and needs a few seconds for all of them.
const STOP_DEADLINE_MS = 60_000;

export class WorkerGroup {
  readonly #options: WorkerGroupOptions;
  #hasServed = false;

  constructor(options: WorkerGroupOptions) {
    this.#options = options;
  }

  /** Runs until `stop` aborts; resolves when every worker has ended. */
  async run(stop: AbortSignal): Promise<void> {
    const numbers = Array.from({ length: this.#options.count }, (_, n) => n + 1);
    await Promise.all(numbers.map((number) => this.#keep(number, stop)));
  }

  async #keep(number: number, stop: AbortSignal): Promise<void> {
    const { clock, onRestart, onFailure } = this.#options;
    let quickExits = 0;
    while (!stop.aborted) {
      const { reason, servedMs } = await this.#runOnce(number, stop);
      if (stop.aborted) return;
      // What keeps the first start from succeeding is the same for every worker, and has been reported.
      if (!this.#hasServed) return onFailure(`worker ${number} ended before it served: ${reason}`);
      const decision = decideRestart(RESTART_POLICY, quickExits, servedMs);
      if (decision.action === 'give_up') return onFailure(`worker ${number} keeps ending: ${reason}`);
      ({ quickExits } = decision);
      onRestart(number, reason, decision.delayMs);
      await sleep(clock, decision.delayMs, stop);
    }
  }

  async #runOnce(number: number, stop: AbortSignal): Promise<{ reason: string; servedMs: number }> {
    const { fork, clock, onServing, stopDelayMs } = this.#options;
    const worker = fork(number);
    let servedFrom: number | null = null;
    void worker.serving.then(() => {
      servedFrom = clock.monotonic();
      if (!this.#hasServed) onServing();
      this.#hasServed = true;
    });
    let cancelKill = (): void => undefined;
    const unsubscribe = onAbort(stop, () => {
      worker.signal('SIGTERM');
      cancelKill = clock.after(stopDelayMs + STOP_DEADLINE_MS, () => worker.signal('SIGKILL'));
    });
    const reason = await worker.ended;
    unsubscribe();
    cancelKill();
    return { reason, servedMs: servedFrom === null ? 0 : clock.monotonic() - servedFrom };
  }
}

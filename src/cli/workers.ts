// The workers of `polychrome serve --workers N`: gateway processes that share the port of their parent.

import cluster from 'node:cluster';
import type { Config } from '../config/config.ts';
import { WorkerGroup, type WorkerProcess } from '../local/worker-group.ts';
import type { Clock } from '../util/clock.ts';
import { boundEnvironment } from './memory.ts';
import type { StopRequest } from './stop-request.ts';

// Names to a process the worker that it is.
const WORKER = 'POLYCHROME_WORKER';

/** The number of the worker that this process is, counted from 1; null when it is none. */
export function workerNumber(env: NodeJS.ProcessEnv): number | null {
  const text = env[WORKER];
  // The processes that a worker starts are none.
  delete env[WORKER];
  return text === undefined || !cluster.isWorker ? null : Number(text);
}

/** Of a worker: operators reach each one on a port of its own. */
export function workerConfig(config: Config, worker: number): Config {
  return { ...config, ADMIN_PORT: (config.ADMIN_PORT as number) + worker - 1 };
}

/** Resolves when every worker has ended. */
export async function runWorkers(
  config: Config,
  { stopRequest, clock, onServing }: { stopRequest: StopRequest; clock: Clock; onServing: () => void },
): Promise<void> {
  // Workers accept connections themselves. By default the parent hands them over, and loses one that it hands to a worker
  // which has just been killed: its client waits without end.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  const group = new WorkerGroup({
    count: config.WORKERS,
    fork,
    onServing,
    onRestart: (number, reason, delayMs) =>
      console.error(`polychrome: worker ${number} ended (${reason}); it starts again in ${delayMs} ms`),
    onFailure: (reason) => stopRequest.fail(`The workers cannot go on: ${reason}.`),
    stopDelayMs: config.STOP_DELAY_MS,
    clock,
  });
  await group.run(stopRequest.signal);
}

function fork(number: number): WorkerProcess {
  const worker = cluster.fork({ ...boundEnvironment(), [WORKER]: String(number) });
  return {
    serving: new Promise((resolve) => worker.once('message', () => resolve())),
    ended: new Promise((resolve) => {
      worker.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
      worker.on('error', (error) => resolve(error.message));
    }),
    signal: (name) => void worker.process.kill(name),
  };
}

/** Notifies the parent that this worker serves. */
export function reportServing(): void {
  process.send?.('serving');
}

/** Ends the connection to the parent, which would keep this process running. */
export function leaveParent(): void {
  process.disconnect?.();
}

// How far the nodes are behind: from a write's acknowledgement until /status shows it applied on every node, at half
// the rate the cluster manages. Seen by polling, so never shown smaller than it is, and larger by up to one poll.

import { type ClosedRun, feedOf } from './closed.ts';
import { type Call, Connection } from './connection.ts';
import { type CallResult, runClosed, runOpen } from './load.ts';
import type { ClusterStatus } from './server.ts';
import { sorted } from './statistics.ts';
import type { Target } from './targets.ts';
import type { Workload } from './workloads.ts';

const POLL_MS = 5;
const EMPTY = Buffer.alloc(0);
/** Short: it only finds what half load is. */
const CALIBRATION_MS = 1_000;

interface Acknowledged {
  readonly lsn: number;
  readonly doneAt: number;
}

/** Acknowledged writes and when they were seen applied everywhere. */
export class LagSamples {
  #waiting: Acknowledged[] = [];
  readonly samplesMs: number[] = [];

  acknowledged({ lsn, doneAt, succeeded }: CallResult): void {
    if (!succeeded) return;
    if (lsn === null) throw new Error('The answer to a write carries no x-polychrome-lsn.');
    this.#waiting.push({ lsn, doneAt });
  }

  /** Every node had applied everything up to `lsn`; known at `now`. */
  applied(lsn: number, now: number): void {
    const still: Acknowledged[] = [];
    for (const write of this.#waiting) {
      if (write.lsn <= lsn) this.samplesMs.push(Math.max(0, now - write.doneAt));
      else still.push(write);
    }
    this.#waiting = still;
  }

  get waiting(): number {
    return this.#waiting.length;
  }
}

export async function measureLag(workload: Workload, target: Target, run: ClosedRun): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const collection = await server.freshCollection('bench_written', bodies.fill('written'));
  const feed = feedOf(workload, target, collection);
  const load = { address: server.address, clients: workload.clients, feed, warmUpMs: settings.warmUpMs };
  const full = await runClosed({ ...load, durationMs: CALIBRATION_MS });
  await server.settle();
  const rate = Math.round((full.operations * 500) / full.elapsedMs);
  const samples = new LagSamples();
  let writing = true;
  const watching = watch(target, samples, () => writing);
  const outcome = await runOpen({
    address: server.address,
    rate,
    durationMs: settings.lagMs,
    feed,
    onResult: (result) => samples.acknowledged(result),
  });
  writing = false;
  await watching;
  const lags = sorted(samples.samplesMs);
  results.addRound('lag', target.name, { ...outcome, latenciesMs: lags });
}

/** Polls the status until the writes have ended and all of them are seen applied. */
function watch(target: Target, samples: LagSamples, writing: () => boolean): Promise<void> {
  const { host, port } = target.server.address;
  const head = Buffer.from(`GET /status HTTP/1.1\r\nhost: ${host}:${port}\r\n\r\n`);
  const call: Call = { head, body: EMPTY, operations: 1 };
  const connection = new Connection(target.server.address);
  return new Promise((resolve, reject) => {
    const poll = (): void =>
      connection.exchange(
        call,
        (status) => {
          try {
            if (status !== 200) throw new Error(`/status is answered with ${status} ${connection.failure}`);
            const { nodes } = JSON.parse(connection.body.toString()) as ClusterStatus;
            samples.applied(Math.min(...nodes.map(({ checkpoint }) => checkpoint)), performance.now());
          } catch (error) {
            connection.close();
            return reject(error);
          }
          if (writing() || samples.waiting > 0) return void setTimeout(poll, POLL_MS);
          connection.close();
          resolve();
        },
        true,
      );
    poll();
  });
}

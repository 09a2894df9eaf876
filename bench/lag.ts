// Replication lag: the time from a write's acknowledgement until /status shows it applied on every node, at half the
// cluster's maximum rate. Polling overestimates it by up to one poll interval.

import { type BenchmarkRun, callSource } from './closed-workload.ts';
import { type Call, Connection } from './connection.ts';
import { type CallResult, runClosed, runOpen } from './load.ts';
import type { ClusterStatus } from './server.ts';
import { sorted } from './statistics.ts';
import type { Target } from './targets.ts';
import type { Workload } from './workloads.ts';

const POLL_MS = 5;
const EMPTY = Buffer.alloc(0);
/** Duration of the closed loop that determines the maximum rate. */
const CALIBRATION_MS = 1_000;

interface Acknowledged {
  readonly lsn: number;
  readonly doneAt: number;
}

/** Matches acknowledged writes with the time they were applied on every node. */
export class LagSamples {
  #pending: Acknowledged[] = [];
  readonly samplesMs: number[] = [];

  acknowledged({ lsn, doneAt, succeeded }: CallResult): void {
    if (!succeeded) return;
    if (lsn === null) throw new Error('the response to a write has no x-polychrome-lsn header');
    this.#pending.push({ lsn, doneAt });
  }

  /** Reports that, as observed at `now`, every node has applied the log up to `lsn`. */
  applied(lsn: number, now: number): void {
    const pending: Acknowledged[] = [];
    for (const write of this.#pending) {
      if (write.lsn <= lsn) this.samplesMs.push(Math.max(0, now - write.doneAt));
      else pending.push(write);
    }
    this.#pending = pending;
  }

  get pending(): number {
    return this.#pending.length;
  }
}

export async function measureLag(workload: Workload, target: Target, run: BenchmarkRun): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const collection = await bodies.open(server, 'written');
  const nextCall = callSource({ workload, target, collection });
  const load = { address: server.address, clients: workload.clients, nextCall, warmUpMs: settings.warmUpMs };
  const full = await runClosed({ ...load, durationMs: CALIBRATION_MS });
  await server.settle();
  const rate = Math.round((full.operations * 500) / full.elapsedMs);
  const samples = new LagSamples();
  let isWriting = true;
  const watching = watchStatus(target, samples, () => isWriting);
  const outcome = await runOpen({
    address: server.address,
    rate,
    durationMs: settings.lagMs,
    nextCall,
    onResult: (result) => samples.acknowledged(result),
  });
  isWriting = false;
  await watching;
  const lags = sorted(samples.samplesMs);
  results.addRound('lag', target.name, { ...outcome, latenciesMs: lags });
}

/** Polls /status until the load has ended and all acknowledged writes are applied. */
function watchStatus(target: Target, samples: LagSamples, isWriting: () => boolean): Promise<void> {
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
            if (status !== 200) throw new Error(`/status failed: HTTP ${status} ${connection.failure}`);
            const { nodes } = JSON.parse(connection.body.toString()) as ClusterStatus;
            samples.applied(Math.min(...nodes.map(({ checkpoint }) => checkpoint)), performance.now());
          } catch (error) {
            connection.close();
            return reject(error);
          }
          if (isWriting() || samples.pending > 0) return void setTimeout(poll, POLL_MS);
          connection.close();
          resolve();
        },
        true,
      );
    poll();
  });
}

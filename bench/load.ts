// Closed-loop and open-loop load generation. Closed loop: each client waits for a response before its next call; this
// measures throughput. Open loop: calls arrive at a fixed rate, and latency counts from the intended send time, so that
// a stall shows in every call it delays (no coordinated omission).

import { type Address, type Call, Connection } from './connection.ts';
import { sorted } from './statistics.ts';

/** Returns the next call to send. */
export type CallSource = () => Call;

export interface Outcome {
  /** Latencies of the successful calls, ascending, ms. */
  readonly latenciesMs: Float64Array;
  /** Successful operations; one call may contain several. */
  readonly operations: number;
  /** From the first call sent to the last response. */
  readonly elapsedMs: number;
  /** Failed calls by reason. */
  readonly failures: ReadonlyMap<string, number>;
}

/** One completed call. All times are monotonic, ms. */
export interface CallResult {
  /** Intended send time. */
  readonly intendedAt: number;
  readonly doneAt: number;
  readonly succeeded: boolean;
  readonly lsn: number | null;
}

export interface ClosedLoad {
  readonly address: Address;
  readonly clients: number;
  readonly nextCall: CallSource;
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** Ends the measurement early after this many calls. */
  readonly callsMax?: number;
}

export interface OpenLoad {
  readonly address: Address;
  /** Calls per second. */
  readonly rate: number;
  readonly durationMs: number;
  readonly nextCall: CallSource;
  /** Maximum connections; calls that arrive while all are busy queue, and their latency includes the wait. */
  readonly connectionsMax?: number;
  readonly onResult?: (result: CallResult) => void;
}

/** A call fails after this time; longer than any pause worth measuring. */
const RESPONSE_TIMEOUT_MS = 30_000;
const SWEEP_MS = 500;
/** Beyond this, queueing in the generator and in the server are equivalent. */
const CONNECTIONS_MAX = 256;

/** Failed calls of any reason. */
export const failureCount = ({ failures }: Outcome): number =>
  [...failures.values()].reduce((sum, count) => sum + count, 0);

const isSuccess = (status: number): boolean => status >= 200 && status < 300;

/** Counts outcomes and latencies of calls. */
class Tally {
  readonly #latencies: number[] = [];
  readonly #failures = new Map<string, number>();
  readonly #startedAt = performance.now();
  #operations = 0;
  #lastDoneAt = this.#startedAt;

  record(call: Call, status: number, { latencyMs, failure }: { latencyMs: number; failure: string }): void {
    this.#lastDoneAt = performance.now();
    if (isSuccess(status)) {
      this.#latencies.push(latencyMs);
      this.#operations += call.operations;
      return;
    }
    const reason = status === 0 ? failure : `HTTP ${status}`;
    this.#failures.set(reason, (this.#failures.get(reason) ?? 0) + 1);
  }

  outcome(): Outcome {
    return {
      latenciesMs: sorted(this.#latencies),
      operations: this.#operations,
      elapsedMs: this.#lastDoneAt - this.#startedAt,
      failures: this.#failures,
    };
  }
}

/** The connections of one load; enforces the response timeout. */
class Pool {
  readonly connections: Connection[] = [];
  readonly #sweeper: NodeJS.Timeout;

  constructor(address: Address, size: number) {
    for (let index = 0; index < size; index += 1) this.connections.push(new Connection(address));
    this.#sweeper = setInterval(() => {
      const limit = performance.now() - RESPONSE_TIMEOUT_MS;
      for (const connection of this.connections) {
        if (connection.isBusy && connection.sentAt < limit) connection.abandon('no response within 30 s');
      }
    }, SWEEP_MS);
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const connection of this.connections) connection.close();
  }
}

/** Runs a closed loop twice: warm-up, then measurement. Each loop ends when all of its calls have completed. */
export async function runClosed(load: ClosedLoad): Promise<Outcome & { readonly warmUp: Outcome }> {
  const pool = new Pool(load.address, load.clients);
  try {
    const warmUp = await loop(pool, load.nextCall, { durationMs: load.warmUpMs, callsMax: Infinity });
    const callsMax = load.callsMax ?? Infinity;
    const measured = await loop(pool, load.nextCall, { durationMs: load.durationMs, callsMax });
    return { ...measured, warmUp };
  } finally {
    pool.close();
  }
}

function loop(
  pool: Pool,
  nextCall: CallSource,
  { durationMs, callsMax }: { readonly durationMs: number; readonly callsMax: number },
): Promise<Outcome> {
  return new Promise((resolve) => {
    const tally = new Tally();
    const endAt = performance.now() + durationMs;
    let active = pool.connections.length;
    let sent = 0;
    const sendNext = (connection: Connection): void => {
      const sentAt = performance.now();
      if (sentAt >= endAt || sent >= callsMax) {
        active -= 1;
        if (active === 0) resolve(tally.outcome());
        return;
      }
      const call = nextCall();
      sent += 1;
      connection.exchange(call, (status) => {
        const latencyMs = performance.now() - sentAt;
        tally.record(call, status, { latencyMs, failure: connection.failure });
        sendNext(connection);
      });
    };
    for (const connection of pool.connections) sendNext(connection);
  });
}

/** Runs an open loop; resolves when every call has completed or failed. */
export async function runOpen(load: OpenLoad): Promise<Outcome> {
  const pool = new Pool(load.address, load.connectionsMax ?? CONNECTIONS_MAX);
  try {
    return await runSchedule(pool, load);
  } finally {
    pool.close();
  }
}

function runSchedule(pool: Pool, { rate, durationMs, nextCall, onResult }: OpenLoad): Promise<Outcome> {
  return new Promise((resolve) => {
    const tally = new Tally();
    const idle = [...pool.connections];
    const startAt = performance.now();
    const total = Math.max(1, Math.round((rate * durationMs) / 1_000));
    let arrived = 0;
    let sent = 0;
    let done = 0;
    const intended = (index: number): number => startAt + (index * 1_000) / rate;
    const send = (): void => {
      while (sent < arrived && idle.length > 0) {
        const connection = idle.pop()!;
        const intendedAt = intended(sent);
        const call = nextCall();
        sent += 1;
        connection.exchange(call, (status) => {
          const doneAt = performance.now();
          tally.record(call, status, { latencyMs: doneAt - intendedAt, failure: connection.failure });
          onResult?.({ intendedAt, doneAt, succeeded: isSuccess(status), lsn: connection.lsn });
          idle.push(connection);
          done += 1;
          if (done === total) resolve(tally.outcome());
          else send();
        });
      }
    };
    const tick = (): void => {
      const now = performance.now();
      while (arrived < total && intended(arrived) <= now) arrived += 1;
      send();
      if (arrived < total) setTimeout(tick, Math.max(0, intended(arrived) - performance.now()));
    };
    tick();
  });
}

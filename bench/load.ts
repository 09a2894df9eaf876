// The two ways to put load on a server. Closed loop: so many clients, each waits for its answer before it asks again;
// it finds the throughput. Open loop: calls arrive at a fixed rate whatever the server does, and each one's latency
// counts from the moment it was to be sent, so that a stall shows in every call it delayed (no coordinated omission).

import { type Address, type Call, Connection } from './connection.ts';
import { sorted } from './statistics.ts';

/** Hands out the next call; called once for each. */
export type Feed = () => Call;

export interface Outcome {
  /** Latencies of the successful calls, ascending, ms. */
  readonly latenciesMs: Float64Array;
  /** Successful operations: a call may hold many. */
  readonly operations: number;
  /** From the first call sent to the last answer. */
  readonly elapsedMs: number;
  /** Calls that failed, by what came instead of a 2xx. */
  readonly failures: ReadonlyMap<string, number>;
}

/** One call as it went, for those who need more than the totals. All times are monotonic ms. */
export interface CallResult {
  /** When it was to be sent. */
  readonly intendedAt: number;
  readonly doneAt: number;
  readonly succeeded: boolean;
  readonly lsn: number | null;
}

export interface ClosedLoad {
  readonly address: Address;
  readonly clients: number;
  readonly feed: Feed;
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** Ends the measured part earlier, after so many calls. */
  readonly callsMax?: number;
}

export interface OpenLoad {
  readonly address: Address;
  /** Calls a second. */
  readonly rate: number;
  readonly durationMs: number;
  readonly feed: Feed;
  /** Connections at most; what arrives while all are busy waits its turn, its clock running. */
  readonly connectionsMax?: number;
  readonly onResult?: (result: CallResult) => void;
}

/** A call that has not been answered by then has failed: longer than any pause worth measuring. */
const ANSWER_WAIT_MS = 30_000;
const SWEEP_MS = 500;
/** The most a stock server is asked to keep open; beyond it, waiting in the generator or in the server is the same. */
const CONNECTIONS_MAX = 256;

const isSuccess = (status: number): boolean => status >= 200 && status < 300;

/** Collects what happens to calls. */
class Tally {
  readonly #latencies: number[] = [];
  readonly #failures = new Map<string, number>();
  readonly #startedAt = performance.now();
  #operations = 0;
  #lastDoneAt = this.#startedAt;

  record(call: Call, status: number, latencyMs: number, connection: Connection): void {
    this.#lastDoneAt = performance.now();
    if (isSuccess(status)) {
      this.#latencies.push(latencyMs);
      this.#operations += call.operations;
      return;
    }
    const reason = status === 0 ? connection.failure : `HTTP ${status}`;
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

/** Connections for one load, with a limit to how long an answer may take. */
class Pool {
  readonly connections: Connection[] = [];
  readonly #sweeper: NodeJS.Timeout;

  constructor(address: Address, size: number) {
    for (let index = 0; index < size; index += 1) this.connections.push(new Connection(address));
    this.#sweeper = setInterval(() => {
      const limit = performance.now() - ANSWER_WAIT_MS;
      for (const connection of this.connections) {
        if (connection.busy && connection.sentAt < limit) connection.abandon('no answer in 30 s');
      }
    }, SWEEP_MS);
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const connection of this.connections) connection.close();
  }
}

/** Runs a closed loop, first to warm up, then for the record. Every call sent is waited for and counted. */
export async function runClosed(load: ClosedLoad): Promise<Outcome & { readonly warmUp: Outcome }> {
  const pool = new Pool(load.address, load.clients);
  try {
    const warmUp = await loop(pool, load.feed, load.warmUpMs, Infinity);
    return { ...(await loop(pool, load.feed, load.durationMs, load.callsMax ?? Infinity)), warmUp };
  } finally {
    pool.close();
  }
}

function loop(pool: Pool, feed: Feed, durationMs: number, callsMax: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const tally = new Tally();
    const endAt = performance.now() + durationMs;
    let working = pool.connections.length;
    let sent = 0;
    const work = (connection: Connection): void => {
      const sentAt = performance.now();
      if (sentAt >= endAt || sent >= callsMax) {
        working -= 1;
        if (working === 0) resolve(tally.outcome());
        return;
      }
      const call = feed();
      sent += 1;
      connection.exchange(call, (status) => {
        tally.record(call, status, performance.now() - sentAt, connection);
        work(connection);
      });
    };
    for (const connection of pool.connections) work(connection);
  });
}

/** Runs an open loop; resolves when everything that arrived has been answered or has failed. */
export async function runOpen(load: OpenLoad): Promise<Outcome> {
  const pool = new Pool(load.address, load.connectionsMax ?? CONNECTIONS_MAX);
  try {
    return await arrive(pool, load);
  } finally {
    pool.close();
  }
}

function arrive(pool: Pool, { rate, durationMs, feed, onResult }: OpenLoad): Promise<Outcome> {
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
        const call = feed();
        sent += 1;
        connection.exchange(call, (status) => {
          const doneAt = performance.now();
          tally.record(call, status, doneAt - intendedAt, connection);
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

// Sends requests through the official client; records acknowledged writes and failed requests.
import { setInterval, setTimeout } from 'node:timers/promises';
import type { Collection } from 'chromadb';
import { StartupError } from '../src/errors.ts';
import { COLLECTION, columnsOf, connect } from './check.ts';
import { embed, type TextRecord } from './corpus.ts';

// Longer than any failover may take, and about as long as most clients wait.
const RESPONSE_MS_MAX = 30_000;
// After this many failures the result is certain, and each further failure may take RESPONSE_MS_MAX.
const FAILURES_MAX = 500;
// The periods are the resolution of the measured pauses. Three servers on two cores apply about 60 single writes
// per second, so 20 leave capacity for indexing. A read costs a tenth of a write.
const WRITE_PERIOD_MS = 50;
const READ_PERIOD_MS = 25;

export class Workload {
  requests = 0;
  failed = 0;
  /** The first five distinct failures. */
  readonly failures = new Set<string>();
  /** Records whose write was acknowledged. */
  readonly acknowledged: TextRecord[] = [];
  readonly #collection: Collection;
  readonly #run: AbortController;

  private constructor(collection: Collection, run: AbortController) {
    this.#collection = collection;
    this.#run = run;
  }

  /** Creates the collection. Aborting `run` aborts all requests; FAILURES_MAX failures abort `run`. */
  static async create(endpoint: string, run: AbortController): Promise<Workload> {
    // Servers normalise embeddings for cosine; with l2 they return them unchanged.
    const configuration = { hnsw: { space: 'l2' as const } };
    const options = { name: COLLECTION, configuration, embeddingFunction: null };
    return new Workload(await connect(endpoint, run.signal).createCollection(options), run);
  }

  /** Returns whether the write was acknowledged. */
  add(records: readonly TextRecord[]): Promise<boolean> {
    return this.#attempt('add', async () => {
      await this.#collection.add(columnsOf(records));
      this.acknowledged.push(...records);
    });
  }

  /** Returns whether the search succeeded, which includes finding a record. */
  search(embedding: readonly number[]): Promise<boolean> {
    return this.#attempt('query', async () => {
      const { ids } = await this.#collection.query({ queryEmbeddings: [[...embedding]], nResults: 5 });
      if (!ids[0]?.length) throw new Error('no hit in a collection that holds acknowledged records');
    });
  }

  /** Writes one record per period until `signal` aborts; returns the longest pause in ms. */
  writeSteadily(signal: AbortSignal): Promise<number> {
    return sendSteadily(WRITE_PERIOD_MS, signal, (n) => {
      const document = `Single write number ${n}`;
      return this.add([{ id: `single-${n}`, document, metadata: { n }, embedding: embed(document) }]);
    });
  }

  /** Reads once per period until `signal` aborts, by search and by id in turn; returns the longest pause in ms. */
  readSteadily(signal: AbortSignal): Promise<number> {
    return sendSteadily(READ_PERIOD_MS, signal, (n) => {
      const latest = this.acknowledged.at(-1)!;
      if (n % 2 === 0) return this.search(latest.embedding);
      // I6: a read sees every write that was acknowledged before it.
      return this.#attempt('get', async () => {
        const { documents } = await this.#collection.get({ ids: [latest.id] });
        if (documents[0] !== latest.document) throw new Error('an acknowledged record is missing');
      });
    });
  }

  /** Returns whether `request` succeeded, and counts its failure; never rejects. */
  async #attempt(operation: string, request: () => Promise<void>): Promise<boolean> {
    this.requests++;
    try {
      const timeout = setTimeout(RESPONSE_MS_MAX, 'timeout' as const, { ref: false });
      const response = await Promise.race([request(), timeout]);
      if (response === 'timeout') throw new Error(`no response within ${RESPONSE_MS_MAX / 1000} s`);
      return true;
    } catch (error) {
      // Requests aborted by Ctrl-C are no failures of the cluster.
      if (this.#run.signal.aborted) return false;
      if (this.failures.size < 5) this.failures.add(`${operation}: ${String(error)}`);
      if (++this.failed === FAILURES_MAX) this.#run.abort(new StartupError('Too many requests failed.'));
      return false;
    }
  }
}

/**
 * Sends one request per period without waiting for responses, because a client that waits would hide a pause.
 * Returns the longest time in ms without a successful response. `send` resolves to whether it succeeded.
 */
export async function sendSteadily(
  periodMs: number,
  signal: AbortSignal,
  send: (n: number) => Promise<boolean>,
): Promise<number> {
  let lastMs = performance.now();
  let longestMs = 0;
  const measure = (): void => {
    longestMs = Math.max(longestMs, performance.now() - lastMs);
    lastMs = performance.now();
  };
  // RESPONSE_MS_MAX bounds the number of requests in flight.
  const inFlight = new Set<Promise<void>>();
  let n = 0;
  try {
    for await (const _ of setInterval(periodMs, undefined, { signal })) {
      const sent = send(n++).then((succeeded) => {
        if (succeeded) measure();
        inFlight.delete(sent);
      });
      inFlight.add(sent);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  measure();
  await Promise.all(inFlight);
  return longestMs;
}

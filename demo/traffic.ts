// What the demo sends, through the official client, and the account of what came back.
import { ChromaClient, type Collection } from 'chromadb';
import { StartupError } from '../src/errors.ts';
import { systemClock as clock } from '../src/util/clock.ts';
import { embed } from './embedding.ts';
import type { StoredRecord } from './node-content.ts';
import { pulse } from './pulse.ts';

export interface TextRecord extends StoredRecord {
  readonly metadata: { readonly document_id: string; readonly path: string; readonly position: number };
}

export interface Hit {
  readonly path: string;
  readonly document: string;
  readonly distance: number;
}

/** One place every request is counted in, so that none can fail unseen. */
export class Tally {
  sent = 0;
  failed = 0;
  /** How often each reason was given; the first few reasons only. */
  readonly reasons = new Map<string, number>();
  readonly #signal: AbortSignal;
  readonly #giveUp: (reason: StartupError) => void;

  /** `signal` tells when requests are being cut off; `giveUp` is called when too many have failed to go on. */
  constructor(signal: AbortSignal, giveUp: (reason: StartupError) => void) {
    this.#signal = signal;
    this.#giveUp = giveUp;
  }

  /** The result of `request`, or undefined after counting the failure; never rejects. */
  async attempt<T>(what: string, request: () => Promise<T>): Promise<T | undefined> {
    this.sent++;
    try {
      return await answered(request());
    } catch (error) {
      // Requests cut off by Ctrl-C say nothing about the cluster.
      if (!this.#signal.aborted)
        this.#fail(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  #fail(reason: string): void {
    this.failed++;
    const seen = this.reasons.get(reason) ?? 0;
    if (seen > 0 || this.reasons.size < 5) this.reasons.set(reason, seen + 1);
    if (this.failed === FAILURES_MAX) {
      const reasons = [...this.reasons.keys()].join('; ');
      this.#giveUp(new StartupError(`Given up after ${FAILURES_MAX} failed requests: ${reasons}.`));
    }
  }
}

// By then the demo has failed beyond doubt, and each of the rest might take ANSWER_MS_MAX.
const FAILURES_MAX = 500;
// Half a minute: past the longest pause a failover is allowed, and as long as most clients would wait.
const ANSWER_MS_MAX = 30_000;
// These are the resolution of the pauses measured. Three servers that share two cores apply about 60 single writes a
// second; 20 leave them room for the indexing. Reads cost a tenth of that.
const WRITE_PULSE_MS = 50;
const READ_PULSE_MS = 25;
// More than any beat can leave unanswered before ANSWER_MS_MAX gives it up: ANSWER_MS_MAX / READ_PULSE_MS is 1,200.
const PULSES_IN_FLIGHT_MAX = 1500;

function connect(endpoint: string, signal: AbortSignal): ChromaClient {
  const { hostname, port } = new URL(endpoint);
  return new ChromaClient({
    host: hostname,
    port: Number(port || 80),
    // Said here, for the client would otherwise ask the server who it is.
    tenant: 'default_tenant',
    database: 'default_database',
    fetchOptions: { signal },
  });
}

function answered<T>(request: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ANSWER_MS_MAX, () =>
      reject(new Error(`no answer within ${ANSWER_MS_MAX / 1000} s`)),
    );
    request.then(resolve, reject).finally(cancel);
  });
}

/** Two collections of the cluster under test, and everything sent to them. */
export class Traffic {
  readonly tally: Tally;
  /** By collection name: every record whose write was acknowledged. */
  readonly acknowledged: ReadonlyMap<string, StoredRecord[]>;
  readonly #endpoint: string;
  readonly #texts: Collection;
  readonly #singles: Collection;
  readonly #acknowledgedTexts: TextRecord[] = [];
  readonly #acknowledgedSingles: StoredRecord[] = [];

  private constructor(endpoint: string, [texts, singles]: [Collection, Collection], tally: Tally) {
    this.#endpoint = endpoint;
    this.#texts = texts;
    this.#singles = singles;
    this.tally = tally;
    this.acknowledged = new Map<string, StoredRecord[]>([
      [texts.name, this.#acknowledgedTexts],
      [singles.name, this.#acknowledgedSingles],
    ]);
  }

  /** Creates the collections. Aborting `run` cuts off every request. */
  static async open(endpoint: string, run: AbortController): Promise<Traffic> {
    const client = connect(endpoint, run.signal);
    // l2: a server normalises what it stores for cosine, and then gives back other numbers than it was given.
    const configuration = { hnsw: { space: 'l2' as const } };
    const suffix = clock.now().toString(36);
    const create = (name: string): Promise<Collection> =>
      client.createCollection({ name: `${name}-${suffix}`, configuration, embeddingFunction: null });
    const tally = new Tally(run.signal, (reason) => run.abort(reason));
    const collections: [Collection, Collection] = [await create('demo-texts'), await create('demo-singles')];
    return new Traffic(endpoint, collections, tally);
  }

  /** Removes the collections, for a cluster that lives on; also after the run was aborted. */
  async remove(): Promise<void> {
    const client = connect(this.#endpoint, AbortSignal.timeout(ANSWER_MS_MAX));
    for (const name of this.acknowledged.keys()) await client.deleteCollection({ name });
  }

  async add(records: readonly TextRecord[]): Promise<void> {
    if (await this.#write(this.#texts, records)) this.#acknowledgedTexts.push(...records);
  }

  async #write(collection: Collection, records: readonly StoredRecord[]): Promise<boolean> {
    const done = await this.tally.attempt('add', async () => {
      await collection.add({
        ids: records.map(({ id }) => id),
        documents: records.map(({ document }) => document),
        metadatas: records.map(({ metadata }) => ({ ...metadata })),
        embeddings: records.map(({ embedding }) => [...embedding]),
      });
      return true;
    });
    return done === true;
  }

  /** The nearest chunks, nearest first; undefined when the request failed, which includes finding nothing. */
  search(embedding: readonly number[], count: number): Promise<Hit[] | undefined> {
    return this.tally.attempt('query', async () => {
      const found = await this.#texts.query({
        queryEmbeddings: [[...embedding]],
        nResults: count,
        include: ['documents', 'metadatas', 'distances'],
      });
      const rows = found.rows()[0] ?? [];
      if (rows.length === 0) throw new Error('no hit, though the collection holds acknowledged chunks');
      return rows.map(({ metadata, document, distance }) => {
        const path = metadata?.['path'];
        return {
          path: typeof path === 'string' ? path : '',
          document: document ?? '',
          distance: distance ?? Number.NaN,
        };
      });
    });
  }

  /** Writes one record every WRITE_PULSE_MS until `signal` aborts; the longest pause in ms. */
  writePulse(signal: AbortSignal): Promise<number> {
    return pulse({
      clock,
      periodMs: WRITE_PULSE_MS,
      inFlightMax: PULSES_IN_FLIGHT_MAX,
      signal,
      beat: async (n) => {
        const document = `Single write number ${n}`;
        const record = { id: `single-${n}`, document, metadata: { n }, embedding: embed(document) };
        const done = await this.#write(this.#singles, [record]);
        if (done) this.#acknowledgedSingles.push(record);
        return done;
      },
    });
  }

  /** Reads every READ_PULSE_MS, in turn by search and by id, until `signal` aborts; the longest pause in ms. */
  readPulse(signal: AbortSignal): Promise<number> {
    return pulse({
      clock,
      periodMs: READ_PULSE_MS,
      inFlightMax: PULSES_IN_FLIGHT_MAX,
      signal,
      beat: async (n) => {
        // By id the latest acknowledged record: what was acknowledged must be readable at once.
        const latest = this.#acknowledgedSingles.at(-1);
        if (n % 2 === 1 && latest) return this.#isReadable(latest);
        const texts = this.#acknowledgedTexts;
        const text = texts[(n * 7) % texts.length];
        return text !== undefined && (await this.search(text.embedding, 3)) !== undefined;
      },
    });
  }

  async #isReadable({ id, document }: StoredRecord): Promise<boolean> {
    const done = await this.tally.attempt('get', async () => {
      const found = await this.#singles.get({ ids: [id], include: ['documents'] });
      if (found.documents[0] !== document) throw new Error('an acknowledged record was not found by its id');
      return true;
    });
    return done === true;
  }
}

// What runs beside the load of a drill: reads of an old collection, small writes to another one, and looks at /status.

import type { Status } from '../../src/api/admin/status.ts';
import { fingerprint, outcomeOf, type SentRead, type SentWrite, type StatusSample } from './history.ts';
import { checkedRead, paced, type Response, send, shown } from './requests.ts';

export interface Target {
  readonly name: string;
  /** The collection's address: calls on its records go below it. */
  readonly url: string;
}

export const OLD_RECORDS = 1_000;
export const oldId = (n: number): string => `old-${n}`;
export const oldVector = (n: number): readonly number[] => [n, 1];

/** Chosen so that an idle cluster is far from busy with it on two processors. */
const READ_PERIOD_MS = 60;
const WRITE_PERIOD_MS = 250;
const STATUS_PERIOD_MS = 100;
/** Writes that wait for one outcome at a time; a stopped cluster must not collect them without bound. */
const WRITES_IN_FLIGHT_MAX = 200;

/** Reads that no cache of the gateway can answer: the ids and vectors asked for hardly ever repeat. */
export class Reader {
  readonly reads: SentRead[] = [];
  readonly #old: Target;
  readonly #random: () => number;

  constructor(old: Target, random: () => number) {
    this.#old = old;
    this.#random = random;
  }

  async run(stop: AbortSignal): Promise<void> {
    await Promise.all([
      paced(READ_PERIOD_MS, stop, () => this.#get()),
      paced(READ_PERIOD_MS, stop, () => this.#query()),
    ]);
  }

  async #get(): Promise<void> {
    const ids = [...new Set([0, 1, 2].map(() => oldId(Math.floor(this.#random() * OLD_RECORDS))))];
    const body = JSON.stringify({ ids, include: ['documents', 'embeddings'] });
    const response = await send('POST', `${this.#old.url}/get`, body);
    this.reads.push(checkedRead('get', response, (value) => sameIds((value as { ids?: unknown })?.ids, ids)));
  }

  async #query(): Promise<void> {
    const nearest = Math.floor(this.#random() * OLD_RECORDS);
    const [first = 0, second = 0] = oldVector(nearest);
    const vector = [first + this.#random() / 4, second];
    const body = JSON.stringify({ query_embeddings: [vector], n_results: 1, include: ['documents'] });
    const response = await send('POST', `${this.#old.url}/query`, body);
    this.reads.push(
      checkedRead(
        'query',
        response,
        (value) => (value as { ids?: string[][] })?.ids?.[0]?.[0] === oldId(nearest),
      ),
    );
  }
}

function sameIds(got: unknown, expected: readonly string[]): boolean {
  return (
    Array.isArray(got) &&
    got.length === expected.length &&
    expected.every((id) => (got as unknown[]).includes(id))
  );
}

export class Writer {
  readonly writes: SentWrite[] = [];
  readonly #other: Target;
  readonly #inFlight = new Set<Promise<unknown>>();
  #next = 0;

  constructor(other: Target) {
    this.#other = other;
  }

  /** Starts a write at each turn, whatever became of those before it; resolves when each has its outcome. */
  async run(stop: AbortSignal): Promise<void> {
    await paced(WRITE_PERIOD_MS, stop, async () => {
      if (this.#inFlight.size >= WRITES_IN_FLIGHT_MAX) return;
      const write = this.write();
      this.#inFlight.add(write);
      void write.then(() => this.#inFlight.delete(write));
    });
    await Promise.all(this.#inFlight);
  }

  /** One write; it stands in the history with all others. */
  async write(): Promise<SentWrite> {
    const id = `other-${this.#next++}`;
    const body = JSON.stringify({ ids: [id], embeddings: [[this.#next, 1]], documents: ['a small one'] });
    const response = await send('POST', `${this.#other.url}/add`, body);
    const write = sentWrite(this.#other.name, response, { operation: 'add', ids: [id], expected: 'applied' });
    this.writes.push(write);
    return write;
  }
}

export function sentWrite(
  collection: string,
  response: Response,
  { operation, ids, expected }: Pick<SentWrite, 'operation' | 'ids' | 'expected'>,
): SentWrite {
  return {
    collection,
    operation,
    ids: ids.map(fingerprint),
    expected,
    outcome: outcomeOf(response.status, response.text),
    response: shown(response),
    tookMs: response.tookMs,
  };
}

export class StatusWatch {
  readonly samples: StatusSample[] = [];
  readonly #status: () => Promise<Status>;
  readonly #pid: (node: string) => number | null;

  constructor(status: () => Promise<Status>, pid: (node: string) => number | null) {
    this.#status = status;
    this.#pid = pid;
  }

  async run(stop: AbortSignal): Promise<void> {
    await paced(STATUS_PERIOD_MS, stop, async () => {
      // A gateway that gives no status gives no reads either, and those are on record.
      const status = await this.#status().catch(() => null);
      if (!Array.isArray(status?.nodes)) return;
      this.samples.push({
        primary: status.nodes.find(({ role }) => role === 'primary')?.id ?? null,
        epoch: status.epoch,
        nodes: status.nodes.map(({ id, state, reason }) => ({
          node: id,
          state,
          reason,
          pid: this.#pid(id),
        })),
      });
    });
  }
}

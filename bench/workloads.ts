// The workloads of closed loops: so many clients, each asking again as soon as it is answered. What cannot be said
// with clients and bodies alone (lag, catch-up, failover, memory) has a file of its own.

import { Corpus } from './corpus.ts';
import type { Settings } from './settings.ts';
import {
  adds,
  fillBodies,
  filteredQueries,
  gets,
  Numbering,
  queries,
  RECORDS_PER_GET,
  repeatedQueries,
  RESULTS_PER_QUERY,
  type Supply,
} from './supply.ts';

/** One kind of call within a workload. */
export interface Part {
  readonly operation: 'query' | 'get' | 'add';
  /** Calls of this kind among ten. */
  readonly tenths: number;
  readonly supply: (batch: number) => Supply;
}

export interface Workload {
  readonly name: string;
  /** For the report. */
  readonly title: string;
  readonly clients: number;
  /** Records in one call of a client; the ceiling batches only calls of one. */
  readonly perCall: number;
  readonly collection: 'read' | 'wide' | 'written';
  /** Header lines, each ended by CRLF. */
  readonly headers?: string;
  readonly parts: readonly Part[];
}

const FILL_PER_CALL = 500;
const BULK = 1_000;
/** One call is always waiting while another is worked on; more add nothing, a bare server takes one at a time. */
const BULK_CLIENTS = 2;

/** Everything that is sent, made once and shared by all targets: the same bytes for each. */
export class Bodies {
  readonly narrow = new Corpus(128, 1);
  readonly wide = new Corpus(768, 2);
  readonly #settings: Settings;
  readonly #fills = new Map<string, Buffer[]>();
  readonly #supplies = new Map<string, Supply>();
  readonly numbering: Numbering;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.numbering = new Numbering(settings.records);
  }

  /** What fills a collection. */
  fill(collection: Workload['collection']): readonly Buffer[] {
    let bodies = this.#fills.get(collection);
    if (bodies === undefined) {
      const { records, wideRecords, writtenRecords } = this.#settings;
      const count = { read: records, wide: wideRecords, written: writtenRecords }[collection];
      const corpus = collection === 'wide' ? new Corpus(768, 4) : new Corpus(128, 3);
      bodies = fillBodies(corpus, count, FILL_PER_CALL);
      this.#fills.set(collection, bodies);
    }
    return bodies;
  }

  /** A supply made by `make` at the first call with this name. */
  supply(name: string, make: () => Supply): Supply {
    let supply = this.#supplies.get(name);
    if (supply === undefined) this.#supplies.set(name, (supply = make()));
    return supply;
  }

  /** Lets go of all supplies: they are large, and workloads follow one another. */
  forget(): void {
    this.#supplies.clear();
  }
}

/** A workload of single operations on the collection that is made anew for each round. */
function work(name: string, title: string, parts: readonly Part[], clients = 64): Workload {
  return { name, title, clients, perCall: 1, collection: 'written', parts };
}

/** All closed-loop workloads, in the order they run. */
export function closedWorkloads(bodies: Bodies): Workload[] {
  const { narrow, wide, numbering } = bodies;
  const part = (operation: Part['operation'], make: (batch: number) => Supply, name: string): Part => ({
    operation,
    tenths: 10,
    supply: (batch) => bodies.supply(`${name} ${batch}`, () => make(batch)),
  });
  const query = part('query', (batch) => queries(narrow, batch, numbering), 'query');
  const add = part('add', (batch) => adds(narrow, batch, numbering), 'add');
  const wideQuery = part('query', (batch) => queries(wide, batch, numbering), 'wide query');
  const zipfQuery = part('query', (batch) => repeatedQueries(narrow, batch), 'zipf');
  const filtered = part('query', (batch) => filteredQueries(narrow, batch, numbering), 'filtered');
  const get = part('get', (batch) => gets(batch, numbering), 'get');
  const bulk = part('add', () => adds(narrow, BULK, numbering), 'bulk');
  const reads = (name: string, title: string, only: Part, clients = 64): Workload => ({
    ...work(name, title, [only], clients),
    collection: only === wideQuery ? 'wide' : 'read',
  });
  return [
    reads('query_c1', 'one client, one query at a time', query, 1),
    reads('query_c64', '64 clients, no query asked twice', query),
    reads('query768_c64', '64 clients, 768 dimensions', wideQuery),
    reads('query_zipf_c64', '64 clients, 200 queries asked again and again (Zipf)', zipfQuery),
    reads('filtered_c64', '64 clients, four filters, one record in ten passes', filtered),
    reads('get_c64', `64 clients, ${RECORDS_PER_GET} records by id`, get),
    work('add_c1', 'one client adds one record at a time', [add], 1),
    work('add_c64', '64 clients add one record each', [add]),
    {
      ...work('add_log_c64', '64 clients, acknowledged when in the log', [add]),
      headers: 'x-polychrome-ack: log\r\n',
    },
    {
      ...work('bulk_add', `${BULK_CLIENTS} loaders, ${BULK} records a call`, [bulk], BULK_CLIENTS),
      perCall: BULK,
    },
    work('mixed_c64', '64 clients, nine queries to one add, one collection', [
      { ...query, tenths: 9 },
      { ...add, tenths: 1 },
    ]),
  ];
}

/** Why this answer is not the one asked for, or null. A benchmark of wrong answers measures nothing. */
export function wrongAnswer(operation: Part['operation'], batch: number, body: Buffer): string | null {
  const answer = JSON.parse(body.toString()) as { ids?: unknown[]; documents?: unknown[] };
  if (operation === 'add') return null;
  const { ids = [], documents = [] } = answer;
  if (operation === 'get') {
    const asked = RECORDS_PER_GET * batch;
    // The same id may be drawn twice; then it is answered once.
    const enough = ids.length > asked * 0.8 && ids.length <= asked && documents.length === ids.length;
    return enough ? null : `${ids.length} records and ${documents.length} documents for ${asked} ids`;
  }
  const lists = [...ids, ...documents] as unknown[][];
  const complete = lists.every((list) => list.length === RESULTS_PER_QUERY && !list.includes(null));
  if (ids.length === batch && documents.length === batch && complete) return null;
  return `${ids.length} lists for ${batch} queries, of ${lists.map((list) => list.length).join(', ')}`;
}

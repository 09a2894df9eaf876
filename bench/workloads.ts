// Closed-loop workloads: a fixed number of clients, each of which sends its next call once it has a response.

import type { Bodies, CollectionName } from './bodies.ts';
import type { Corpus } from './corpus.ts';
import {
  adds,
  filteredQueries,
  gets,
  type Numbering,
  queries,
  RECORDS_PER_GET,
  repeatedQueries,
  RESULTS_PER_QUERY,
  type Supply,
} from './supply.ts';

type Operation = 'query' | 'get' | 'add';

/** One kind of call within a workload. */
export interface Part {
  readonly operation: Operation;
  /** Share of the workload's calls, in tenths. */
  readonly tenths: number;
  readonly supply: (batch: number) => Supply;
}

export interface Workload {
  readonly name: string;
  /** One line for the report. */
  readonly title: string;
  readonly clients: number;
  /** Records per call. The ceiling batches only workloads with one. */
  readonly recordsPerCall: number;
  readonly collection: CollectionName;
  /** Additional header lines, each ended by CRLF. */
  readonly headers?: string;
  readonly parts: readonly Part[];
}

const CLIENTS = 64;
export const BULK_RECORDS = 1_000;
/** One call is queued while another runs. More add nothing: a bare server runs one write at a time. */
const BULK_LOADERS = 2;

/** Creates the parts of workloads on one collection. */
export class Parts {
  readonly #bodies: Bodies;
  readonly #collection: CollectionName;

  constructor(bodies: Bodies, collection: CollectionName) {
    this.#bodies = bodies;
    this.#collection = collection;
  }

  query(): Part {
    return this.#part('query', 'query', (batch) => queries(this.#corpus, batch, this.#numbering));
  }

  repeatedQuery(): Part {
    return this.#part('query', 'repeated query', (batch) => repeatedQueries(this.#corpus, batch));
  }

  filteredQuery(): Part {
    return this.#part('query', 'filtered query', (batch) =>
      filteredQueries(this.#corpus, batch, this.#numbering),
    );
  }

  get(): Part {
    return this.#part('get', 'get', (batch) => gets(batch, this.#numbering));
  }

  add(): Part {
    return this.#part('add', 'add', (batch) => adds(this.#corpus, batch, this.#numbering));
  }

  bulkAdd(records = BULK_RECORDS): Part {
    return this.#part('add', `add of ${records}`, () => adds(this.#corpus, records, this.#numbering));
  }

  get #corpus(): Corpus {
    return this.#bodies.corpus(this.#collection);
  }

  get #numbering(): Numbering {
    return this.#bodies.numbering(this.#collection);
  }

  #part(operation: Operation, name: string, make: (batch: number) => Supply): Part {
    return {
      operation,
      tenths: 10,
      supply: (batch) => this.#bodies.supply(`${this.#collection} ${name} ${batch}`, () => make(batch)),
    };
  }
}

/** All closed-loop workloads, in the order they run. */
export function closedWorkloads(bodies: Bodies): Workload[] {
  const read = new Parts(bodies, 'read');
  const wide = new Parts(bodies, 'wide');
  const written = new Parts(bodies, 'written');
  const single = { clients: CLIENTS, recordsPerCall: 1 };
  const reads = { ...single, collection: 'read' } as const;
  const writes = { ...single, collection: 'written' } as const;
  return [
    {
      ...reads,
      name: 'query_c1',
      title: 'one client, one query at a time',
      clients: 1,
      parts: [read.query()],
    },
    { ...reads, name: 'query_c64', title: '64 clients, all queries distinct', parts: [read.query()] },
    {
      ...single,
      name: 'query768_c64',
      title: '64 clients, 768 dimensions',
      collection: 'wide',
      parts: [wide.query()],
    },
    {
      ...reads,
      name: 'query_zipf_c64',
      title: '64 clients, 200 distinct queries with Zipf-distributed popularity',
      parts: [read.repeatedQuery()],
    },
    {
      ...reads,
      name: 'filtered_c64',
      title: '64 clients, four filters, each matching one record in ten',
      parts: [read.filteredQuery()],
    },
    { ...reads, name: 'get_c64', title: `64 clients, ${RECORDS_PER_GET} records by id`, parts: [read.get()] },
    {
      ...writes,
      name: 'add_c1',
      title: 'one client, one record per call',
      clients: 1,
      parts: [written.add()],
    },
    { ...writes, name: 'add_c64', title: '64 clients, one record per call', parts: [written.add()] },
    {
      ...writes,
      name: 'add_log_c64',
      title: '64 clients, one record per call, acknowledgement level `log`',
      headers: 'x-polychrome-ack: log\r\n',
      parts: [written.add()],
    },
    ...bulkWorkloads(bodies),
    {
      ...writes,
      name: 'mixed_c64',
      title: '64 clients, nine queries per add, one collection',
      parts: [
        { ...written.query(), tenths: 9 },
        { ...written.add(), tenths: 1 },
      ],
    },
  ];
}

function bulkWorkloads(bodies: Bodies): Workload[] {
  const bulk = (name: string, collection: CollectionName, records: string): Workload => ({
    name,
    title: `${BULK_LOADERS} loaders, ${BULK_RECORDS} records per call, ${records}`,
    clients: BULK_LOADERS,
    recordsPerCall: BULK_RECORDS,
    collection,
    parts: [new Parts(bodies, collection).bulkAdd()],
  });
  return [
    bulk('bulk_add', 'written', '128 dimensions'),
    bulk('bulk_docs', 'documents', '1 KB documents and 384 dimensions'),
    bulk('bulk_1536', 'embeddings', '1,536 dimensions'),
  ];
}

/** Why the response does not match the request, or null. */
export function responseError(operation: Operation, batch: number, body: Buffer): string | null {
  const response = JSON.parse(body.toString()) as { ids?: unknown[]; documents?: unknown[] };
  if (operation === 'add') return null;
  const { ids = [], documents = [] } = response;
  if (operation === 'get') {
    const requested = RECORDS_PER_GET * batch;
    // Ids are drawn with replacement, and a server returns a repeated id once.
    const isPlausible =
      ids.length > requested * 0.8 && ids.length <= requested && documents.length === ids.length;
    return isPlausible
      ? null
      : `${ids.length} records and ${documents.length} documents for ${requested} ids`;
  }
  const lists = [...ids, ...documents] as unknown[][];
  const isComplete = lists.every((list) => list.length === RESULTS_PER_QUERY && !list.includes(null));
  if (ids.length === batch && documents.length === batch && isComplete) return null;
  return `${ids.length} lists for ${batch} queries, of ${lists.map((list) => list.length).join(', ')}`;
}

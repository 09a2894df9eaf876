// Reads one copy of a shard on one node: its ids in the node's order, then its records by ids, in pages bounded by bytes.
//
// Every value stays the JSON text that the node returned (I11): a copy is made from these bytes, and a comparison
// (record-difference.ts) interprets them. Ids first, because offsets skip records when earlier ones are deleted (R22).

import { NodeError } from '../chroma/client/node-error.ts';
import {
  columnsOf,
  elementStart,
  stringAt,
  stringEnd,
  type ResponseColumn,
} from '../chroma/batch/response-slices.ts';
import { ARRAY_CLOSE, COMMA } from '../chroma/parse/json.ts';
import { getRecordsRequest, type NodeRead, type ShardLocation } from '../chroma/protocol/node-requests.ts';
import { nextTurn } from '../util/next-turn.ts';

/** Sends a read to a node. */
export type ReadCopy = (
  request: NodeRead & { readonly responseBytesMax: number },
) => Promise<{ readonly status: number; readonly body: Buffer }>;

/** A record as a node returned it. The columns are JSON texts, parts of the response's buffer; `null` for no value. */
export interface StoredRecord {
  readonly id: string;
  readonly embedding: Buffer;
  readonly document: Buffer;
  readonly uri: Buffer;
  readonly metadata: Buffer;
}

/** A node responded to a read of a copy with something other than its content. */
export class CopyUnreadable extends Error {
  override readonly name = 'CopyUnreadable';
  /** The HTTP status; 200 for a body of another form. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

// About 6 million ids of 36 characters; a stock server with 2 cores serves far smaller shards.
const ID_BYTES_MAX = 256 * 1024 * 1024;
// A server takes an offset only with a limit.
const REST_MAX = 1_000_000_000;
// Eight such reads at once take little memory, and most shards need no second read.
const SMALL_ID_BYTES_MAX = 16 * 1024 * 1024;
// So many ids are decoded in about a millisecond; then the event loop continues.
const IDS_PER_TURN = 4_096;
// A page is decoded in one turn of the event loop: about 5 ms for 1 MiB.
const PAGE_BYTES = 1024 * 1024;
// Larger pages are read again in two halves. More than one page of the size aimed at, since sizes vary.
const PAGE_BYTES_MAX = 16 * 1024 * 1024;
// One record: a document of the largest request (40 MiB) with its escapes, and metadata of several requests.
const RECORD_BYTES_MAX = 256 * 1024 * 1024;
// The server's response to that many average records stays below 1 MiB, and a page of unexpectedly large ones readable.
const PAGE_IDS_AT_FIRST = 32;
const PAGE_IDS_MAX = 1_024;
// Neighbours are of similar size, but a first page of tiny records proves little.
const GROWTH_MAX = 4;
const NULL = Buffer.from('null');
const IDS_PREFIX = Buffer.from('{"ids":[');

// Ends with the large read in progress: each may take ID_BYTES_MAX of this process's memory.
let largeRead: Promise<unknown> = Promise.resolve();

/**
 * The ids of a copy in the node's order, from an offset on, in one read; of large shards one at a time. Throws NodeError,
 * CopyUnreadable; isTooLarge() shows that the shard has too many.
 */
export async function readIds(read: ReadCopy, shard: ShardLocation, offset = 0): Promise<string[]> {
  const within = async (responseBytesMax: number): Promise<string[]> => {
    const selection = offset === 0 ? {} : { offset, limit: REST_MAX };
    const request = getRecordsRequest(shard, { include: [], ...selection });
    return idsIn(bodyOf(await read({ ...request, responseBytesMax })));
  };
  try {
    return await within(SMALL_ID_BYTES_MAX);
  } catch (error) {
    if (!isTooLarge(error)) throw error;
  }
  const ids = largeRead.then(() => within(ID_BYTES_MAX));
  largeRead = ids.catch(() => undefined);
  return ids;
}

/** Whether a read failed because the response is larger than may be held. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof NodeError && error.code === 'too_large';
}

/** The ids of a response to a get, decoded in turns of the event loop. Throws CopyUnreadable. */
export async function idsIn(body: Buffer): Promise<string[]> {
  if (!body.subarray(0, IDS_PREFIX.length).equals(IDS_PREFIX)) throw unexpectedForm();
  const ids: string[] = [];
  let pos = IDS_PREFIX.length;
  if (body[pos] === ARRAY_CLOSE) return ids;
  for (;;) {
    const end = stringEnd(body, pos);
    ids.push(stringAt(body, pos, end));
    if (body[end] === ARRAY_CLOSE) return ids;
    if (body[end] !== COMMA) throw unexpectedForm();
    pos = end + 1;
    if (ids.length % IDS_PER_TURN === 0) await nextTurn();
  }
}

/**
 * The records with these ids, in the node's order; missing ids are left out. Null when the response would be too large
 * for a page and fewer ids may be asked for. Throws NodeError, CopyUnreadable.
 */
export async function readPage(
  read: ReadCopy,
  shard: ShardLocation,
  ids: readonly string[],
): Promise<StoredRecord[] | null> {
  const include = ['embeddings', 'documents', 'metadatas', 'uris'] as const;
  const responseBytesMax = ids.length > 1 ? PAGE_BYTES_MAX : RECORD_BYTES_MAX;
  try {
    return recordsIn(bodyOf(await read({ ...getRecordsRequest(shard, { ids, include }), responseBytesMax })));
  } catch (error) {
    if (isTooLarge(error) && ids.length > 1) return null;
    throw error;
  }
}

/** Divides a list of ids into pages whose records take about as many bytes as a page should have. */
export class PageSizes {
  readonly #bytes: number;
  #size = PAGE_IDS_AT_FIRST;

  /** `bytes`: how many a page should have. */
  constructor(bytes = PAGE_BYTES) {
    this.#bytes = bytes;
  }

  /** The ids of the page that begins at index `from`. */
  page(ids: readonly string[], from: number): string[] {
    return ids.slice(from, from + this.#size);
  }

  /** Called with the records of a page, from one node; adapts the next page. Returns the bytes of the page. */
  observe(records: readonly StoredRecord[]): number {
    const bytes = records.reduce((sum, record) => sum + bytesOf(record), 0);
    if (records.length === 0) return 0;
    const fitting = Math.floor((this.#bytes * records.length) / bytes);
    this.#size = Math.max(1, Math.min(fitting, GROWTH_MAX * this.#size, PAGE_IDS_MAX));
    return bytes;
  }

  /** Called when a page of so many ids was too large. */
  tooLarge(count: number): void {
    this.#size = Math.max(1, Math.ceil(count / 2));
  }
}

/** A page of a copy: the ids asked for and the records found. */
export interface ContentPage {
  readonly ids: readonly string[];
  readonly records: readonly StoredRecord[];
}

/** Reads the records with these ids page by page, one page in memory at a time. Throws NodeError, CopyUnreadable. */
export async function* readPages(
  read: ReadCopy,
  shard: ShardLocation,
  ids: readonly string[],
  sizes = new PageSizes(),
): AsyncGenerator<ContentPage> {
  for (let from = 0; from < ids.length;) {
    const page = sizes.page(ids, from);
    const records = await readPage(read, shard, page);
    if (records === null) {
      sizes.tooLarge(page.length);
      continue;
    }
    sizes.observe(records);
    from += page.length;
    yield { ids: page, records };
  }
}

/** Throws CopyUnreadable for any status but 200. */
export function bodyOf({ status, body }: { readonly status: number; readonly body: Buffer }): Buffer {
  if (status === 200) return body;
  throw new CopyUnreadable(status, `HTTP ${status}: ${body.toString('utf8', 0, 200)}`);
}

/** The records of a response to a get; columns that it does not include are `null`. Throws CopyUnreadable. */
export function recordsIn(body: Buffer): StoredRecord[] {
  const columns = new Map(columnsOf(body)?.map((column) => [column.name, column]));
  const ids = columns.get('ids')?.ends ?? null;
  if (ids === null) throw unexpectedForm();
  const texts = (name: string): ((index: number) => Buffer) => {
    const column = columns.get(name);
    if (column !== undefined && column.ends === null) return () => NULL;
    if (column?.ends?.length !== ids.length) throw unexpectedForm();
    return (index) => textOf(body, column, index);
  };
  const [id, embedding, document, uri, metadata] = [
    texts('ids'),
    texts('embeddings'),
    texts('documents'),
    texts('uris'),
    texts('metadatas'),
  ] as const;
  return ids.map((_end, index) => {
    const quoted = id(index);
    return {
      id: stringAt(quoted, 0, quoted.length),
      embedding: embedding(index),
      document: document(index),
      uri: uri(index),
      metadata: metadata(index),
    };
  });
}

function textOf(body: Buffer, { start, ends }: ResponseColumn, index: number): Buffer {
  const all = ends as readonly number[];
  return body.subarray(elementStart(start, all, index), all[index]);
}

function bytesOf({ id, embedding, document, uri, metadata }: StoredRecord): number {
  return id.length + embedding.length + document.length + uri.length + metadata.length;
}

function unexpectedForm(): CopyUnreadable {
  return new CopyUnreadable(200, 'the response to a get does not have the form of one');
}

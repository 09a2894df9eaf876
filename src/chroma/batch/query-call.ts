// Finds the vectors in the body of a query, and merges queries that differ only in their vectors.

import { readEmbeddings } from '../parse/embedding-column.ts';
import { Faults } from '../parse/faults.ts';
import { JsonCursor, JsonSyntaxError, OBJECT_OPEN, type Slice } from '../parse/json.ts';
import { RefusedBody } from '../parse/refusal.ts';
import { mapKey } from '../../util/map-key.ts';

export interface QueryCall {
  readonly body: Buffer;
  /** The text between the brackets of `query_embeddings`. */
  readonly vectors: Slice;
  readonly count: number;
  readonly dimension: number;
  /** Rows requested for each vector; Chroma's default is 10. */
  readonly rowsPerVector: number;
  readonly withEmbeddings: boolean;
  /** The value of `include`; null when it is absent. */
  readonly include: Slice | null;
  /** The body without its vectors; queries with equal keys and dimensions can be merged. */
  readonly key: string;
}

const DEFAULT_ROWS = 10;
// No release accepts base64 in a query.
const PLAIN = { base64Embeddings: false, metadataArrays: false };

/** The query in `body`; null unless it is a plain one, because others are not merged. */
export function scanQueryCall(body: Buffer): QueryCall | null {
  try {
    return scan(new JsonCursor(body));
  } catch (error) {
    if (error instanceof RefusedBody || error instanceof JsonSyntaxError) return null;
    throw error;
  }
}

function scan(cursor: JsonCursor): QueryCall | null {
  const body = cursor.bytes;
  const seen = new Set<string>();
  let column: ReturnType<typeof readEmbeddings> | null = null;
  const faults = new Faults();
  let rowsPerVector = DEFAULT_ROWS;
  let withEmbeddings = false;
  let include: Slice | null = null;
  if (cursor.peek() !== OBJECT_OPEN) return null;
  cursor.pos++;
  do {
    const name = cursor.name(true);
    const key = cursor.decoded(name);
    if (seen.has(mapKey(key))) return null;
    seen.add(mapKey(key));
    cursor.colon();
    cursor.peek();
    const start = cursor.pos;
    if (key === 'query_embeddings') {
      column = readEmbeddings(cursor, { kind: 'add', capabilities: PLAIN, faults });
      continue;
    }
    cursor.value(true, 1);
    if (key === 'include') {
      include = { start, end: cursor.pos };
      withEmbeddings = body.toString('latin1', start, cursor.pos).includes('"embeddings"');
    }
    if (key === 'n_results') {
      const text = body.toString('latin1', start, cursor.pos);
      if (!/^[1-9]\d{0,4}$/.test(text)) return null;
      rowsPerVector = Number(text);
    }
  } while (cursor.nextMember());
  cursor.end();
  if (
    column === null ||
    faults.refusal(null) !== null ||
    column.dimension === null ||
    column.encoding !== 'floats'
  ) {
    return null;
  }
  const { slice, count, dimension } = column;
  const key = `${body.toString('latin1', 0, slice.start)}\u0000${body.toString('latin1', slice.end)}`;
  return { body, vectors: slice, count, dimension, rowsPerVector, withEmbeddings, include, key };
}

const COMMA_BYTES = Buffer.from(',');

/** A body without its vectors. */
interface Frame {
  readonly before: Buffer;
  readonly after: Buffer;
}

/** The body of one query for the vectors of all `calls`, which have equal keys; `frame` replaces the rest of the body. */
export function mergeQueryCalls(calls: readonly QueryCall[], frame?: Frame): Buffer[] {
  const { body: text, vectors: own } = calls[0] as QueryCall;
  const { before, after } = frame ?? { before: text.subarray(0, own.start), after: text.subarray(own.end) };
  const chunks = [before];
  for (const { body, vectors } of calls) {
    if (chunks.length > 1) chunks.push(COMMA_BYTES);
    chunks.push(body.subarray(vectors.start, vectors.end));
  }
  chunks.push(after);
  return chunks;
}

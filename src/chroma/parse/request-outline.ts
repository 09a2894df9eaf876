// Reads what the gateway needs from the body of a get, query or delete: size of filters, paging, number of results.

import type { FilterSize } from './filter-limits.ts';
import { measureFilter } from './filter-limits.ts';
import { ARRAY_OPEN, JsonCursor, JsonSyntaxError, LETTER_N, OBJECT_OPEN, ZERO, type Slice } from './json.ts';

export interface RequestOutline {
  readonly filter: FilterSize;
  /** Whether `limit` or `offset` is given. */
  readonly isPaged: boolean;
  /** The value of `n_results` when it is 0; null otherwise. */
  readonly zeroResults: Slice | null;
  /** Number of elements of `query_embeddings`. */
  readonly vectors: number;
  /** JSON text of `include`; null when it is absent. */
  readonly include: string | null;
  /**
   * Whether it has only members that every server can read, and no condition. Does not consider the elements of `ids` of
   * a get and of `query_embeddings`, and the value of `n_results`.
   */
  readonly isPlain: boolean;
}

export type OutlinedAction = 'get' | 'query' | 'delete';

/** `body` with the value in `zero` replaced by 1. */
export function withOneResult(body: Buffer, zero: Slice): Buffer {
  return Buffer.concat([body.subarray(0, zero.start), Buffer.from('1'), body.subarray(zero.end)]);
}

/** The outline of `body`, up to its first syntax error, where servers stop reading too. */
export function outlineOf(action: OutlinedAction, body: Buffer): RequestOutline {
  const outline = new Outline(action, body);
  try {
    outline.read();
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
  }
  const { filter, ids, isPaged, zeroResults, vectors, include, isPlain } = outline;
  // Without a filter, a query finds any number of ids in memory (observed: 70,000).
  if (action !== 'query' || filter.conditions > 0) filter.operands += ids;
  return { filter, isPaged, zeroResults, vectors, include, isPlain };
}

class Outline {
  readonly #action: OutlinedAction;
  readonly #cursor: JsonCursor;
  readonly filter: FilterSize = { conditions: 0, operands: 0, depth: 0, patternBytes: 0 };
  ids = 0;
  isPaged = false;
  zeroResults: Slice | null = null;
  vectors = 0;
  include: string | null = null;
  isPlain = true;

  constructor(action: OutlinedAction, body: Buffer) {
    this.#action = action;
    this.#cursor = new JsonCursor(body);
  }

  read(): void {
    const cursor = this.#cursor;
    if (cursor.peek() !== OBJECT_OPEN || !cursor.openObject()) return;
    do {
      const name = cursor.decoded(cursor.name(true));
      cursor.colon();
      this.#member(name);
    } while (cursor.nextMember());
  }

  #member(name: string): void {
    const cursor = this.#cursor;
    const first = cursor.peek();
    if (name === 'ids' && first === ARRAY_OPEN) {
      this.ids += this.#elements();
      if (this.#action !== 'get' && this.ids > 0) this.isPlain = false;
    } else if (name === 'query_embeddings' && first === ARRAY_OPEN) this.vectors = this.#elements();
    else this.#value(name, first);
  }

  #value(name: string, first: number): void {
    const cursor = this.#cursor;
    const start = cursor.pos;
    const isDocument = name === 'where_document';
    const isFilter = isDocument || name === 'where';
    // A filter that is nested deeper than servers parse is measured too.
    cursor.value(!isFilter, 1);
    const slice = { start, end: cursor.pos };
    const isNull = first === LETTER_N;
    if (isFilter) {
      if (first === OBJECT_OPEN) measureFilter(cursor.bytes, slice, { isDocument, size: this.filter });
      this.isPlain &&= isNull;
    } else if (name === 'limit' || name === 'offset') {
      this.isPaged ||= !isNull;
      this.isPlain &&= isNull;
    } else if (name === 'include') {
      this.include = cursor.bytes.toString('utf8', start, cursor.pos);
      this.isPlain &&= isPlainInclude(this.include);
    } else if (name === 'n_results') {
      if (first === ZERO && cursor.pos === start + 1) this.zeroResults = slice;
      this.isPlain &&= this.#action === 'query' && !isNull;
    } else this.isPlain = false;
  }

  /** The number of elements of the array at the cursor, which is consumed. */
  #elements(): number {
    const cursor = this.#cursor;
    if (!cursor.openArray()) return 0;
    let count = 0;
    do {
      cursor.value(true, 2);
      count += 1;
    } while (cursor.nextElement());
    return count;
  }
}

const CONTENTS = new Set(['documents', 'embeddings', 'metadatas', 'uris', 'distances']);
// More than every content once, with much white space.
const PLAIN_INCLUDE_MAX = 1_000;

function isPlainInclude(text: string): boolean {
  if (text.length > PLAIN_INCLUDE_MAX) return false;
  const value: unknown = JSON.parse(text);
  return Array.isArray(value) && value.every((item) => CONTENTS.has(item as string));
}

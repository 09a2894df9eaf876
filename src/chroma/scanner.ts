// Takes a write of records apart in one pass over its bytes, and refuses what Chroma refuses and what Chroma
// answers badly: a refused first write would fix the collection's dimension, some bodies wedge a collection, one
// kills the node. Every rule was tried on a 1.0.5 server; what only later ones do was tried on a 1.3.4 server and is
// marked NEW. No number is built to be passed on (I11).

import { isUtf8 } from 'node:buffer';
import { readEmbeddings, type EmbeddingColumn } from './embedding-column.ts';
import {
  ARRAY_CLOSE,
  ARRAY_OPEN,
  isDigit,
  JsonCursor,
  JsonSyntaxError,
  LETTER_N,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
} from './json.ts';
import { readMetadata } from './metadata-column.ts';
import type { Capabilities, Column, RecordCall, RecordKind, Refusal, Slice } from './record-call.ts';
import { invalid, isRefusal, malformed, misshapen, RefusedBody, refuseType } from './refusal.ts';

export { isRefusal };

/** The call in `body` taken apart, or what Chroma answers to it; never throws. Keeps `body`, which must not change. */
export function scanRecordCall(
  kind: RecordKind,
  body: Buffer,
  capabilities: Capabilities,
): RecordCall | Refusal {
  try {
    return new RecordScanner(kind, body, capabilities).scan();
  } catch (error) {
    if (error instanceof RefusedBody) return error.refusal;
    if (error instanceof JsonSyntaxError) {
      return malformed(body, Math.min(error.offset + 1, body.length), error.message);
    }
    throw error;
  }
}

// The fields each operation knows; a known one given twice is refused, an unknown one ignored (observed).
const RECORD_FIELDS = ['ids', 'embeddings', 'documents', 'metadatas', 'uris'];
const DELETE_FIELDS = ['ids', 'where', 'where_document', 'limit'];
const FIELDS: Readonly<Record<RecordKind, ReadonlySet<string>>> = {
  add: new Set(RECORD_FIELDS),
  upsert: new Set(RECORD_FIELDS),
  update: new Set(RECORD_FIELDS),
  delete: new Set(DELETE_FIELDS),
};

const PAYLOAD_TYPES: Readonly<Record<RecordKind, string>> = {
  add: 'AddCollectionRecordsPayload',
  upsert: 'UpsertCollectionRecordsPayload',
  update: 'UpdateCollectionRecordsPayload',
  delete: 'DeleteCollectionRecordsPayload',
};

const U32_MAX = 0xffff_ffff;

class RecordScanner {
  readonly #kind: RecordKind;
  readonly #body: Buffer;
  readonly #capabilities: Capabilities;
  readonly #cursor: JsonCursor;
  readonly #seen = new Set<string>();
  readonly #columns: Partial<Record<Column, Slice>> = {};
  #ids: string[] | null = null;
  #idSlice: Slice = { start: 0, end: 0 };
  #embeddings: EmbeddingColumn | null = null;
  #filtered = false;
  #limited = false;
  /** A column whose length differs from another's, seen once all are read. */
  readonly #lengths: number[] = [];
  /** The first fault of meaning in a body whose shape is right. */
  #problem: Refusal | null = null;

  constructor(kind: RecordKind, body: Buffer, capabilities: Capabilities) {
    this.#kind = kind;
    this.#body = body;
    this.#capabilities = capabilities;
    this.#cursor = new JsonCursor(body);
  }

  scan(): RecordCall | Refusal {
    this.#object();
    if (!isUtf8(this.#body)) return malformed(this.#body, this.#body.length, 'invalid unicode code point');
    const ids = this.#ids ?? [];
    const refusal = this.#embeddings?.problem ?? this.#problem ?? this.#judge(ids);
    if (refusal !== null) return refusal;
    return {
      kind: this.#kind,
      body: this.#body,
      ids,
      idSlice: this.#idSlice,
      columns: this.#columns,
      dimension: this.#embeddings?.dimension ?? null,
      encoding: this.#embeddings?.encoding ?? null,
      conditional: this.#filtered || this.#limited,
    };
  }

  #object(): void {
    const cursor = this.#cursor;
    if (cursor.peek() !== OBJECT_OPEN) refuseType(cursor, '', `struct ${PAYLOAD_TYPES[this.#kind]}`);
    cursor.pos++;
    if (cursor.peek() === OBJECT_CLOSE) cursor.pos++;
    else {
      do this.#member();
      while (cursor.nextMember());
    }
    this.#requireFields();
    cursor.end();
  }

  #member(): void {
    const cursor = this.#cursor;
    const field = cursor.decoded(cursor.name(true));
    const known = FIELDS[this.#kind].has(field);
    if (known) {
      if (this.#seen.has(field)) this.#misshapen(`duplicate field \`${field}\``);
      this.#seen.add(field);
    }
    cursor.colon();
    cursor.peek();
    // A delete is deserialized through a buffer of all fields (serde flatten): unknown ones are read strictly there.
    if (!known) cursor.value(this.#kind === 'delete', 1);
    else if (this.#kind === 'delete') this.#deleteField(field);
    else this.#recordField(field);
  }

  #recordField(field: string): void {
    if (field === 'ids') this.#readIds();
    else if (field === 'embeddings') {
      if (this.#kind === 'update' && this.#skipNull()) return;
      this.#embeddings = readEmbeddings(this.#cursor, this.#kind, this.#capabilities.base64Embeddings);
      this.#columns.embeddings = this.#embeddings.slice;
      this.#lengths.push(this.#embeddings.count);
    } else if (field === 'metadatas') {
      this.#readColumn(field, (index) => {
        const problem = readMetadata(this.#cursor, index, this.#kind, this.#capabilities.metadataArrays);
        this.#problem ??= problem;
      });
    } else if (field === 'documents' || field === 'uris') {
      this.#readColumn(field, (index) => {
        if (this.#cursor.peek() !== QUOTE) refuseType(this.#cursor, `${field}[${index}]: `, 'a string');
        this.#cursor.string(true);
      });
    }
  }

  #deleteField(field: string): void {
    if (this.#skipNull()) return;
    if (field === 'ids') this.#readIds();
    else if (field === 'limit') this.#readLimit();
    else this.#readFilter(field === 'where' ? 'where' : 'where document');
  }

  // Whether the conditions make sense only the primary can say; that they are an object, and not an empty one, is plain.
  #readFilter(name: string): void {
    const cursor = this.#cursor;
    const start = cursor.pos;
    cursor.value(true, 1);
    const inner = new JsonCursor(this.#body);
    inner.pos = start + 1;
    if (this.#body[start] !== OBJECT_OPEN || inner.peek() === OBJECT_CLOSE) {
      this.#problem ??= invalid(`Invalid ${name} clause`);
    }
    this.#filtered = true;
  }

  #readIds(): void {
    const cursor = this.#cursor;
    const ids: string[] = [];
    this.#idSlice = this.#readArray('ids', () => {
      const start = cursor.pos;
      if (cursor.peek() !== QUOTE) refuseType(cursor, `ids[${ids.length}]: `, 'a string');
      cursor.string(true);
      ids.push(cursor.decoded(start));
    });
    this.#ids = ids;
  }

  #readColumn(column: Column, item: (index: number) => void): void {
    if (this.#skipNull()) return;
    let count = 0;
    this.#columns[column] = this.#readArray(column, () => {
      if (!this.#skipNull()) item(count);
      count++;
    });
    this.#lengths.push(count);
  }

  #readArray(field: string, item: () => void): Slice {
    const cursor = this.#cursor;
    if (cursor.peek() !== ARRAY_OPEN) refuseType(cursor, `${field}: `, 'a sequence');
    const start = ++cursor.pos;
    if (cursor.peek() === ARRAY_CLOSE) cursor.pos++;
    else {
      do {
        cursor.peek();
        item();
      } while (cursor.nextElement());
    }
    return { start, end: cursor.pos - 1 };
  }

  // NEW: a u32 that needs a filter. Servers that do not know `limit` ignore it and delete everything that matches.
  #readLimit(): void {
    const cursor = this.#cursor;
    const start = cursor.pos;
    const byte = cursor.peek();
    cursor.value(true, 1);
    this.#limited = true;
    if (!this.#capabilities.deleteLimit) {
      this.#problem ??= invalid('limit is not supported: a server of this cluster would ignore it');
      return;
    }
    const limit = isDigit(byte) && cursor.numberIsInteger ? cursor.numberSince(start) : -1;
    if (limit >= 0 && limit <= U32_MAX) return;
    cursor.pos = start;
    refuseType(cursor, '', 'u32');
  }

  #skipNull(): boolean {
    if (this.#cursor.peek() !== LETTER_N) return false;
    this.#cursor.literal('null');
    return true;
  }

  #requireFields(): void {
    if (this.#kind === 'delete') return;
    if (!this.#seen.has('ids')) this.#misshapen('missing field `ids`');
    if (this.#kind !== 'update' && !this.#seen.has('embeddings'))
      this.#misshapen('missing field `embeddings`');
  }

  // What only the whole body can tell. The server would fix the dimension before it finds these faults.
  #judge(ids: readonly string[]): Refusal | null {
    const { maxBatchSize } = this.#capabilities;
    if (ids.length > maxBatchSize) {
      return invalid(`Batch size of ${ids.length} is greater than max batch size of ${maxBatchSize}`);
    }
    if (this.#kind === 'delete') return this.#judgeDelete(ids);
    if (this.#lengths.some((length) => length !== ids.length)) {
      return invalid('Inconsistent number of IDs, embeddings, documents, URIs and metadatas');
    }
    if (ids.includes('')) return invalid('Empty ID, ID must have at least one character');
    return null;
  }

  #judgeDelete(ids: readonly string[]): Refusal | null {
    if (this.#limited && !this.#filtered) {
      return invalid(
        'Validation error: limit, where: limit can only be specified when a where clause is provided',
      );
    }
    if (this.#ids !== null && ids.length === 0 && !this.#filtered) {
      return invalid('Validation error: ids, where: Either ids or where must be specified');
    }
    return null;
  }

  #misshapen(reason: string): never {
    throw new RefusedBody(misshapen(this.#body, this.#cursor.pos, reason));
  }
}

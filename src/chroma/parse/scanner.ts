// Takes a write of records apart in one pass over its bytes, and refuses what Chroma refuses and what Chroma
// answers badly: a refused first write would fix the collection's dimension, some bodies wedge a collection, one
// kills the node. Every rule was tried on a 1.0.5 server; what only later ones do was tried on a 1.3.4 server and is
// marked NEW. No number is built to be passed on (I11).

import { readEmbeddings, type EmbeddingColumn } from './embedding-column.ts';
import { Faults } from './faults.ts';
import {
  ARRAY_OPEN,
  isDigit,
  JsonCursor,
  JsonSyntaxError,
  LETTER_N,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
  type Slice,
} from './json.ts';
import { readMetadata } from './metadata-column.ts';
import type { BodyCapabilities, Column, RecordCall, RecordKind } from './record-call.ts';
import { misshapen, RefusedBody, refuseType, unreadable, type Refusal } from './refusal.ts';

/** The call in `body` taken apart, or what Chroma answers to it; never throws. Keeps `body`, which must not change. */
export function scanRecordCall(
  kind: RecordKind,
  body: Buffer,
  capabilities: BodyCapabilities,
): RecordCall | Refusal {
  try {
    return new RecordScanner(kind, body, capabilities).scan();
  } catch (error) {
    if (error instanceof RefusedBody) return error.refusal;
    if (!(error instanceof JsonSyntaxError)) throw error;
    return unreadable(body, error, (member) => kind === 'delete' || FIELDS[kind].has(member));
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

const FILTERS = ['where', 'where_document'] as const;
type Filter = (typeof FILTERS)[number];

function isFilter(field: string): field is Filter {
  return FILTERS.some((filter) => filter === field);
}

class RecordScanner {
  readonly #kind: RecordKind;
  #body: Buffer;
  readonly #capabilities: BodyCapabilities;
  readonly #cursor: JsonCursor;
  readonly #seen = new Set<string>();
  readonly #columns: Partial<Record<Column, Slice>> = {};
  #ids: string[] | null = null;
  #idSlice: Slice = { start: 0, end: 0 };
  #embeddings: EmbeddingColumn | null = null;
  readonly #filters: Partial<Record<Filter, 'object' | 'refused'>> = {};
  #limited = false;
  /** A column whose length differs from another's, seen once all are read. */
  readonly #lengths: number[] = [];
  readonly #faults = new Faults();
  /** A filter given twice, which a delete notices only when it has read all. */
  #doubled: Filter | null = null;

  constructor(kind: RecordKind, body: Buffer, capabilities: BodyCapabilities) {
    this.#kind = kind;
    this.#body = body;
    this.#capabilities = capabilities;
    this.#cursor = new JsonCursor(body, true);
  }

  scan(): RecordCall | Refusal {
    this.#object();
    const ids = this.#ids ?? [];
    this.#judge(ids);
    const refusal = this.#faults.refusal(this.#embeddings?.dimension ?? null);
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
    if (cursor.openObject()) {
      do this.#member();
      while (cursor.nextMember());
    }
    if (this.#doubled !== null) this.#misshapen(`duplicate field \`${this.#doubled}\``);
    this.#requireFields();
    // A 1.0.5 server stops reading here and ignores what follows.
    if (this.#capabilities.deleteLimit) cursor.end();
    else this.#body = this.#body.subarray(0, cursor.pos);
  }

  #member(): void {
    const cursor = this.#cursor;
    const field = cursor.decoded(cursor.name(true));
    const known = FIELDS[this.#kind].has(field) && (field !== 'limit' || this.#capabilities.deleteLimit);
    if (known) this.#noteField(field);
    cursor.colon();
    cursor.peek();
    // A delete is deserialized through a buffer of all fields (serde flatten): unknown ones are read strictly there.
    if (this.#kind === 'delete') this.#deleteField(field);
    else if (known) this.#recordField(field);
    else cursor.value(false, 1);
  }

  #noteField(field: string): void {
    if (this.#seen.has(field)) {
      if (!isFilter(field)) this.#misshapen(`duplicate field \`${field}\``);
      this.#doubled ??= field;
    }
    this.#seen.add(field);
  }

  #recordField(field: string): void {
    if (field === 'ids') this.#readIds();
    else if (field === 'embeddings') {
      if (this.#kind === 'update' && this.#skipNull()) return;
      const options = { kind: this.#kind, capabilities: this.#capabilities, faults: this.#faults };
      this.#embeddings = readEmbeddings(this.#cursor, options);
      this.#columns.embeddings = this.#embeddings.slice;
      this.#lengths.push(this.#embeddings.count);
    } else if (field === 'metadatas') {
      const options = { kind: this.#kind, arrays: this.#capabilities.metadataArrays, faults: this.#faults };
      this.#readColumn(field, (index) => readMetadata(this.#cursor, index, options));
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
    else if (isFilter(field)) this.#readFilter(field);
    else this.#cursor.value(true, 1);
  }

  // Whether the conditions make sense only the primary can say; that they are an object, and not an empty one, is plain.
  #readFilter(name: Filter): void {
    const cursor = this.#cursor;
    const start = cursor.pos;
    cursor.value(true, 1);
    const inner = new JsonCursor(this.#body);
    inner.pos = start + 1;
    const isObject = this.#body[start] === OBJECT_OPEN && inner.peek() !== OBJECT_CLOSE;
    this.#filters[name] = isObject ? 'object' : 'refused';
  }

  get #filtered(): boolean {
    return this.#filters.where !== undefined || this.#filters.where_document !== undefined;
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
    const start = cursor.pos + 1;
    if (cursor.openArray()) {
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
    if (!this.#capabilities.deleteLimit) {
      this.#faults.add('ours', 'limit is not supported: a server of this cluster would ignore it');
      return;
    }
    this.#limited = true;
    const limit = isDigit(byte) && cursor.numberIsInteger ? cursor.numberSince(start) : -1;
    if (limit >= 0 && limit <= U32_MAX) return;
    cursor.pos = start;
    refuseType(cursor, 'limit: ', 'u32');
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
  #judge(ids: readonly string[]): void {
    const { maxBatchSize, base64Embeddings } = this.#capabilities;
    // Releases that take base64 split what exceeds the size they name (observed: adds of 40,000 records, deletes of
    // 80,000 ids). Older ones answer 500 and fix the dimension.
    if (ids.length > maxBatchSize && !base64Embeddings) {
      this.#faults.add(
        'ours',
        `Batch size of ${ids.length} is greater than max batch size of ${maxBatchSize}`,
      );
    }
    if (this.#kind === 'delete') return this.#judgeDelete(ids);
    if (this.#lengths.some((length) => length !== ids.length)) {
      this.#faults.add('lengths', 'Inconsistent number of IDs, embeddings, documents, URIs and metadatas');
    }
    if (ids.includes('')) this.#faults.add('ids', 'Empty ID, ID must have at least one character');
  }

  #judgeDelete(ids: readonly string[]): void {
    const { where, where_document: document } = this.#filters;
    if (where === 'refused') this.#faults.add('decoding', 'Invalid where clause');
    // Where there are conditions as well, which of the two is told only the primary can say.
    if (where === undefined && document === 'refused') {
      this.#faults.add('decoding', 'Invalid where document clause');
    }
    if (this.#ids !== null && ids.length === 0 && !this.#filtered) {
      this.#faults.add('lengths', 'Validation error: ids, where: Either ids or where must be specified');
    }
    if (this.#limited && !this.#filtered) {
      const message = 'limit can only be specified when a where clause is provided';
      this.#faults.add('lengths', `Validation error: limit, where: ${message}`);
    }
  }

  #misshapen(reason: string): never {
    throw new RefusedBody(misshapen(this.#body, this.#cursor.pos, reason));
  }
}

// Scans and validates a write of records in one pass over its bytes, without building numbers (I11).
//
// It rejects what Chroma rejects, because a rejected first write would fix the collection's dimension, and what Chroma
// accepts with harmful effect: some bodies make a collection unusable, one ends the server. Every rule was tried on a
// 1.0.5 server. Rules marked NEW hold only for later releases and were tried on a 1.3.4 server.

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
import { EncodedIds, LISTED_IDS_MAX, type RecordIds } from './record-ids.ts';
import { readMetadata } from './metadata-column.ts';
import type { Column, RecordCall, RecordKind, ScanLimits } from './record-call.ts';
import {
  invalidArgument,
  isRefusal,
  shapeRefusal,
  RefusedBody,
  refuseType,
  syntaxRefusal,
  type Refusal,
} from './refusal.ts';

/** The call in `body`, or Chroma's refusal; never throws. The result keeps `body`, which must not change. */
export function scanRecordCall(
  kind: RecordKind,
  body: Buffer,
  capabilities: ScanLimits,
): RecordCall | Refusal {
  try {
    return new RecordScanner(kind, body, capabilities).scan();
  } catch (error) {
    if (error instanceof RefusedBody) return error.refusal;
    if (!(error instanceof JsonSyntaxError)) throw error;
    return syntaxRefusal(body, error, (member) => kind === 'delete' || FIELDS[kind].has(member));
  }
}

/** The call by the first of these levels (at least one) that accepts it, or the refusal of the last. */
export function scanFirstAccepted(
  kind: RecordKind,
  body: Buffer,
  levels: readonly ScanLimits[],
): RecordCall | Refusal {
  let scanned: RecordCall | Refusal | null = null;
  for (const level of levels) {
    scanned = scanRecordCall(kind, body, level);
    if (!isRefusal(scanned)) return scanned;
  }
  if (scanned === null) throw new RangeError('A scan needs a level.');
  return scanned;
}

// The fields of each operation; a repeated known field is rejected, an unknown one ignored (observed).
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
const EMPTY_STRING_BYTES = '""'.length;

const tooManyRecords = (recordsMax: number): string =>
  `A call can have at most ${recordsMax} ids (WRITE_RECORDS_MAX). Nothing was changed: send the records in several calls.`;

const FILTERS = ['where', 'where_document'] as const;
type Filter = (typeof FILTERS)[number];

function isFilter(field: string): field is Filter {
  return FILTERS.some((filter) => filter === field);
}

class RecordScanner {
  readonly #kind: RecordKind;
  #body: Buffer;
  readonly #capabilities: ScanLimits;
  readonly #cursor: JsonCursor;
  readonly #seen = new Set<string>();
  readonly #columns: Partial<Record<Column, Slice>> = {};
  #ids: RecordIds | null = null;
  #hasEmptyId = false;
  #idSlice: Slice = { start: 0, end: 0 };
  #embeddings: EmbeddingColumn | null = null;
  readonly #filters: Partial<Record<Filter, 'object' | 'refused'>> = {};
  #limited = false;
  /** Lengths of the columns, compared once all are read. */
  readonly #lengths: number[] = [];
  readonly #faults = new Faults();
  /** A repeated filter, which a delete reports only after reading the whole body. */
  #repeatedFilter: Filter | null = null;

  constructor(kind: RecordKind, body: Buffer, capabilities: ScanLimits) {
    this.#kind = kind;
    this.#body = body;
    this.#capabilities = capabilities;
    this.#cursor = new JsonCursor(body, true);
  }

  scan(): RecordCall | Refusal {
    this.#object();
    const ids = this.#ids ?? [];
    this.#checkWhole(ids.length);
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
    if (this.#repeatedFilter !== null) this.#refuseShape(`duplicate field \`${this.#repeatedFilter}\``);
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
    // A delete is deserialized through a buffer of all fields (serde flatten), which parses unknown fields strictly.
    if (this.#kind === 'delete') this.#deleteField(field);
    else if (known) this.#recordField(field);
    else cursor.value(false, 1);
  }

  #noteField(field: string): void {
    if (this.#seen.has(field)) {
      if (!isFilter(field)) this.#refuseShape(`duplicate field \`${field}\``);
      this.#repeatedFilter ??= field;
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

  // Only the primary can validate the conditions; here they must be an object that is not empty.
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
    const { recordsMax = Number.POSITIVE_INFINITY } = this.#capabilities;
    let listed: string[] = [];
    let count = 0;
    this.#idSlice = this.#readArray('ids', () => {
      if (count === recordsMax) throw new RefusedBody(invalidArgument(tooManyRecords(recordsMax)));
      const start = cursor.pos;
      if (cursor.peek() !== QUOTE) refuseType(cursor, `ids[${count}]: `, 'a string');
      cursor.string(true);
      if (cursor.pos - start === EMPTY_STRING_BYTES) this.#hasEmptyId = true;
      count += 1;
      if (count <= LISTED_IDS_MAX) listed.push(cursor.decoded(start));
      else if (listed.length > 0) listed = [];
    });
    this.#ids = count <= LISTED_IDS_MAX ? listed : new EncodedIds(this.#body, this.#idSlice, count);
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

  // NEW: a u32 that requires a filter. Older servers ignore `limit` and delete everything that matches.
  #readLimit(): void {
    const cursor = this.#cursor;
    const start = cursor.pos;
    const byte = cursor.peek();
    cursor.value(true, 1);
    if (!this.#capabilities.deleteLimit) {
      this.#faults.add('unsafe', 'limit is not supported: a server of this cluster would ignore it');
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
    if (!this.#seen.has('ids')) this.#refuseShape('missing field `ids`');
    if (this.#kind !== 'update' && !this.#seen.has('embeddings'))
      this.#refuseShape('missing field `embeddings`');
  }

  // Checks that need the whole body. The server would fix the dimension before it finds these faults.
  #checkWhole(ids: number): void {
    const { maxBatchSize, base64Embeddings } = this.#capabilities;
    // Releases that accept base64 split calls above the size they report (observed: adds of 40,000 records, deletes of
    // 80,000 ids). Older ones answer 500 and fix the dimension.
    if (ids > maxBatchSize && !base64Embeddings) {
      this.#faults.add('unsafe', `Batch size of ${ids} is greater than max batch size of ${maxBatchSize}`);
    }
    if (this.#kind === 'delete') return this.#checkDelete(ids);
    if (this.#lengths.some((length) => length !== ids)) {
      this.#faults.add('lengths', 'Inconsistent number of IDs, embeddings, documents, URIs and metadatas');
    }
    if (this.#hasEmptyId) this.#faults.add('ids', 'Empty ID, ID must have at least one character');
  }

  #checkDelete(ids: number): void {
    const { where, where_document: document } = this.#filters;
    if (where === 'refused') this.#faults.add('decoding', 'Invalid where clause');
    // With conditions as well, only the primary can tell which of the two is reported.
    if (where === undefined && document === 'refused') {
      this.#faults.add('decoding', 'Invalid where document clause');
    }
    if (this.#ids !== null && ids === 0 && !this.#filtered) {
      this.#faults.add('lengths', 'Validation error: ids, where: Either ids or where must be specified');
    }
    if (this.#limited && !this.#filtered) {
      const message = 'limit can only be specified when a where clause is provided';
      this.#faults.add('lengths', `Validation error: limit, where: ${message}`);
    }
  }

  #refuseShape(reason: string): never {
    throw new RefusedBody(shapeRefusal(this.#body, this.#cursor.pos, reason));
  }
}

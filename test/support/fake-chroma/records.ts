// The content of one collection: records in the order of first insertion, and the backlog of durable writes that are
// not applied yet (the table embeddings_queue of a server).

import { documentFilter, InvalidClause, whereFilter, type Filter } from './filters.ts';
import type { Json, JsonObject, Scalar } from './json.ts';
import { invalid, type Item, type WriteKind } from './payload.ts';

/** Documents and uris are metadata, as in the tables of a server. */
const DOCUMENT = 'chroma:document';
const URI = 'chroma:uri';

/** The most metadata keys with a value of one record (docs/chroma-behaviour.md#metadata-with-thousands-of-keys). */
const KEYS_MAX = 5460;

export interface StoredRecord {
  readonly id: string;
  readonly embedding: readonly number[];
  readonly values: ReadonlyMap<string, Scalar>;
}

type Write =
  | { readonly kind: WriteKind; readonly items: readonly Item[] }
  | { readonly kind: 'delete'; readonly ids: readonly string[] };

/** Why a backlog cannot be applied; none of it has been. */
export type BacklogFailure =
  | 'panic' // reading it ends the log reader of the server
  | 'wedged' // it can never be read
  | 'too many keys'; // it is read, and its metadata never stored

export class Records {
  #stored = new Map<string, StoredRecord>();
  #backlog: Write[] = [];
  /** Applied writes that no read of this process has seen. */
  #unread: Write[] = [];
  #isRead = false;

  get size(): number {
    return this.#stored.size;
  }

  /** An independent copy. */
  clone(): Records {
    const copy = new Records();
    copy.#stored = new Map(this.#stored); // stored records are immutable
    copy.#backlog = [...this.#backlog];
    copy.#unread = [...this.#unread];
    copy.#isRead = this.#isRead;
    return copy;
  }

  /** The process starts anew. */
  restart(): void {
    this.#unread = [];
    this.#isRead = false;
  }

  /** Notes a read. The next write applies what no read had seen once more to the embeddings. */
  read(): void {
    this.#isRead = true;
  }

  /** Stores a write without applying it. */
  queue(write: Write): void {
    this.#backlog.push(write);
  }

  /** Applies the backlog in order. */
  catchUp(): BacklogFailure | null {
    const items = this.#backlog.flatMap((write) => (write.kind === 'delete' ? [] : write.items));
    // A document is read as text, whatever its stored type (docs/chroma-behaviour.md#metadata-keys-that-stop-a-server).
    const poisonous = ({ metadata }: Item): boolean =>
      metadata?.has(DOCUMENT) === true && typeof metadata.get(DOCUMENT) !== 'string';
    if (items.some(poisonous)) return 'panic';
    if (items.some(({ embedding }) => embedding?.length === 0)) return 'wedged';
    if (this.#backlog.some((write) => this.#hasTooManyKeys(write))) return 'too many keys';
    if (this.#isRead && this.#backlog.length > 0) this.#embedAgain();
    for (const write of this.#backlog) this.#apply(write);
    if (!this.#isRead) this.#unread.push(...this.#backlog);
    this.#backlog = [];
    return null;
  }

  /** Records in stored order, without missing `ids`. Throws Refused. */
  select(fields: JsonObject, ids: readonly string[] | null): StoredRecord[] {
    const filter = filterOf(fields);
    const wanted = ids === null ? null : new Set(ids);
    return [...this.#stored.values()].filter(
      (record) =>
        (wanted === null || wanted.has(record.id)) &&
        filter({ metadata: record.values, document: documentOf(record) }),
    );
  }

  /** All records in stored order, as a read would find them that applies the backlog first; null when it would fail. */
  peek(appliesBacklog: boolean): readonly StoredRecord[] | null {
    if (!appliesBacklog || this.#backlog.length === 0) return [...this.#stored.values()];
    const copy = this.clone();
    return copy.catchUp() === null ? [...copy.#stored.values()] : null;
  }

  has(id: string): boolean {
    return this.#stored.has(id);
  }

  /** docs/chroma-behaviour.md#an-update-before-its-record */
  #embedAgain(): void {
    if (this.#unread.length === 0) return;
    const embeddings = new Map([...this.#stored].map(([id, { embedding }]) => [id, embedding]));
    for (const write of this.#unread) {
      if (write.kind === 'delete') for (const id of write.ids) embeddings.delete(id);
      else
        for (const { id, embedding } of write.items) {
          const isIgnored = write.kind === (embeddings.has(id) ? 'add' : 'update');
          if (embedding !== null && !isIgnored) embeddings.set(id, embedding);
        }
    }
    this.#unread = [];
    for (const [id, record] of this.#stored)
      this.#stored.set(id, { ...record, embedding: embeddings.get(id) ?? record.embedding });
  }

  #hasTooManyKeys(write: Write): boolean {
    if (write.kind === 'delete') return false;
    return write.items.some(({ id, metadata }) => {
      if (write.kind === (this.#stored.has(id) ? 'add' : 'update')) return false; // without effect
      const values = [...(metadata?.values() ?? [])].filter((value) => value !== null);
      return values.length > KEYS_MAX;
    });
  }

  #apply(write: Write): void {
    if (write.kind === 'delete') {
      for (const id of write.ids) this.#stored.delete(id);
      return;
    }
    for (const item of write.items) {
      const before = this.#stored.get(item.id);
      if (before === undefined ? write.kind === 'update' : write.kind === 'add') continue;
      const values = new Map(before?.values);
      for (const [key, value] of item.metadata ?? []) {
        if (value === null) values.delete(key);
        else values.set(key, value);
      }
      if (item.document !== null) values.set(DOCUMENT, item.document);
      if (item.uri !== null) values.set(URI, item.uri);
      const embedding = item.embedding ?? before?.embedding ?? [];
      this.#stored.set(item.id, { id: item.id, embedding, values });
    }
  }
}

function filterOf(fields: JsonObject): Filter {
  try {
    const where = whereFilter(fields['where']);
    const document = documentFilter(fields['where_document']);
    return (record) => where(record) && document(record);
  } catch (error) {
    if (error instanceof InvalidClause) throw invalid(error.message);
    throw error;
  }
}

export function documentOf({ values }: StoredRecord): string | null {
  const document = values.get(DOCUMENT);
  return typeof document === 'string' ? document : null;
}

export function uriOf({ values }: StoredRecord): string | null {
  const uri = values.get(URI);
  return typeof uri === 'string' ? uri : null;
}

/** Metadata in responses: without the keys of Chroma; null when there are no others. */
export function visibleMetadata({ values }: StoredRecord): Json {
  if ([...values.keys()].every((key) => key === DOCUMENT)) return null;
  return Object.fromEntries([...values].filter(([key]) => !key.startsWith('chroma:')));
}

/** Squared euclidean distance, in 32-bit floats as the server's index computes it. */
export function distance(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, component, index) => {
    const apart = Math.fround(component - (b[index] ?? 0));
    return Math.fround(sum + Math.fround(apart * apart));
  }, 0);
}

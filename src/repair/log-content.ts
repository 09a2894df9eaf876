// The content of records as the log describes it, and which of several copies agrees with it (R34).
//
// The log describes a record only where it holds everything since the record's last insertion: from the creation of the
// collection, or from a deletion of the record, on.

import { JsonCursor, LETTER_N, OBJECT_OPEN, QUOTE, type Slice } from '../chroma/parse/json.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { idPages } from '../chroma/parse/record-ids.ts';
import { mapKey } from '../util/map-key.ts';
import { nextTurn } from '../util/next-turn.ts';
import type { StoredRecord } from './copy-content.ts';
import { comparableParts, isSameVector } from './record-content.ts';
import { cosineDrift, vectorIn, type EmbeddingRule } from './record-difference.ts';

/** A record as the entries of the log made it. */
export interface DescribedRecord {
  embedding: Float32Array;
  document: string | null;
  uri: string | null;
  /** By map key: JSON texts as clients sent them. */
  readonly metadata: Map<string, string>;
}

/** Null: the record does not exist. `unknown`: the log does not hold everything since its last insertion. */
export type Description = DescribedRecord | null | 'unknown';

/** Applies the entries of a shard to some of its records, in LSN order. */
export class LogContent {
  readonly #records = new Map<string, Description>();

  /** `isWhole`: the log holds every entry of the shard since its creation. */
  constructor(ids: readonly string[], isWhole: boolean) {
    for (const id of ids) this.#records.set(mapKey(id), isWhole ? null : 'unknown');
  }

  of(id: string): Description {
    return this.#records.get(mapKey(id)) ?? null;
  }

  /** Nothing is known of any record from here on. */
  forget(): void {
    for (const key of this.#records.keys()) this.#records.set(key, 'unknown');
  }

  /** The entry deletes the records with these ids. */
  deleted(ids: readonly string[]): void {
    for (const id of ids) if (this.#records.has(mapKey(id))) this.#records.set(mapKey(id), null);
  }

  async applied(call: RecordCall): Promise<void> {
    const isDelete = call.kind === 'delete';
    const wanted = new Map<string, number>();
    for await (const page of idPages(call.ids)) {
      if (isDelete) this.deleted(page);
      else
        for (const key of page.map(mapKey))
          if (this.#records.has(key)) wanted.set(key, (wanted.get(key) ?? 0) + 1);
    }
    if (call.kind === 'delete' || wanted.size === 0) return;
    for (const part of comparableParts(call, RECORDS_PER_SLICE)) {
      this.#appliedPart(part, call.kind, wanted);
      await nextTurn();
    }
  }

  /** `wanted`: how often each record of interest occurs in the call. */
  #appliedPart(part: RecordCall, kind: WritingKind, wanted: ReadonlyMap<string, number>): void {
    const keys = [...part.ids].map(mapKey);
    if (!keys.some((key) => wanted.has(key))) return;
    const sent = sentRecords(part);
    for (const [index, key] of keys.entries()) {
      const count = wanted.get(key);
      if (count === undefined) continue;
      // An id that repeats within one call is rare, and which of its values counts depends on the kind.
      this.#records.set(
        key,
        count > 1 ? 'unknown' : after(this.#records.get(key) ?? null, kind, sent(index)),
      );
    }
  }
}

type WritingKind = Exclude<RecordCall['kind'], 'delete'>;

// Some ms of work.
const RECORDS_PER_SLICE = 500;

/** What a call contains for one record; null for a column that it leaves unchanged. */
export interface SentRecord {
  readonly embedding: Float32Array | null;
  readonly document: string | null;
  readonly uri: string | null;
  /** JSON texts; `null` removes the key. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The records of a call, by their index. */
export function sentRecords(call: RecordCall): (index: number) => SentRecord {
  const [embeddings, documents, uris, metadatas] = (
    ['embeddings', 'documents', 'uris', 'metadatas'] as const
  ).map((column) => listElements(call.body, call.columns[column] ?? null));
  return (index) => ({
    embedding: vectorSent(embeddings?.[index] ?? null),
    document: textSent(documents?.[index] ?? null),
    uri: textSent(uris?.[index] ?? null),
    metadata: metadataTexts(metadatas?.[index] ?? null),
  });
}

/** Whether a stored record has everything that a call contains for it. */
export function hasEverythingOf(sent: SentRecord, stored: StoredRecord): boolean {
  const values = metadataTexts(stored.metadata);
  return (
    (sent.embedding === null || isSameVector([...sent.embedding], [...(vectorIn(stored.embedding) ?? [])])) &&
    (sent.document === null || sent.document === textSent(stored.document)) &&
    (sent.uri === null || sent.uri === textSent(stored.uri)) &&
    [...sent.metadata].every(([key, value]) =>
      value === 'null' ? !values.has(key) : isStoredValue(value, values.get(key) ?? 'null'),
    )
  );
}

/** A record after a write, by the rules of Chroma (docs/chroma-behaviour.md#writing-records). */
function after(before: Description, kind: WritingKind, sent: SentRecord): Description {
  if (before === 'unknown') return 'unknown';
  if (before === null)
    return kind === 'update' || sent.embedding === null ? null : inserted(sent, sent.embedding);
  if (kind === 'add') return before;
  const metadata = new Map(before.metadata);
  for (const [key, value] of sent.metadata)
    if (value === 'null') metadata.delete(key);
    else metadata.set(key, value);
  return {
    embedding: sent.embedding ?? before.embedding,
    document: sent.document ?? before.document,
    uri: sent.uri ?? before.uri,
    metadata,
  };
}

function inserted({ document, uri, metadata }: SentRecord, embedding: Float32Array): DescribedRecord {
  return {
    embedding,
    document,
    uri,
    metadata: new Map([...metadata].filter(([, value]) => value !== 'null')),
  };
}

/** Whether a node that applied what the log describes may return this record. */
export function isDescribed(
  described: Exclude<Description, 'unknown'>,
  stored: StoredRecord | null,
  rule: EmbeddingRule,
): boolean {
  if (described === null || stored === null) return described === stored;
  const vector = vectorIn(stored.embedding);
  if (vector === null || vector.length !== described.embedding.length) return false;
  // A server parses numbers with an error of its own: the closest of the copies is meant, not the exact one.
  if (cosineDrift(described.embedding, vector) > (rule.isCosine ? 1e-5 : 1e-6)) return false;
  return (
    described.document === textSent(stored.document) &&
    described.uri === textSent(stored.uri) &&
    isStoredMetadata(described.metadata, metadataTexts(stored.metadata))
  );
}

/** Whether a server that was sent the one metadata may return the other. */
function isStoredMetadata(sent: ReadonlyMap<string, string>, stored: ReadonlyMap<string, string>): boolean {
  return (
    sent.size === stored.size &&
    [...sent].every(([key, value]) => isStoredValue(value, stored.get(key) ?? 'null'))
  );
}

const INTEGER = /^-?\d+$/;
const NUMBER = /^-?\d/;
const INTEGERS_FROM = -(2n ** 63n);
const INTEGERS_TO = 2n ** 63n;

function isStoredValue(sent: string, stored: string): boolean {
  if (sent === stored) return true;
  if (NUMBER.test(sent) && NUMBER.test(stored)) return isStoredNumber(sent, stored, false);
  if (sent[0] === '[' && stored[0] === '[') return isStoredList(listTexts(sent), listTexts(stored));
  return sent[0] === '"' && stored[0] === '"' && JSON.parse(sent) === JSON.parse(stored);
}

/** `becomesDouble`: the number is stored as a double although it is written as an integer. */
function isStoredNumber(sent: string, stored: string, becomesDouble: boolean): boolean {
  const isInteger = INTEGER.test(sent);
  if (INTEGER.test(stored)) return isInteger && BigInt(sent) === BigInt(stored);
  const isWithin64Bits = isInteger && BigInt(sent) >= INTEGERS_FROM && BigInt(sent) < INTEGERS_TO;
  if (isWithin64Bits && !becomesDouble) return false;
  const [a, b] = [Number(sent), Number(stored)];
  // A server's parser of doubles may be wrong in the last bits.
  return Math.abs(a - b) <= 1e-15 * Math.max(Math.abs(a), Math.abs(b));
}

function isStoredList(sent: readonly string[], stored: readonly string[]): boolean {
  // One double makes doubles of all numbers in a list.
  const hasDouble = sent.some((text) => NUMBER.test(text) && !INTEGER.test(text));
  return (
    sent.length === stored.length &&
    sent.every((text, index) => {
      const other = stored[index] as string;
      return NUMBER.test(text) && NUMBER.test(other)
        ? isStoredNumber(text, other, hasDouble)
        : isStoredValue(text, other);
    })
  );
}

function listTexts(text: string): string[] {
  const bytes = Buffer.from(text);
  return listElements(bytes, { start: 1, end: bytes.length - 1 }).map(String);
}

/** The elements of the list whose text between the brackets is at `slice`; none for no list. */
function listElements(body: Buffer, slice: Slice | null): Buffer[] {
  if (slice === null) return [];
  const text = body.subarray(slice.start, slice.end);
  const cursor = new JsonCursor(Buffer.concat([Buffer.from('['), text, Buffer.from(']')]));
  const elements: Buffer[] = [];
  cursor.peek();
  if (!cursor.openArray()) return elements;
  do {
    cursor.peek();
    const start = cursor.pos;
    cursor.value(false, 1);
    elements.push(cursor.bytes.subarray(start, cursor.pos));
  } while (cursor.nextElement());
  return elements;
}

function metadataTexts(object: Buffer | null): Map<string, string> {
  const members = new Map<string, string>();
  if (object === null || object[0] !== OBJECT_OPEN) return members;
  const cursor = new JsonCursor(object);
  if (!cursor.openObject()) return members;
  do {
    const key = mapKey(cursor.decoded(cursor.name(false)));
    cursor.colon();
    cursor.peek();
    const start = cursor.pos;
    cursor.value(false, 1);
    members.set(key, object.toString('utf8', start, cursor.pos));
  } while (cursor.nextMember());
  return members;
}

function textSent(text: Buffer | null): string | null {
  return text === null || text[0] === LETTER_N ? null : (JSON.parse(text.toString()) as string);
}

function vectorSent(text: Buffer | null): Float32Array | null {
  if (text === null || text[0] === LETTER_N) return null;
  if (text[0] !== QUOTE) return Float32Array.from(JSON.parse(text.toString()) as number[]);
  const bytes = Buffer.from(JSON.parse(text.toString()) as string, 'base64');
  return Float32Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) =>
    bytes.readFloatLE(4 * index),
  );
}

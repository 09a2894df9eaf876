// Compares the documents and embeddings that an entry contains with those that a node returns.

import { splitCall } from '../chroma/batch/split.ts';
import type { Column, RecordCall } from '../chroma/parse/record-call.ts';
import { mapKey } from '../util/map-key.ts';

/** What an upsert or update contains for one record; null for a column that it leaves unchanged. */
export interface SentContent {
  readonly document: string | null;
  readonly embedding: readonly number[] | null;
}

/** The body of a response to a get with documents and embeddings. */
export interface ReadRecords {
  readonly ids: readonly string[];
  readonly documents: readonly (string | null)[];
  readonly embeddings: readonly (readonly number[])[];
}

/** What a node returns for one record. */
export interface ReadContent {
  readonly document: string | null;
  readonly embedding: readonly number[];
}

interface SentColumns {
  readonly documents?: readonly (string | null)[] | null;
  readonly embeddings?: readonly (number[] | string | null)[] | null;
}

// Parsing one part takes some ms.
const SLICE_BYTES = 256 * 1024;

/** The call in parts of at most so many records, which can be compared without holding the event loop for long. */
export function comparableParts(call: RecordCall, recordsMax: number): Iterable<RecordCall> {
  return splitCall(call, { work: Infinity, maxIds: recordsMax, maxBytes: SLICE_BYTES });
}

/** Content by the map key of the id; the last occurrence of an id counts. */
export function columnContent(call: RecordCall): Map<string, SentContent> {
  const content = new Map<string, SentContent>();
  const documents = columnValues(call, 'documents') as SentColumns['documents'];
  const embeddings = columnValues(call, 'embeddings') as SentColumns['embeddings'];
  for (const [index, id] of [...call.ids].entries()) {
    const vector = embeddings?.[index] ?? null;
    const embedding = typeof vector === 'string' ? fromBase64(vector) : vector;
    content.set(mapKey(id), { document: documents?.[index] ?? null, embedding });
  }
  return content;
}

/** Whether a record that was read has the content sent; columns that were not sent are equal. */
export function hasContent({ document, embedding }: SentContent, read: ReadContent): boolean {
  return (
    (document === null || document === read.document) &&
    (embedding === null || isSameVector(embedding, read.embedding))
  );
}

/** Only the columns that are compared: metadata may be large. */
function columnValues({ body, columns }: RecordCall, column: Column): unknown {
  const slice = columns[column];
  return slice === undefined ? null : JSON.parse(`[${body.toString('utf8', slice.start, slice.end)}]`);
}

function fromBase64(text: string): number[] {
  const bytes = Buffer.from(text, 'base64');
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) => bytes.readFloatLE(index * 4));
}

// Components are 32-bit floats, sent and returned in decimal. In cosine space a server stores the normalised vector,
// which costs another rounding (docs/chroma-behaviour.md#numbers).
const TOLERANCE = 1e-4;

/** Whether a node that was sent the one vector may return the other. */
export function isSameVector(sent: readonly number[], read: readonly number[]): boolean {
  if (sent.length !== read.length) return false;
  if (isClose(sent, read)) return true;
  const norm = Math.hypot(...sent);
  const isNormalised = Math.abs(Math.hypot(...read) - 1) < TOLERANCE;
  return (
    isNormalised &&
    isClose(
      sent.map((component) => component / norm),
      read,
    )
  );
}

function isClose(a: readonly number[], b: readonly number[]): boolean {
  return a.every(
    (value, index) => Math.abs(value - (b[index] ?? NaN)) <= TOLERANCE * Math.max(1, Math.abs(value)),
  );
}

// What one node really holds, asked from the node itself and not through Polychrome, and its digest.
import { createHash } from 'node:crypto';
import { z } from 'zod';

export interface StoredRecord {
  readonly id: string;
  readonly document: string;
  readonly metadata: Readonly<Record<string, string | number | boolean>>;
  readonly embedding: readonly number[];
}

export interface NodeContent {
  /** Digest of every record, by `recordKey`. */
  readonly records: ReadonlyMap<string, string>;
  /** Digest of all of it: equal exactly when ids, documents, metadata and embeddings are equal. */
  readonly digest: string;
}

// A page of 500 records of 128 dimensions is about 1.5 MB of JSON.
const PAGE = 500;
const PAGE_MS_MAX = 30_000;
const COLLECTIONS = 'api/v2/tenants/default_tenant/databases/default_database/collections';

/** Everything the node holds of these collections. Throws when it cannot be read, or lacks one of them. */
export async function readNode(url: string, collections: Iterable<string>): Promise<NodeContent> {
  const entries: [key: string, digest: string][] = [];
  for (const name of collections) {
    // Every node has an id of its own for the collection; the name is what they share.
    const id = await collectionId(url, name);
    for (let offset = 0; ; offset += PAGE) {
      const page = await readPage(`${url}/${COLLECTIONS}/${id}/get`, offset);
      for (const record of page) entries.push([recordKey(name, record.id), recordDigest(record)]);
      if (page.length === 0) break;
    }
  }
  return { records: new Map(entries), digest: digestOf(entries) };
}

/** Digest of a whole: order does not count (a rebuilt node may store another), repeated ids do. */
export function digestOf(entries: readonly (readonly [key: string, digest: string])[]): string {
  const lines = entries.map(([key, digest]) => `${key} ${digest}`);
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex');
}

export function recordKey(collection: string, id: string): string {
  return JSON.stringify([collection, id]);
}

/** A record as it came from a node, numbers as the text that was sent, or as it was written to one. */
export interface DigestedRecord {
  readonly id: string;
  readonly document: unknown;
  readonly metadata: unknown;
  readonly embedding: unknown;
}

export function recordDigest(record: DigestedRecord): string {
  const { id, document, metadata, embedding } = record;
  const parts = [id, document, metadata].map(canonical);
  return createHash('sha256')
    .update([...parts, vector(embedding)].join('\n'))
    .digest('hex');
}

/** The source text of a JSON number: 1 and 1.0 differ in a metadata value, and 64-bit integers stay exact. */
class NumberText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** JSON text with the keys in order: nodes answer with the keys of an object in any order. */
function canonical(value: unknown): string {
  if (value instanceof NumberText) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
}

// Embeddings are f32 on every node; their bits do not depend on how many decimals a release prints.
function vector(embedding: unknown): string {
  if (!Array.isArray(embedding)) return canonical(embedding);
  const numbers = embedding.map((item: unknown) => {
    if (item instanceof NumberText) return Number(item.text);
    if (typeof item === 'number') return item;
    throw new Error(`an embedding holds ${canonical(item)}`);
  });
  return Buffer.from(Float32Array.from(numbers).buffer).toString('hex');
}

const column = z.array(z.unknown());
const pageSchema = z.object({
  ids: z.array(z.string()),
  documents: column,
  metadatas: column,
  embeddings: column,
});

/** The records of the body of a `get` answer, numbers kept as text. Throws when its columns do not match. */
export function parsePage(body: string): DigestedRecord[] {
  const { ids, documents, metadatas, embeddings } = pageSchema.parse(JSON.parse(body, keepSource));
  if ([documents, metadatas, embeddings].some((values) => values.length !== ids.length)) {
    throw new Error('the answer has columns of different lengths');
  }
  return ids.map((id, i) => ({
    id,
    document: documents[i],
    metadata: metadatas[i],
    embedding: embeddings[i],
  }));
}

function keepSource(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number') return value;
  // Without it two different numbers could look alike, and nobody would know.
  if (context?.source === undefined)
    throw new Error('this Node.js does not tell the source of a JSON number');
  return new NumberText(context.source);
}

async function readPage(url: string, offset: number): Promise<DigestedRecord[]> {
  const include = ['documents', 'metadatas', 'embeddings'];
  return parsePage(
    await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ limit: PAGE, offset, include }),
    }),
  );
}

async function collectionId(url: string, name: string): Promise<string> {
  const body = await request(`${url}/${COLLECTIONS}/${encodeURIComponent(name)}`);
  return z.object({ id: z.string() }).parse(JSON.parse(body)).id;
}

async function request(url: string, init: RequestInit = {}): Promise<string> {
  const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(PAGE_MS_MAX) });
  const body = await answer.text();
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${body.slice(0, 200)}`);
  return body;
}

// Reads the content of a node directly and compares it with the acknowledged records.
import { createHash } from 'node:crypto';
import { ChromaClient, type GetResult } from 'chromadb';
import type { TextRecord } from './corpus.ts';

export interface NodeCheck {
  readonly id: string;
  readonly records: number;
  /** Acknowledged records that the node does not hold, or holds with other content. */
  readonly lost: number;
  /** Records without an acknowledged write, and repeated ids. */
  readonly unexpected: number;
  /** Digest of the content; equal on nodes that hold the same records. */
  readonly digest: string;
}

export const COLLECTION = 'demo';
// 500 records of 128 dimensions are about 1.5 MB of JSON.
const PAGE_RECORDS = 500;
const READ_MS_MAX = 120_000;

/** Returns a client of the server at `url`; aborting `signal` aborts its requests. */
export function connect(url: string, signal: AbortSignal): ChromaClient {
  const { hostname: host, port } = new URL(url);
  const tenancy = { tenant: 'default_tenant', database: 'default_database' };
  return new ChromaClient({ host, port: Number(port), ...tenancy, fetchOptions: { signal } });
}

/** Compares the collection of one node with the acknowledged records. */
export async function checkNode(
  { id, url }: { readonly id: string; readonly url: string },
  acknowledged: readonly TextRecord[],
): Promise<NodeCheck> {
  const unmatched = new Map(digestsOf(columnsOf(acknowledged)));
  const content = await readNode(url);
  let unexpected = 0;
  for (const [recordId, digest] of content) {
    if (!unmatched.has(recordId)) unexpected++;
    if (unmatched.get(recordId) === digest) unmatched.delete(recordId);
  }
  const lines = content.map((entry) => entry.join()).sort();
  return { id, records: content.length, lost: unmatched.size, unexpected, digest: sha256(lines) };
}

async function readNode(url: string): Promise<[id: string, digest: string][]> {
  const client = connect(url, AbortSignal.timeout(READ_MS_MAX));
  const collection = await client.getCollection({ name: COLLECTION });
  const content: [string, string][] = [];
  for (;;) {
    const range = { limit: PAGE_RECORDS, offset: content.length };
    const page = await collection.get({ ...range, include: ['documents', 'metadatas', 'embeddings'] });
    content.push(...digestsOf(page));
    if (page.ids.length < PAGE_RECORDS) return content;
  }
}

/** Describes the broken promises, a sentence each; empty when the run passed. */
export function brokenPromises(
  { acknowledged, failed }: { readonly acknowledged: readonly TextRecord[]; readonly failed: number },
  checks: readonly NodeCheck[],
): string[] {
  const broken: string[] = [];
  // A run without acknowledged writes or without replicas proves nothing.
  if (acknowledged.length === 0) broken.push('No write was acknowledged.');
  if (checks.length < 2) broken.push('Fewer than two nodes were checked.');
  if (failed > 0) broken.push(`${failed} requests failed.`);
  for (const { id, lost, unexpected } of checks) {
    if (lost > 0) broken.push(`${id} lost or changed ${lost} acknowledged records.`);
    if (unexpected > 0) broken.push(`${id} holds ${unexpected} records without an acknowledged write.`);
  }
  return broken;
}

/** Converts records to the columns of Chroma's API. */
export function columnsOf(records: readonly TextRecord[]) {
  return {
    ids: records.map(({ id }) => id),
    documents: records.map(({ document }) => document),
    metadatas: records.map(({ metadata }) => ({ ...metadata })),
    embeddings: records.map(({ embedding }) => [...embedding]),
  };
}

type Columns = Pick<GetResult, 'ids' | 'documents' | 'metadatas' | 'embeddings'>;

function digestsOf({ ids, documents, metadatas, embeddings }: Columns): [id: string, digest: string][] {
  return ids.map((id, i) => {
    // Releases return metadata keys in any order, and print an f32 with a different number of decimals.
    const metadata = Object.entries(metadatas[i] ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    return [id, sha256([documents[i], metadata, embeddings[i]?.map(Math.fround)])];
  });
}

function sha256(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}

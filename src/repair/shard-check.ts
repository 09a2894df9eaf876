// Checks the copy of a shard on a node: its records against expected content, and its vector index against its records.

import {
  countRecordsRequest,
  getRecordsRequest,
  queryRecordsRequest,
  type NodeRead,
  type ShardLocation,
} from '../chroma/protocol/node-requests.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { mapKey } from '../util/map-key.ts';
import type { ExpectedRecord } from './expectation.ts';
import { hasContent, type ReadContent, type ReadRecords, type SentContent } from './record-content.ts';

/** Sends a read to the node. */
export type ReadNode = (request: NodeRead) => Promise<{ readonly status: number; readonly body: Buffer }>;

/** An expected record, and what its last entry did to it. */
export interface CheckedRecord extends ExpectedRecord {
  /** What it has to contain; null for a deleted one. */
  readonly content: SentContent | null;
}

// The index is approximate and may miss a record by its own vector; a healthy one does not miss all of several.
const SAMPLES = 5;
/** Relative tolerance of distances: they are computed from 32-bit floats. */
const DISTANCE_TOLERANCE = 1e-3;

/** A difference between a node and what the log implies; `key` is null when it concerns no single record. */
export interface RecordFault {
  readonly key: string | null;
  readonly reason: string;
}

/** Records that are not as their last certain entry left them, but may be as a later one, which may be applied, did. */
export interface UncertainRecords {
  /** By the map key of their ids: those that are there, whose content remains to be compared. */
  readonly changed: Map<string, ReadContent>;
  /** LSN of the last entry that may have changed one of them; 0 when there are none. */
  lastLater: number;
}

/**
 * The first difference between the expected records, by the map key of their ids, and the node; null when none. Records
 * that only an entry which may be applied can have left so are not taken for different: they are added to `uncertain`.
 */
export async function recordFault(
  read: ReadNode,
  shard: ShardLocation,
  records: ReadonlyMap<string, CheckedRecord>,
  uncertain: UncertainRecords,
): Promise<RecordFault | null> {
  const ids = [...records.values()].map(({ id }) => id);
  const response = await readUnlessTooLarge(read, shard, ids);
  if (response === null) return eitherHalf(read, shard, records, uncertain);
  if (response.status !== 200)
    return { key: null, reason: `cannot be read after a restart: HTTP ${response.status}` };
  const found = JSON.parse(response.body.toString()) as ReadRecords;
  const indexOf = new Map(found.ids.map((id, index) => [mapKey(id), index]));
  for (const [key, record] of records) {
    const { id, lsn, present, content, later } = record;
    const index = indexOf.get(key) ?? null;
    if (present === (index === null)) {
      return { key, reason: `lost LSN ${lsn}: record "${id}" is ${present ? 'missing' : 'still there'}` };
    }
    if (index === null && content === null) continue;
    if (index !== null) {
      const stored = { document: found.documents[index] ?? null, embedding: found.embeddings[index] ?? [] };
      if (isLeftBy(record, stored)) continue;
      if (later?.length === 0) return { key, reason: olderContent(record) };
      if (later !== null) uncertain.changed.set(key, stored);
    }
    uncertain.lastLater = Math.max(uncertain.lastLater, record.lastLater ?? 0);
  }
  return null;
}

export function olderContent({ id, lsn }: Pick<CheckedRecord, 'id' | 'lsn'>): string {
  return `lost LSN ${lsn}: record "${id}" has older content`;
}

/** Whether the record may be as its last certain entry left it. */
function isLeftBy({ content, later }: CheckedRecord, stored: ReadContent): boolean {
  return content === null ? later?.length === 0 : hasContent(content, stored);
}

/** Null when the response would be larger than what is read at once, and can be made smaller. */
async function readUnlessTooLarge(
  read: ReadNode,
  shard: ShardLocation,
  ids: readonly string[],
): Promise<Awaited<ReturnType<ReadNode>> | null> {
  try {
    return await read(getRecordsRequest(shard, { ids, include: ['documents', 'embeddings'] }));
  } catch (error) {
    if (error instanceof NodeError && error.code === 'too_large' && ids.length > 1) return null;
    throw error;
  }
}

async function eitherHalf(
  read: ReadNode,
  shard: ShardLocation,
  records: ReadonlyMap<string, CheckedRecord>,
  uncertain: UncertainRecords,
): Promise<RecordFault | null> {
  const all = [...records];
  const middle = Math.ceil(all.length / 2);
  return (
    (await recordFault(read, shard, new Map(all.slice(0, middle)), uncertain)) ??
    recordFault(read, shard, new Map(all.slice(middle)), uncertain)
  );
}

/** Why queries on the shard fail to find records by their own vectors; null when they find one. */
export async function indexFault(read: ReadNode, shard: ShardLocation): Promise<string | null> {
  const count = await read(countRecordsRequest(shard));
  if (count.status !== 200) return `cannot be counted after a restart: HTTP ${count.status}`;
  if (count.body.toString() === '0') return null;
  const samples = await read(getRecordsRequest(shard, { limit: SAMPLES, include: ['embeddings'] }));
  if (samples.status !== 200) return `cannot be read after a restart: HTTP ${samples.status}`;
  const { ids, embeddings } = JSON.parse(samples.body.toString()) as ReadRecords;
  const query = { query_embeddings: embeddings, n_results: 1, include: ['distances'] as const };
  const response = await read(queryRecordsRequest(shard, query));
  if (response.status !== 200) return `cannot be queried after a restart: HTTP ${response.status}`;
  const { distances } = JSON.parse(response.body.toString()) as { distances: number[][] };
  const isFound = embeddings.some((vector, index) => isSelfDistance(vector, distances[index]?.[0]));
  return isFound ? null : `no record is found by its own vector after a restart, "${ids[0]}" among them`;
}

/**
 * Whether `nearest` is at most the distance of `vector` to itself in any space: 0, or 1 - |v|² for inner products. The
 * nearest record may be another one that is as near, or has the same vector.
 */
export function isSelfDistance(vector: readonly number[], nearest: number | undefined): boolean {
  const square = vector.reduce((sum, component) => sum + component * component, 0);
  return (
    nearest !== undefined && nearest <= Math.max(0, 1 - square) + DISTANCE_TOLERANCE * Math.max(1, square)
  );
}

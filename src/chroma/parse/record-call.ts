// A write of records, scanned into byte slices without building numbers (I11).

import type { Slice } from './json.ts';
import { EncodedIds, isListed, type RecordIds } from './record-ids.ts';

export type RecordKind = 'add' | 'upsert' | 'update' | 'delete';

/** The columns parallel to `ids` in add, upsert and update. */
export const COLUMNS = ['embeddings', 'documents', 'metadatas', 'uris'] as const;
export type Column = (typeof COLUMNS)[number];

/** Half-open range of record indexes. */
export interface RecordRange {
  readonly from: number;
  readonly to: number;
}

/** A body that passed every check, or a part of one; every node of the cluster's capability level accepts it. */
export interface RecordCall {
  readonly kind: RecordKind;
  /** The body as the client sent it; for a part, the body of the whole call. */
  readonly body: Buffer;
  /** Only for a part: its records in the whole call. All other fields then describe the part. */
  readonly part?: RecordRange;
  readonly ids: RecordIds;
  /** The text between the brackets of `ids`. */
  readonly idSlice: Slice;
  /** The text between the brackets of each column that is present and not null. */
  readonly columns: Readonly<Partial<Record<Column, Slice>>>;
  /** Length of every embedding in the whole call; null without embeddings. */
  readonly dimension: number | null;
  readonly encoding: 'floats' | 'base64' | null;
  /** A delete with `where`, `where_document` or `limit`, which the primary must decide (I5). */
  readonly conditional: boolean;
}

/** The same call in another Buffer with the same bytes. */
export function withBody(call: RecordCall, body: Buffer): RecordCall {
  const { ids, idSlice } = call;
  return { ...call, body, ids: isListed(ids) ? ids : new EncodedIds(body, idSlice, ids.length) };
}

/** What the least capable node of the cluster accepts in a body; the rest is in protocol/capabilities.ts. */
export interface BodyCapabilities {
  readonly maxBatchSize: number;
  readonly base64Embeddings: boolean;
  readonly metadataArrays: boolean;
  readonly deleteLimit: boolean;
}

/** What a scan accepts. */
export interface ScanLimits extends BodyCapabilities {
  /** Ids of a call, at most; absent for a call that is in the log already. */
  readonly recordsMax?: number;
}

// A write of records as Chroma's clients send it, taken apart into byte slices without building numbers (I11).

import type { Slice } from './json.ts';

export type RecordKind = 'add' | 'upsert' | 'update' | 'delete';

/** The columns that run parallel to `ids` in add, upsert and update. */
export const COLUMNS = ['embeddings', 'documents', 'metadatas', 'uris'] as const;
export type Column = (typeof COLUMNS)[number];

/** Half-open range of indexes of records. */
export interface RecordRange {
  readonly from: number;
  readonly to: number;
}

/** A body that passed every check, or a part of one: a node of the cluster's capability level accepts it. */
export interface RecordCall {
  readonly kind: RecordKind;
  /** The body as the client sent it; for a part, the body of the whole call. */
  readonly body: Buffer;
  /** Only for a part: which records of the whole call it holds. All other fields then describe the part alone. */
  readonly part?: RecordRange;
  /** The ids, JSON escapes resolved, in the order sent; may repeat. */
  readonly ids: readonly string[];
  /** What stands between the brackets of `ids`, without the brackets. */
  readonly idSlice: Slice;
  /** What stands between the brackets of each column that is present and not null. */
  readonly columns: Readonly<Partial<Record<Column, Slice>>>;
  /** Length of every embedding in the call, or for a part in the whole call; null when there is none. */
  readonly dimension: number | null;
  readonly encoding: 'floats' | 'base64' | null;
  /** For deletes: the call names more than ids (`where`, `where_document`, `limit`), so the primary must decide. */
  readonly conditional: boolean;
}

/** What the least capable node of the cluster accepts in a body; the rest is in protocol/capabilities.ts. */
export interface BodyCapabilities {
  readonly maxBatchSize: number;
  readonly base64Embeddings: boolean;
  readonly metadataArrays: boolean;
  readonly deleteLimit: boolean;
}

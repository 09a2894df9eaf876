// Entries as the log stores them: bytes and LSNs. chroma/protocol/operation.ts defines what each kind means.

import { crc32 } from 'node:zlib';

/** Entries of these kinds change records of one shard; those of others change collections, databases or tenants. */
export const RECORD_KINDS: readonly string[] = ['add', 'upsert', 'update', 'delete', 'delete_where'];

/** An entry before it is appended. */
export interface Draft {
  readonly kind: string;
  /** Shard of a record entry, collection of a schema entry, database id of a created database; UUID or null. */
  readonly target: string | null;
  /** JSON: everything the entry needs besides its body. */
  readonly header: string;
  /** Length of the embeddings in the entry; the first one fixes the shard's dimension. */
  readonly dimension: number | null;
  /** The client's bytes, verbatim (I11). */
  readonly body: Buffer;
  /** Of the capability level under which the body was validated; absent when it depends on none. */
  readonly revision?: number;
  /** The parsed body, passed on in memory so that no consumer in this process scans it again. */
  readonly parsed?: unknown;
}

export interface Entry {
  readonly lsn: number;
  readonly kind: string;
  readonly target: string | null;
  readonly header: string;
  readonly body: Buffer;
  /** Token of the append: a marker that holds it identifies the log a node follows, not only the position. */
  readonly batch: string;
  /** Wall clock, ms since the epoch. */
  readonly appendedAt: number;
  readonly parsed?: unknown;
}

/** Result of appending one entry, as the SQL function append() returns it: its LSN, or why the log refused it. */
export type AppendResult =
  | { readonly s: 'ok'; readonly lsn: number }
  | { readonly s: 'no_collection' | 'no_database' | 'not_empty' }
  | { readonly s: 'dimension'; readonly expected: number }
  | { readonly s: 'exists'; readonly id?: string }
  /** The name is reserved by the entry at `lsn`, which is not decided yet. */
  | { readonly s: 'busy'; readonly lsn: number };

/** CRC-32 over everything that gives an entry its meaning; stored with the entry and compared on every read. */
export function checksum(entry: Pick<Draft, 'kind' | 'target' | 'header' | 'body'>): number {
  return crc32(entry.body, crc32(`${entry.kind}\n${entry.target ?? ''}\n${entry.header}\n`));
}

/** The requested entries have been trimmed: a node that needs them must be rebuilt. */
export class LogTrimmed extends Error {
  override readonly name = 'LogTrimmed';

  constructor(after: number, trimmed: number) {
    super(`the log begins at LSN ${trimmed + 1}, and LSN ${after + 1} is needed next`);
  }
}

/** A row of the log is missing or does not match its checksum: no entry after it may be applied. */
export class LogDamaged extends Error {
  override readonly name = 'LogDamaged';
  readonly lsn: number;

  constructor(lsn: number, damage: string) {
    super(`The log is damaged at LSN ${lsn}: ${damage}. Entries from this LSN on are not applied.`);
    this.lsn = lsn;
  }
}

// What the log holds. The log knows bytes and LSNs; what a kind means is decided elsewhere (replication/operation.ts).

import { crc32 } from 'node:zlib';

/** What a caller asks to have appended. */
export interface Draft {
  readonly kind: string;
  /** Shard of a record entry, collection of a schema entry, database id of a created database; UUID or null. */
  readonly target: string | null;
  /** JSON: everything the entry needs beside its body. */
  readonly header: string;
  /** Embedding length the entry brings; the first one fixes the shard's dimension. */
  readonly dimension: number | null;
  /** The client's bytes, verbatim (I11). */
  readonly body: Buffer;
  /** What the caller already knows of the body, handed on in memory so that nobody scans it twice. */
  readonly parsed?: unknown;
}

export interface Entry {
  readonly lsn: number;
  readonly kind: string;
  readonly target: string | null;
  readonly header: string;
  readonly body: Buffer;
  /** Token of the append that brought it: proves in a marker which log, not only which position, a node followed. */
  readonly batch: string;
  /** Wall clock, ms since the epoch. */
  readonly appendedAt: number;
  readonly parsed?: unknown;
}

/** Why the log did not take an entry, or the LSN it gave it. */
export type AppendResult =
  | { readonly s: 'ok'; readonly lsn: number }
  | { readonly s: 'no_collection' | 'no_database' | 'not_empty' }
  | { readonly s: 'dimension'; readonly expected: number }
  | { readonly s: 'exists'; readonly id?: string }
  | { readonly s: 'busy'; readonly lsn: number };

/** CRC-32 over everything that gives an entry its meaning; stored with it and compared on every read. */
export function checksum(entry: Pick<Draft, 'kind' | 'target' | 'header' | 'body'>): number {
  return crc32(entry.body, crc32(`${entry.kind}\n${entry.target ?? ''}\n${entry.header}\n`));
}

/** The entries asked for are gone: whoever needs them must be rebuilt. */
export class LogTrimmed extends Error {
  override readonly name = 'LogTrimmed';

  constructor(after: number, trimmed: number) {
    super(`the log begins at LSN ${trimmed + 1}, and LSN ${after + 1} is needed next`);
  }
}

/** A row of the log does not match its checksum, or is missing: nothing may be applied beyond it. */
export class LogDamaged extends Error {
  override readonly name = 'LogDamaged';
  readonly lsn: number;

  constructor(lsn: number, what: string) {
    super(`The log is damaged at LSN ${lsn}: ${what}. Nothing beyond it is applied.`);
    this.lsn = lsn;
  }
}

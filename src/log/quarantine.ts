// The quarantine in PostgreSQL: entries that no healthy node can apply, until an operator closes them.

import type { Database } from '../postgres/database.ts';

export interface QuarantineRecord {
  readonly lsn: number;
  readonly kind: string;
  /** As in the log: the shard of a record entry; null for kinds without one. */
  readonly target: string | null;
  readonly bodyBytes: number;
  /** What nodes responded to the entry: the HTTP status, and the body up to RESPONSE_BYTES_MAX. */
  readonly status: number;
  readonly response: Buffer;
  readonly quarantinedAt: Date;
  /** How an operator closed it; null while it is open. */
  readonly closed: 'retried' | 'discarded' | null;
  readonly closedAt: Date | null;
  /** LSN under which a retry appended the entry again; null when there was none, or its append was interrupted. */
  readonly retriedLSN: number | null;
}

// A server's error messages are a few hundred bytes.
const RESPONSE_BYTES_MAX = 4_096;

const COLUMNS = `lsn, kind, target, octet_length(body) as "bodyBytes", status,
  substring(response from 1 for ${RESPONSE_BYTES_MAX}) as response, quarantined_at as "quarantinedAt",
  closed, closed_at as "closedAt", retried_lsn as "retriedLSN"`;

type RecordRow = QuarantineRecord & Record<string, unknown>;

export class Quarantine {
  readonly #database: Database;
  readonly #onClosed: (lsn: number, isClosed: boolean) => void;

  /** `onClosed`: called when a record was closed, or opened again, through this object. */
  constructor(database: Database, onClosed: (lsn: number, isClosed: boolean) => void = () => undefined) {
    this.#database = database;
    this.#onClosed = onClosed;
  }

  /** Records after an LSN in their order, at most `limit`; closed ones only on request. */
  list(page: {
    readonly after: number;
    readonly limit: number;
    readonly includesClosed: boolean;
  }): Promise<QuarantineRecord[]> {
    return this.#database.query<RecordRow>(
      `select ${COLUMNS} from ${this.#table} where lsn > $1 and ($2 or closed is null) order by lsn limit $3`,
      [page.after, page.includesClosed, page.limit],
    );
  }

  /** Null when no entry of this LSN was quarantined. */
  async find(lsn: number): Promise<QuarantineRecord | null> {
    const [row] = await this.#database.query<RecordRow>(
      `select ${COLUMNS} from ${this.#table} where lsn = $1`,
      [lsn],
    );
    return row ?? null;
  }

  /** The body of the entry, verbatim (I11), or its first bytes; null when no entry of this LSN was quarantined. */
  async body(lsn: number, bytesMax?: number): Promise<Buffer | null> {
    const column = bytesMax === undefined ? 'body' : 'substring(body from 1 for $2)';
    const [row] = await this.#database.query<{ body: Buffer }>(
      `select ${column} as body from ${this.#table} where lsn = $1`,
      bytesMax === undefined ? [lsn] : [lsn, bytesMax],
    );
    return row?.body ?? null;
  }

  /** Closes an open record, once: false when another call has closed it. */
  async close(lsn: number, how: 'retried' | 'discarded'): Promise<boolean> {
    const rows = await this.#database.query(
      `update ${this.#table} set closed = $2, closed_at = clock_timestamp()
       where lsn = $1 and closed is null returning lsn`,
      [lsn, how],
    );
    if (rows.length > 0) this.#onClosed(lsn, true);
    return rows.length > 0;
  }

  /** Opens a record again whose retry appended nothing. */
  async reopen(lsn: number): Promise<void> {
    await this.#database.query(
      `update ${this.#table} set closed = null, closed_at = null
       where lsn = $1 and closed = 'retried' and retried_lsn is null`,
      [lsn],
    );
    this.#onClosed(lsn, false);
  }

  async recordRetry(lsn: number, retriedLSN: number): Promise<void> {
    await this.#database.query(`update ${this.#table} set retried_lsn = $2 where lsn = $1`, [
      lsn,
      retriedLSN,
    ]);
  }

  get #table(): string {
    return `${this.#database.schema}.quarantine`;
  }
}

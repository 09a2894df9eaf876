// The log in PostgreSQL: append through one server-side function, read in LSN order, trim by partition.

import { isServerRefusal, NotConnected, type Database } from '../postgres/database.ts';
import type { AppendStore } from './appender.ts';
import { checksum, LogDamaged, type Draft, type Entry, type Verdict } from './entry.ts';

export interface Head {
  /** Identity of this log: a marker or memory of another log means nothing here. */
  readonly logId: string;
  readonly cluster: string;
  readonly lsn: number;
  readonly trimmed: number;
  readonly view: number;
  readonly primary: string | null;
  readonly primaryGeneration: number;
}

interface EntryRow extends Record<string, unknown> {
  lsn: number;
  kind: string;
  target: string | null;
  header: string;
  body: Buffer;
  checksum: number;
  batch: string;
  at: number;
}

/** Appends over a pool of exactly one connection, so that a warning can be told apart from other work's. */
export class PostgresAppendStore implements AppendStore {
  readonly #database: Database;
  readonly #logId: () => string;
  readonly #takeWarning: () => string | null;

  /** `takeWarning` returns and forgets the last WARNING the connection received. */
  constructor(database: Database, logId: () => string, takeWarning: () => string | null) {
    this.#database = database;
    this.#logId = logId;
    this.#takeWarning = takeWarning;
  }

  async append(
    token: string,
    drafts: readonly Draft[],
    checksums: readonly number[],
    beforeSend?: () => void,
  ): Promise<Verdict[]> {
    this.#takeWarning();
    const [row] = await this.#database.query<{ results: Verdict[] }>(
      `select ${this.#database.schema}.append($1, $2, $3, $4, $5, $6, $7, $8, $9) as results`,
      [
        token,
        this.#logId(),
        drafts.map((draft) => draft.kind),
        drafts.map((draft) => draft.target),
        drafts.map((draft) => draft.header),
        drafts.map((draft) => draft.dimension),
        checksums,
        drafts.map((draft) => draft.body.length),
        drafts.length === 1 ? (drafts[0] as Draft).body : Buffer.concat(drafts.map((draft) => draft.body)),
      ],
      'append',
      beforeSend,
    );
    const warning = this.#takeWarning();
    // A cancelled wait for a synchronous standby is only a WARNING: the commit may exist on this server alone.
    if (warning !== null) throw new Error(`The append was committed with a warning: ${warning}`);
    return (row as { results: Verdict[] }).results;
  }

  hadNoEffect(error: unknown): boolean {
    return isServerRefusal(error) || error instanceof NotConnected;
  }

  isAboutContent(error: unknown): boolean {
    // Class 22, data exception: such as a NUL in text, which jsonb cannot hold.
    return isServerRefusal(error) && error.code?.startsWith('22') === true;
  }
}

export class PostgresLog {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async head(): Promise<Head> {
    const [row] = await this.#database.query(
      `select log_id as "logId", cluster, lsn, trimmed, view, primary_node as primary,
              primary_generation as "primaryGeneration"
       from ${this.#database.schema}.head`,
      [],
      'head',
    );
    return row as unknown as Head;
  }

  /**
   * Entries after `after`, contiguous, in LSN order: at most `entriesMax`, and no more than one beyond `bytesMax`.
   * Throws LogDamaged when a checksum does not match or an entry is missing between others.
   */
  async read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]> {
    // octet_length of an external value reads no value, so the bound costs nothing.
    const rows = await this.#database.query<EntryRow>(
      `select lsn, kind, target, header, body, checksum, batch, at from (
         select lsn, kind, target, header, body, checksum, batch,
                floor(extract(epoch from appended_at) * 1000)::bigint as at,
                sum(octet_length(body)) over (order by lsn) - octet_length(body) as before
         from ${this.#database.schema}.log where lsn > $1 and lsn <= $1 + $2
       ) x where before < $3 order by lsn`,
      [after, entriesMax, bytesMax],
      'read_log',
    );
    return rows.map((row, index) => verified(row, after + 1 + index));
  }

  /** Deletes whole partitions of entries up to `upTo`; returns the LSN up to which the log is now gone. */
  async trim(upTo: number): Promise<number> {
    const s = this.#database.schema;
    const partitions = await this.#database.query<{ name: string; end: number }>(
      `select c.relname as name,
              (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''?([0-9]+)'))[1]::bigint as end
       from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = '${s}.log'::regclass`,
    );
    const gone = partitions.filter((partition) => partition.end - 1 <= upTo).sort((a, b) => a.end - b.end);
    for (const partition of gone) {
      await this.#database.transaction(async (query) => {
        await query(`update ${s}.head set trimmed = greatest(trimmed, $1)`, [partition.end - 1]);
        await query(`drop table ${s}."${partition.name}"`);
        await query(`delete from ${s}.decision where lsn < $1`, [partition.end]);
      });
    }
    return (await this.head()).trimmed;
  }
}

function verified(row: EntryRow, expectedLSN: number): Entry {
  if (row.lsn !== expectedLSN)
    throw new LogDamaged(expectedLSN, `the entry is missing, LSN ${row.lsn} follows`);
  if (checksum(row) !== row.checksum) throw new LogDamaged(row.lsn, 'its checksum does not match');
  const { lsn, kind, target, header, body, batch, at } = row;
  return { lsn, kind, target, header, body, batch, appendedAt: at };
}

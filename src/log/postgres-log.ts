// The log in PostgreSQL: append through one server-side function, read in LSN order, trim by partition.

import { isServerRefusal, NotConnected, type Database } from '../postgres/database.ts';
import { LongValue } from '../postgres/long-value.ts';
import type { AppendStore } from './appender.ts';
import { checksum, LogDamaged, LogTrimmed, type Draft, type Entry, type AppendResult } from './entry.ts';

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

export interface Partition {
  readonly name: string;
  /** LSN of the last entry it has room for. */
  readonly last: number;
  readonly bytes: number;
  /** How long ago its last entry was appended; null while it still has room. */
  readonly ageMs: number | null;
}

// Some seconds of a busy log's batches at a time, so that the statement is short.
const FORGOTTEN_MAX = 50_000;
// Up to here bodies are put together into one value; longer ones are not copied.
const COPIED_BYTES_MAX = 256 * 1024;
// A body comes as hexadecimal text, twice its size, of which pg holds one copy as it arrives and one as a string: larger
// ones are read in parts of this size.
const PART_BYTES = 1024 * 1024;

interface EntryRow extends Record<string, unknown> {
  lsn: number;
  kind: string;
  target: string | null;
  header: string;
  /** Null when it is read in parts. */
  body: Buffer | null;
  bytes: number;
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
  ): Promise<AppendResult[]> {
    this.#takeWarning();
    const [row] = await this.#database.query<{ results: AppendResult[] }>(
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
        together(drafts.map((draft) => draft.body)),
      ],
      'append',
      beforeSend,
    );
    const warning = this.#takeWarning();
    // A cancelled wait for a synchronous standby is only a WARNING: the commit may exist on this server alone.
    if (warning !== null) throw new Error(`The append was committed with a warning: ${warning}`);
    return (row as { results: AppendResult[] }).results;
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
   * They end before a damaged one; throws LogDamaged when that is the first, LogTrimmed when the first is gone.
   */
  async read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]> {
    // octet_length of an external value reads no value, so the bound costs nothing.
    const rows = await this.#database.query<EntryRow>(
      `select lsn, kind, target, header, case when bytes <= $4 then body end as body, bytes, checksum, batch, at from (
         select lsn, kind, target, header, body, octet_length(body) as bytes, checksum, batch,
                floor(extract(epoch from appended_at) * 1000)::bigint as at,
                sum(octet_length(body)) over (order by lsn) - octet_length(body) as before
         from ${this.#database.schema}.log where lsn > $1 and lsn <= $1 + $2
       ) x where before < $3 order by lsn`,
      [after, entriesMax, bytesMax, PART_BYTES],
      'read_log',
    );
    const entries: Entry[] = [];
    for (const row of rows) {
      const entry = await this.#entryOf(row, after + 1 + entries.length);
      if (!(entry instanceof LogDamaged)) entries.push(entry);
      else if (entries.length > 0) break;
      else throw await this.#trimmedOr(after, entry);
    }
    if (entries.length > 0) return entries;
    const missing = new LogDamaged(after + 1, 'it is missing at the end');
    const error = await this.#trimmedOr(after, missing);
    if (error !== missing || (await this.head()).lsn > after) throw error;
    return [];
  }

  async #entryOf(row: EntryRow, expectedLSN: number): Promise<Entry | LogDamaged> {
    const { lsn, kind, target, header, batch, at } = row;
    if (lsn !== expectedLSN) return new LogDamaged(expectedLSN, `the entry is missing, LSN ${lsn} follows`);
    const body = row.body ?? (await this.#inParts(lsn, row.bytes));
    if (body === null || checksum({ kind, target, header, body }) !== row.checksum)
      return new LogDamaged(lsn, 'its checksum does not match');
    return { lsn, kind, target, header, body, batch, appendedAt: at };
  }

  /** A long body; null when it is not there, or not as long, any more. */
  async #inParts(lsn: number, bytes: number): Promise<Buffer | null> {
    const body = Buffer.allocUnsafeSlow(bytes);
    for (let at = 0; at < bytes;) {
      const [row] = await this.#database.query<{ part: Buffer }>(
        `select substring(body from $2 for $3) as part from ${this.#database.schema}.log where lsn = $1`,
        [lsn, at + 1, PART_BYTES],
        'read_part',
      );
      if (row === undefined || row.part.length === 0) return null;
      at += row.part.copy(body, at);
    }
    return body;
  }

  /** Asked after the entries: an entry trimmed before they were read has moved `trimmed` before. */
  async #trimmedOr(after: number, damage: LogDamaged): Promise<Error> {
    const { trimmed } = await this.head();
    return trimmed > after ? new LogTrimmed(after, trimmed) : damage;
  }

  /** What the log consists of, oldest first. */
  async partitions(): Promise<Partition[]> {
    const s = this.#database.schema;
    // A partition's last entry is missing while it is still being filled.
    return (await this.#database.query(
      `select p.name, p.next - 1 as last, p.bytes,
              (select extract(epoch from clock_timestamp() - l.appended_at) * 1000
               from ${s}.log l where l.lsn = p.next - 1)::float8 as "ageMs"
       from (select c.relname as name, pg_total_relation_size(c.oid) as bytes,
               (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''?([0-9]+)'))[1]::bigint as next
             from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = '${s}.log'::regclass) p
       order by p.next`,
    )) as unknown as Partition[];
  }

  /**
   * Deletes whole partitions of entries up to `upTo`; returns the LSN up to which the log is now gone. Throws when the
   * lease has moved on.
   */
  async trim(upTo: number, epoch: number): Promise<number> {
    const s = this.#database.schema;
    const gone = (await this.partitions()).filter(({ last }) => last <= upTo);
    for (const { name, last } of gone) {
      await this.#database.transaction(async (query) => {
        // Dropping waits for whoever reads the log, and meanwhile every append waits behind it: rather another time.
        await query(`set local lock_timeout = '500ms'`);
        // The head row first, as appends do, so that neither waits for the other in turn.
        const held = await query(
          `update ${s}.head set trimmed = greatest(trimmed, $1)
           where exists (select from ${s}.lease where epoch = $2 for share) returning trimmed`,
          [last, epoch],
        );
        if (held.length === 0) throw new Error('the log was not trimmed: the lease has moved on');
        await query(`drop table ${s}."${name}"`);
        for (const table of ['decision', 'decision_page', 'entry_attempt'])
          await query(`delete from ${s}.${table} where lsn <= $1`, [last]);
      });
    }
    return (await this.head()).trimmed;
  }

  /** Forgets what batches older than this answered; whoever asks again for one must have given up before. */
  async forgetBatches(olderThanMs: number): Promise<void> {
    const s = this.#database.schema;
    await this.#database.query(
      `delete from ${s}.append_batch where token in (
         select token from ${s}.append_batch where appended_at < clock_timestamp() - $1 * interval '1 ms'
         order by appended_at limit ${FORGOTTEN_MAX})`,
      [olderThanMs],
    );
  }
}

/** The bodies as one value. */
function together(bodies: readonly Buffer[]): Buffer | LongValue {
  const value = new LongValue(bodies);
  return value.byteLength > COPIED_BYTES_MAX ? value : Buffer.concat(bodies);
}

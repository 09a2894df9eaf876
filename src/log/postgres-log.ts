// The log in PostgreSQL: reads entries in LSN order, trims whole partitions, forgets the results of old batches.

import type { Database } from '../postgres/database.ts';
import { checksum, LogDamaged, LogTrimmed, RECORD_KINDS, type Entry } from './entry.ts';
import type { EntryChange } from './log-feed.ts';

export interface Head {
  /** Identity of this log: a marker or memory of another log means nothing here. */
  readonly logId: string;
  readonly cluster: string;
  readonly lsn: number;
  readonly trimmed: number;
  /** The log holds every entry that ever changed the content: a node can be filled from it alone. */
  readonly isComplete: boolean;
  readonly view: number;
  readonly primary: string | null;
  readonly primaryGeneration: number;
}

/** The last changes of the log at one moment. What it names is never too low, and at worst higher than necessary. */
export interface LastChanges {
  /** LSN of the last change of collections, databases and tenants. */
  readonly schema: number;
  /** LSN of the last entry of each of the shards that changed last. */
  readonly shards: ReadonlyMap<string, number>;
  /** No other shard has a later entry. */
  readonly otherShards: number;
}

/** What is listed of an entry: everything but its content. */
export interface EntrySummary {
  readonly lsn: number;
  readonly kind: string;
  /** Shard of a record entry, collection of a schema entry. */
  readonly target: string | null;
  readonly bytes: number;
  readonly appendedAt: Date;
  /** Of entries that a node decides; null while undecided, and for other entries. */
  readonly outcome: string | null;
}

export interface Partition {
  readonly name: string;
  /** LSN of the last entry it can hold. */
  readonly last: number;
  readonly bytes: number;
  /** Time since its last entry was appended; null while it is not full. */
  readonly ageMs: number | null;
}

// About half a megabyte; reads of shards that changed earlier require what the first of these require.
const CHANGED_SHARDS_MAX = 10_000;
// Read backwards from the head: some ten milliseconds when none of them changes the schema.
const SCHEMA_WINDOW = 10_000;
// Some seconds of a busy log's batches at a time, so that the statement is short.
const FORGOTTEN_MAX = 50_000;
// pg receives a body as hexadecimal text, twice its size, and holds it as bytes and as a string at the same time; longer
// bodies are therefore read in parts of this size.
const PART_BYTES = 1024 * 1024;

interface EntryRow extends Record<string, unknown> {
  lsn: number;
  kind: string;
  target: string | null;
  header: string;
  /** Null when the body is too long and is read in parts. */
  body: Buffer | null;
  bytes: number;
  checksum: number;
  batch: string;
  at: number;
}

export type ParseEntries = (entries: readonly Entry[]) => Promise<Entry[]>;

export class PostgresLog {
  readonly #database: Database;
  readonly #parse: ParseEntries;

  /** `parse`: adds the parsed bodies to entries that were read. */
  constructor(database: Database, parse: ParseEntries = (entries) => Promise.resolve([...entries])) {
    this.#database = database;
    this.#parse = parse;
  }

  async head(): Promise<Head> {
    const [row] = await this.#database.query(
      `select log_id as "logId", cluster, lsn, trimmed, log_complete and trimmed = 0 as "isComplete", view, primary_node as primary,
              primary_generation as "primaryGeneration"
       from ${this.#database.schema}.head`,
      [],
    );
    return row as unknown as Head;
  }

  /** What reads must reflect to see everything that has been acknowledged. */
  async lastChanges(): Promise<LastChanges> {
    const s = this.#database.schema;
    const [row] = await this.#database.query<{ schema: number; shards: { id: string; lsn: number }[] }>(
      `select (select coalesce(max(lsn), greatest(h.lsn - $1, 0)) from ${s}.log
                 where lsn > h.lsn - $1 and not kind = any($2::text[])) as schema,
              (select coalesce(json_agg(json_build_object('id', id, 'lsn', last_lsn) order by last_lsn desc), '[]')
                 from (select id, last_lsn from ${s}.shard order by last_lsn desc limit $3) x) as shards
       from ${s}.head h`,
      [SCHEMA_WINDOW, RECORD_KINDS, CHANGED_SHARDS_MAX],
    );
    const { schema, shards } = row as { schema: number; shards: { id: string; lsn: number }[] };
    const otherShards = shards.length < CHANGED_SHARDS_MAX ? 0 : (shards.at(-1)?.lsn ?? 0);
    return { schema, otherShards, shards: new Map(shards.toReversed().map(({ id, lsn }) => [id, lsn])) };
  }

  /** The head of the log and of these shards, at one moment. A shard that does not exist is left out. */
  async positions(shards: readonly string[]): Promise<{ head: number; shards: Map<string, number> }> {
    const s = this.#database.schema;
    const [row] = await this.#database.query<{ head: number; shards: Record<string, number> }>(
      `select h.lsn as head, (select coalesce(json_object_agg(id, last_lsn), '{}') from ${s}.shard
         where id = any($1::uuid[])) as shards from ${s}.head h`,
      [shards],
    );
    const { head, shards: found } = row as { head: number; shards: Record<string, number> };
    return { head, shards: new Map(Object.entries(found)) };
  }

  /**
   * Entries after `after`, contiguous, in LSN order: at most `entriesMax`, exceeding `bytesMax` by at most one entry.
   * They end before a damaged entry. Throws LogDamaged when the first is damaged, LogTrimmed when it was trimmed.
   */
  async read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]> {
    // octet_length of a value stored out of line does not read the value, so this bound is free.
    const rows = await this.#database.query<EntryRow>(
      `select lsn, kind, target, header, case when bytes <= $4 then body end as body, bytes, checksum, batch, at from (
         select lsn, kind, target, header, body, octet_length(body) as bytes, checksum, batch,
                floor(extract(epoch from appended_at) * 1000)::bigint as at,
                sum(octet_length(body)) over (order by lsn) - octet_length(body) as before
         from ${this.#database.schema}.log where lsn > $1 and lsn <= $1 + $2
       ) x where before < $3 order by lsn`,
      [after, entriesMax, bytesMax, PART_BYTES],
    );
    const entries: Entry[] = [];
    for (const row of rows) {
      const entry = await this.#entryOf(row, after + 1 + entries.length);
      if (!(entry instanceof LogDamaged)) entries.push(entry);
      else if (entries.length > 0) break;
      else throw await this.#trimmedOr(after, entry);
    }
    if (entries.length > 0) return this.#parse(entries);
    const missing = new LogDamaged(after + 1, 'the entry is missing although the head is beyond it');
    const error = await this.#trimmedOr(after, missing);
    if (error !== missing || (await this.head()).lsn > after) throw error;
    return [];
  }

  /** Which shards and collections the entries after `after` change, up to `upTo`, in LSN order. */
  async changes(after: number, upTo: number): Promise<EntryChange[]> {
    return (await this.#database.query(
      `select lsn, kind, target from ${this.#database.schema}.log where lsn > $1 and lsn <= $2 order by lsn`,
      [after, upTo],
    )) as unknown as EntryChange[];
  }

  /** LSNs of the entries with this target after `after`, in their order: at most `max`. */
  async lsnsOf(target: string, after: number, max: number): Promise<number[]> {
    const rows = await this.#database.query<{ lsn: number }>(
      `select lsn from ${this.#database.schema}.log where target = $1 and lsn > $2 order by lsn limit $3`,
      [target, after, max],
    );
    return rows.map(({ lsn }) => lsn);
  }

  /** Entries after `after` in LSN order, or the newest ones, at most `limit`. */
  async summaries(after: number | null, limit: number): Promise<EntrySummary[]> {
    const s = this.#database.schema;
    const from = after ?? (await this.head()).lsn - limit;
    return (await this.#database.query(
      `select l.lsn, l.kind, l.target, octet_length(l.body) as bytes, l.appended_at as "appendedAt", d.outcome
       from ${s}.log l left join ${s}.decision d on d.lsn = l.lsn
       where l.lsn > $1 and l.lsn <= $1 + $2 order by l.lsn`,
      [from, limit],
    )) as unknown as EntrySummary[];
  }

  async #entryOf(row: EntryRow, expectedLSN: number): Promise<Entry | LogDamaged> {
    const { lsn, kind, target, header, batch, at } = row;
    if (lsn !== expectedLSN) return new LogDamaged(expectedLSN, `the entry is missing, LSN ${lsn} follows`);
    const body = row.body ?? (await this.#readInParts(lsn, row.bytes));
    if (body === null || checksum({ kind, target, header, body }) !== row.checksum)
      return new LogDamaged(lsn, 'its checksum does not match');
    return { lsn, kind, target, header, body, batch, appendedAt: at };
  }

  /** A long body; null when its row is gone, or shorter, by now. */
  async #readInParts(lsn: number, bytes: number): Promise<Buffer | null> {
    const body = Buffer.allocUnsafeSlow(bytes);
    for (let at = 0; at < bytes;) {
      const [row] = await this.#database.query<{ part: Buffer }>(
        `select substring(body from $2 for $3) as part from ${this.#database.schema}.log where lsn = $1`,
        [lsn, at + 1, PART_BYTES],
      );
      if (row === undefined || row.part.length === 0) return null;
      at += row.part.copy(body, at);
    }
    return body;
  }

  /** LogTrimmed when the next entry was trimmed before it was read, else `damage`; must be called after that read. */
  async #trimmedOr(after: number, damage: LogDamaged): Promise<Error> {
    const { trimmed } = await this.head();
    return trimmed > after ? new LogTrimmed(after, trimmed) : damage;
  }

  /** The partitions of the log, the oldest first. */
  async partitions(): Promise<Partition[]> {
    const s = this.#database.schema;
    // A partition that is not full has no last entry yet.
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
   * Drops partitions whose entries are all at or below `upTo`; returns the LSN up to which the log is trimmed now.
   * Throws when another gateway holds the lease.
   */
  async trim(upTo: number, epoch: number): Promise<number> {
    const s = this.#database.schema;
    const droppable = (await this.partitions()).filter(({ last }) => last <= upTo);
    for (const { name, last } of droppable) {
      await this.#database.transaction(async (query) => {
        // Dropping waits for readers of the log, and appends queue up behind it: give up early, the next trim repeats it.
        await query(`set local lock_timeout = '500ms'`);
        // The head row first, in the order in which appends lock, so that the two cannot deadlock.
        const updated = await query(
          `update ${s}.head set trimmed = greatest(trimmed, $1)
           where exists (select from ${s}.lease where epoch = $2 for share) returning trimmed`,
          [last, epoch],
        );
        if (updated.length === 0) throw new Error('the log was not trimmed: another gateway holds the lease');
        await query(`drop table ${s}."${name}"`);
        for (const table of ['decision', 'decision_page', 'entry_attempt'])
          await query(`delete from ${s}.${table} where lsn <= $1`, [last]);
      });
    }
    return (await this.head()).trimmed;
  }

  /** Deletes the results of batches older than this; their appenders must have given up before (log/appender.ts). */
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

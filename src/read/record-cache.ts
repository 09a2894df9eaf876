// Caches documents and metadatas of records by id, until an entry invalidates them, so that queries need not fetch them.
//
// A record is cached with `since`: an LSN from which on, up to everything this gateway knows of, no entry has changed it.
// It may complete a response whose node had applied at least that LSN. Every entry is reported here before any node can
// apply it, and removes the records it touches. So a cached record is what the log says for every state in which the
// node can have responded.

import type { FoundRecord, RecordColumn, RecordTexts } from '../chroma/batch/projected-query.ts';
import type { Metric } from '../observability/metrics-registry.ts';
import { LruMap } from '../util/lru-map.ts';
import { mapKey } from '../util/map-key.ts';
import { ShardLSNs } from './shard-lsns.ts';

/** Which records are looked up: those of a response whose node had applied `applied` when it was asked. */
export interface RecordLookup {
  readonly shard: string;
  readonly applied: number;
  readonly columns: readonly RecordColumn[];
}

/** Where records come from: a response asked for in `generation`, whose node had applied `applied` by then. */
export interface RecordSource {
  readonly shard: string;
  readonly applied: number;
  readonly generation: number;
}

interface CachedRecord {
  readonly texts: RecordTexts;
  readonly since: number;
  readonly bytes: number;
  /** Whether it was found since it was cached, or since eviction last spared it. */
  used: boolean;
}

/** Memory of a cached record beyond its texts and key, approximately. */
export const RECORD_OVERHEAD_BYTES = 200;
// Recently changed ids: enough for the entries of the seconds between an append and the last node's response.
const CHANGED_MAX = 16_384;
// Shards whose share of misses is remembered.
const SHARDS_MAX = 1_024;
// Used records spared by one eviction: a bound on how long it holds the event loop.
const SPARED_MAX = 64;
// Rows over which hits and misses are averaged.
const AVERAGED_ROWS = 500;

const keyOf = (shard: string, id: string): string => mapKey(`${shard} ${id}`);

export interface RecordCacheOptions {
  /** 0 disables the cache. */
  readonly bytesMax: number;
  /** LSN of the last entry of each shard. */
  readonly heads: Pick<ShardLSNs, 'get'>;
  /** The log's head when this gateway started. */
  readonly head: number;
  /** False while nodes may apply entries that are not reported here first. */
  readonly isCurrent: () => boolean;
}

export class RecordCache {
  readonly #options: RecordCacheOptions;
  /**
   * Oldest first, but used records get a second chance. Not an LruMap: moving a record on every hit takes twice the
   * time of marking it, and makes a map of 100,000 records rehash for over 20 ms now and then.
   */
  readonly #records = new Map<string, CachedRecord>();
  #bytes = 0;
  /**
   * LSN of the last reported change of a record, the latest change last. Not an LruMap: evicting once per entry, not per
   * id, takes a quarter of the time for entries of a thousand ids.
   */
  readonly #changed = new Map<string, number>();
  /** Up to this LSN there may be changes that #changed does not list. */
  #unreported: number;
  /** LSN of the last entry of each shard that did not say which records it changes. */
  readonly #unlisted = new ShardLSNs(0);
  /** Share of rows that were not cached, by shard. */
  readonly #missShares = new LruMap<string, number>({ weightMax: SHARDS_MAX });
  /** Incremented when everything is dropped: a response asked for before is neither cached nor completed after. */
  generation = 0;
  /** Rows cached or not; queries completed from the cache; shards preloaded. */
  readonly counts = { hits: 0, misses: 0, projected: 0, preloaded: 0 };

  constructor(options: RecordCacheOptions) {
    this.#options = options;
    this.#unreported = options.head;
  }

  get isEnabled(): boolean {
    const { bytesMax, isCurrent } = this.#options;
    return bytesMax > 0 && isCurrent();
  }

  get bytes(): number {
    return this.#bytes;
  }

  get metrics(): readonly Metric[] {
    const { counts } = this;
    const max = this.#options.bytesMax;
    const counter = (name: keyof typeof counts, unit: string, help: string): Metric => ({
      kind: 'counter',
      name,
      help,
      unit,
      read: () => counts[name],
    });
    return [
      {
        kind: 'bound',
        name: 'bytes',
        help: 'Memory of records.',
        unit: 'bytes',
        max,
        read: () => this.bytes,
      },
      counter('hits', 'rows', 'Rows of queries found in the cache.'),
      counter('misses', 'rows', 'Rows of queries not in the cache.'),
      counter('projected', 'queries', 'Queries completed from the cache.'),
      counter('preloaded', 'shards', 'Shards preloaded.'),
    ];
  }

  /** Bytes that can be cached without evicting anything. */
  get bytesFree(): number {
    return this.#options.bytesMax - this.#bytes;
  }

  /** A new entry, before any node can apply it; `ids` null when it does not say which records it changes. */
  changed(shard: string, lsn: number, ids: Iterable<string> | null): void {
    if (this.#options.bytesMax === 0) return;
    if (ids === null) return this.#unlisted.raise(shard, lsn);
    for (const id of ids) {
      const key = keyOf(shard, id);
      this.#remove(key);
      this.#changed.delete(key);
      this.#changed.set(key, lsn);
    }
    for (const [key, oldest] of this.#changed) {
      if (this.#changed.size <= CHANGED_MAX) break;
      this.#changed.delete(key);
      this.#unreported = Math.max(this.#unreported, oldest);
    }
  }

  /** There are entries up to `lsn` that were not reported here. */
  unseen(lsn: number): void {
    this.#unreported = Math.max(this.#unreported, lsn);
    this.clear();
  }

  /** What the record certainly was in the state that the node responded from; null when that is not known. */
  find(id: string, { shard, applied, columns }: RecordLookup): RecordTexts | null {
    const record = this.#records.get(keyOf(shard, id));
    if (record === undefined || record.since > applied || record.since < this.#unlisted.get(shard))
      return null;
    for (const column of columns) if (record.texts[column] === undefined) return null;
    record.used = true;
    return record.texts;
  }

  /** Caches a record of a response, unless an entry may have changed it since. */
  store({ id, ...texts }: FoundRecord, { shard, applied, generation }: RecordSource): void {
    if (generation !== this.generation || !this.isEnabled) return;
    const key = keyOf(shard, id);
    const before = this.#records.get(key);
    const unlisted = this.#unlisted.get(shard);
    const since =
      before !== undefined && before.since >= unlisted ? before.since : this.#since(key, shard, unlisted);
    if (since > applied) return;
    const merged = before !== undefined && before.since === since ? { ...before.texts, ...texts } : texts;
    const { documents = '', metadatas = '' } = merged;
    const bytes = key.length + documents.length + metadatas.length + RECORD_OVERHEAD_BYTES;
    this.#remove(key);
    this.#records.set(key, { texts: merged, since, bytes, used: false });
    this.#bytes += bytes;
    this.#evict();
  }

  /** Expected share of a shard's rows that are not cached. */
  missShare(shard: string): number {
    return this.isEnabled ? (this.#missShares.peek(shard) ?? 1) : 1;
  }

  /** Learns from a response of so many rows, of which so many were not cached. */
  countRows(shard: string, rows: number, misses: number): void {
    if (rows === 0) return;
    this.counts.hits += rows - misses;
    this.counts.misses += misses;
    const before = this.#missShares.peek(shard) ?? 1;
    this.#missShares.set(shard, before + (misses / rows - before) * Math.min(1, rows / AVERAGED_ROWS));
  }

  /** All records of the shard have just been stored. */
  preloaded(shard: string): void {
    this.counts.preloaded += 1;
    if (this.#missShares.has(shard)) this.#missShares.set(shard, 0);
  }

  /** Drops everything: some content was suspect, or entries were not reported here. */
  clear(): void {
    this.generation += 1;
    this.#records.clear();
    this.#bytes = 0;
  }

  /** LSN of the last entry that may have changed the record: an unreported change may be later than a reported one. */
  #since(key: string, shard: string, unlisted: number): number {
    const unreported = Math.min(this.#unreported, this.#options.heads.get(shard));
    return Math.max(unlisted, unreported, this.#changed.get(key) ?? 0);
  }

  #evict(): void {
    let spared = 0;
    for (const [key, record] of this.#records) {
      if (this.#bytes <= this.#options.bytesMax) return;
      this.#remove(key);
      if (!record.used || spared === SPARED_MAX) continue;
      spared += 1;
      // A second chance, as the newest.
      this.#records.set(key, { ...record, used: false });
      this.#bytes += record.bytes;
    }
  }

  #remove(key: string): void {
    const record = this.#records.get(key);
    if (record === undefined) return;
    this.#records.delete(key);
    this.#bytes -= record.bytes;
  }
}

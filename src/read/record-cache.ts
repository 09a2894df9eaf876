// Documents and metadatas of records, kept by id while they are the truth, so that queries need not ask for them again.
//
// A record is kept with `since`: an LSN from which on, up to everything this gateway knows of, nothing has changed it.
// It may complete an answer whose node had applied at least that much. Every entry is made known here before any node
// can apply it, and drops what it touches: so what is kept was the truth whenever between the two the node answered.

import type { RecordColumn, RecordTexts } from '../chroma/batch/projected-query.ts';
import { mapKey } from '../util/map-key.ts';
import { ShardLSNs } from './shard-lsns.ts';

interface Kept {
  readonly texts: RecordTexts;
  readonly since: number;
  readonly bytes: number;
  /** Since it was last passed over by eviction. */
  used: boolean;
}

/** What a record costs beside its texts and key, about. */
export const RECORD_OVERHEAD_BYTES = 200;
// Ids changed of late: enough for the entries of the seconds between an append and the last node's answer.
const TOUCHED_MAX = 16_384;
// Shards whose hits are reckoned.
const SHARDS_MAX = 1_024;
// Records passed over by one eviction, at most: it must not hold up everybody.
const CHANCES_MAX = 64;
// Rows over which hits and misses are averaged.
const AVERAGED_ROWS = 500;

const keyOf = (shard: string, id: string): string => mapKey(`${shard} ${id}`);

export interface RecordCacheOptions {
  /** 0 turns it off. */
  readonly bytesMax: number;
  /** LSN of the last entry of each shard. */
  readonly heads: Pick<ShardLSNs, 'get'>;
  /** What the log held before this process saw it. */
  readonly head: number;
  /** False while nodes may apply what is not made known here first. */
  readonly isTold: () => boolean;
}

export class RecordCache {
  readonly #options: RecordCacheOptions;
  /** Oldest first, but for what is passed over because it was used. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  /** LSN of the last change of a record; what changed last stands last. */
  readonly #touched = new Map<string, number>();
  /** Up to here changes may have happened that #touched does not tell of. */
  #untold: number;
  /** LSN of the last entry of each shard that did not say which records it changes. */
  readonly #unlisted = new ShardLSNs(0);
  /** Share of rows that were not known, by shard. */
  readonly #missing = new Map<string, number>();
  /** Raised whenever everything is forgotten: what was asked for before is not kept, nor completed, after. */
  generation = 0;
  /** Rows that were known, or not; queries that were completed with them; shards that were read ahead. */
  readonly counts = { hits: 0, misses: 0, lean: 0, ahead: 0 };

  constructor(options: RecordCacheOptions) {
    this.#options = options;
    this.#untold = options.head;
  }

  get enabled(): boolean {
    const { bytesMax, isTold } = this.#options;
    return bytesMax > 0 && isTold();
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that can be kept without anything being dropped for them. */
  get room(): number {
    return this.#options.bytesMax - this.#bytes;
  }

  /** A new entry, before anybody can apply it; `ids` null when it does not say which records it changes. */
  changed(shard: string, lsn: number, ids: readonly string[] | null): void {
    if (this.#options.bytesMax === 0) return;
    if (ids === null) return this.#unlisted.raise(shard, lsn);
    for (const id of ids) {
      const key = keyOf(shard, id);
      this.#drop(key);
      this.#touched.delete(key);
      this.#touched.set(key, lsn);
    }
    for (const [key, oldest] of this.#touched) {
      if (this.#touched.size <= TOUCHED_MAX) break;
      this.#touched.delete(key);
      this.#untold = Math.max(this.#untold, oldest);
    }
  }

  /** There are entries up to `lsn` that were not made known here. */
  unseen(lsn: number): void {
    this.#untold = Math.max(this.#untold, lsn);
    this.clear();
  }

  /** What the record certainly was for a node that had applied `applied` when it was asked; null when not known. */
  find(shard: string, id: string, applied: number, columns: readonly RecordColumn[]): RecordTexts | null {
    const kept = this.#kept.get(keyOf(shard, id));
    if (kept === undefined || kept.since > applied || kept.since < this.#unlisted.get(shard)) return null;
    for (const column of columns) if (kept.texts[column] === undefined) return null;
    kept.used = true;
    return kept.texts;
  }

  /** Keeps what a node that had applied `applied` answered, asked for in `generation`. */
  keep(shard: string, id: string, texts: RecordTexts, applied: number, generation: number): void {
    if (generation !== this.generation || !this.enabled) return;
    const key = keyOf(shard, id);
    const before = this.#kept.get(key);
    const unlisted = this.#unlisted.get(shard);
    const since =
      before !== undefined && before.since >= unlisted ? before.since : this.#since(key, shard, unlisted);
    if (since > applied) return;
    const merged = before !== undefined && before.since === since ? { ...before.texts, ...texts } : texts;
    const { documents = '', metadatas = '' } = merged;
    const bytes = key.length + documents.length + metadatas.length + RECORD_OVERHEAD_BYTES;
    this.#drop(key);
    this.#kept.set(key, { texts: merged, since, bytes, used: false });
    this.#bytes += bytes;
    this.#evict();
  }

  /** Share of a shard's rows that will probably be missing. */
  missing(shard: string): number {
    return this.enabled ? (this.#missing.get(shard) ?? 1) : 1;
  }

  /** Learns how many of `rows` were missing. */
  counted(shard: string, rows: number, misses: number): void {
    if (rows === 0) return;
    this.counts.hits += rows - misses;
    this.counts.misses += misses;
    const before = this.#missing.get(shard) ?? 1;
    this.#missing.delete(shard);
    this.#missing.set(shard, before + (misses / rows - before) * Math.min(1, rows / AVERAGED_ROWS));
    if (this.#missing.size > SHARDS_MAX) this.#missing.delete(this.#missing.keys().next().value as string);
  }

  /** All of a shard's records are known, as far as can be told. */
  readThrough(shard: string): void {
    this.counts.ahead += 1;
    if (this.#missing.has(shard)) this.#missing.set(shard, 0);
  }

  /** Forgets everything: some content was in doubt, or others may have changed it. */
  clear(): void {
    this.generation += 1;
    this.#kept.clear();
    this.#bytes = 0;
  }

  /** LSN of the last entry that may have changed the record; one nobody told of may be later than one that was. */
  #since(key: string, shard: string, unlisted: number): number {
    const untold = Math.min(this.#untold, this.#options.heads.get(shard));
    return Math.max(unlisted, untold, this.#touched.get(key) ?? 0);
  }

  #evict(): void {
    let chances = CHANCES_MAX;
    for (const [key, kept] of this.#kept) {
      if (this.#bytes <= this.#options.bytesMax) return;
      this.#drop(key);
      if (!kept.used || --chances < 0) continue;
      // A second chance, as the youngest.
      this.#kept.set(key, { ...kept, used: false });
      this.#bytes += kept.bytes;
    }
  }

  #drop(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#kept.delete(key);
    this.#bytes -= kept.bytes;
  }
}

// Reads a shard's documents and metadatas through once, in the background, when queries keep finding records that are
// not known and there is room to keep all of them: from then on even a lone query need not ask for them.

import { recordsGot, type RecordColumn } from '../chroma/batch/projected-query.ts';
import { recordsPath } from '../chroma/protocol/paths.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { ReadTarget } from './coalescer.ts';
import { readWhole, recordsRead, type Reader } from './reader.ts';
import { RECORD_OVERHEAD_BYTES, type RecordCache } from './record-cache.ts';

export interface ReadAheadOptions {
  readonly reader: Pick<Reader, 'read' | 'whole'>;
  readonly records: RecordCache;
  readonly clock: Clock;
  /** Aborts when no more is to be read. */
  readonly stopped: AbortSignal;
}

interface Shard {
  /** Unknown rows found since it was last read through. */
  missed: number;
  /** Not again before this moment, clock.monotonic() ms. */
  notBefore: number;
}

// Fewer may be all that anybody wants of the shard.
const MISSED_ROWS = 500;
// A page keeps a server, and then the event loop, busy for some milliseconds.
const PAGE_BYTES = 128 * 1024;
const PAGE_ROWS_FIRST = 50;
const PAGE_ROWS_MAX = 500;
// What changes all the time, or does not fit, is tried again now and then; with the pauses between pages, reading takes
// a fortieth of a server's time at most.
const AGAIN_MS = 60_000;
const AGAIN_TIMES = 20;
// As many shards as the cache reckons with.
const SHARDS_MAX = 1_024;

export class ReadAhead {
  readonly #options: ReadAheadOptions;
  readonly #shards = new Map<string, Shard>();
  #reading = false;

  constructor(options: ReadAheadOptions) {
    this.#options = options;
  }

  /** A query found `rows` rows whose `columns` were not known; may begin to read, one shard at a time. */
  missed(target: ReadTarget, columns: readonly RecordColumn[], rows: number): void {
    const { clock } = this.#options;
    const shard = this.#shards.get(target.shard) ?? { missed: 0, notBefore: 0 };
    shard.missed += rows;
    this.#shards.delete(target.shard);
    this.#shards.set(target.shard, shard);
    if (this.#shards.size > SHARDS_MAX) this.#shards.delete(this.#shards.keys().next().value as string);
    const startedAt = clock.monotonic();
    if (this.#reading || shard.missed < MISSED_ROWS || startedAt < shard.notBefore) return;
    this.#reading = true;
    // What cannot be read now is asked for by the queries that need it.
    void this.#readThrough(target, columns)
      .catch(() => undefined)
      .finally(() => {
        this.#reading = false;
        shard.missed = 0;
        const now = clock.monotonic();
        shard.notBefore = now + Math.max(AGAIN_MS, AGAIN_TIMES * (now - startedAt));
      });
  }

  async #readThrough(target: ReadTarget, columns: readonly RecordColumn[]): Promise<void> {
    const { records, clock, stopped } = this.#options;
    const { generation } = records;
    const isOver = (): boolean => stopped.aborted || generation !== records.generation || !records.enabled;
    const count = await this.#count(target);
    let bytes = 0;
    let read = 0;
    for (let rows = PAGE_ROWS_FIRST; ;) {
      const startedAt = clock.monotonic();
      const page = await this.#page(target, columns, { limit: rows, offset: read });
      if (page === null || isOver()) return;
      for (const { id, ...texts } of page.found) {
        records.keep(target.shard, id, texts, page.applied, generation);
      }
      bytes += page.bytes;
      read += page.found.length;
      if (page.found.length < rows) return records.readThrough(target.shard);
      const each = bytes / read;
      rows = Math.max(1, Math.min(PAGE_ROWS_MAX, Math.floor(PAGE_BYTES / each)));
      // Also when there are more by now than were counted.
      const left = Math.max(rows, count - read);
      if (left * (each + RECORD_OVERHEAD_BYTES) > records.room) return;
      // Others have their turn for as long.
      await sleep(clock, clock.monotonic() - startedAt, stopped);
    }
  }

  async #count({ shard, collection }: ReadTarget): Promise<number> {
    const path = (physical: string): string => recordsPath(collection, physical, 'count');
    const { reader, stopped } = this.#options;
    const wanted = { shard, floor: 0, sticky: true };
    return Number(await reader.whole(wanted, { method: 'GET', path }, stopped));
  }

  async #page({ shard, collection }: ReadTarget, include: readonly RecordColumn[], page: object) {
    const read = recordsRead(collection, 'get', [Buffer.from(JSON.stringify({ ...page, include }))]);
    const { reader, stopped } = this.#options;
    const whole = await readWhole(reader, { shard, floor: 0, sticky: true }, read, stopped);
    const found = whole === null ? null : recordsGot(whole.body);
    if (whole === null || found === null) return null;
    return { found, applied: whole.applied, bytes: whole.body.length };
  }
}

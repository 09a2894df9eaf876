// Preloads a shard's documents and metadatas in the background when queries keep missing them and all of them fit into the
// record cache: from then on even a single query can be projected.

import {
  recordsInGetResponse,
  type FoundRecord,
  type RecordColumn,
} from '../chroma/batch/projected-query.ts';
import { recordsPath } from '../chroma/protocol/paths.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { LruMap } from '../util/lru-map.ts';
import type { ReadTarget } from './coalescer.ts';
import { readBuffered, recordsRead, type Reader } from './reader.ts';
import { RECORD_OVERHEAD_BYTES, type RecordCache } from './record-cache.ts';

export interface PreloaderOptions {
  readonly reader: Pick<Reader, 'read' | 'readBody'>;
  readonly records: RecordCache;
  readonly clock: Clock;
  /** Aborts when nothing more is to be read. */
  readonly stopped: AbortSignal;
}

interface ShardMisses {
  /** Rows that were not cached, since the shard was last preloaded. */
  missed: number;
  /** Not preloaded again before this moment, clock.monotonic() ms. */
  notBefore: number;
}

interface RecordPage {
  readonly found: readonly FoundRecord[];
  readonly applied: number;
  readonly bytes: number;
}

// With fewer misses, clients may never want the rest of the shard.
const MISSED_ROWS = 500;
// A page occupies a server, and then the event loop, for some milliseconds.
const PAGE_BYTES = 128 * 1024;
const PAGE_ROWS_FIRST = 50;
const PAGE_ROWS_MAX = 500;
// A shard that changes all the time, or does not fit, is tried again now and then. With the pauses between pages,
// preloading takes at most a fortieth of a server's time.
const RETRY_MS = 60_000;
const RETRY_TIMES = 20;
// As many shards as the record cache remembers.
const SHARDS_MAX = 1_024;

export class Preloader {
  readonly #options: PreloaderOptions;
  readonly #shards = new LruMap<string, ShardMisses>({ weightMax: SHARDS_MAX });
  #isPreloading = false;

  constructor(options: PreloaderOptions) {
    this.#options = options;
  }

  /** A query returned `rows` rows whose `columns` were not cached. Starts preloading, of one shard at a time, if due. */
  reportMisses(target: ReadTarget, columns: readonly RecordColumn[], rows: number): void {
    const { clock } = this.#options;
    const misses = this.#shards.get(target.shard) ?? { missed: 0, notBefore: 0 };
    misses.missed += rows;
    this.#shards.set(target.shard, misses);
    const startedAt = clock.monotonic();
    if (this.#isPreloading || misses.missed < MISSED_ROWS || startedAt < misses.notBefore) return;
    this.#isPreloading = true;
    // Queries fetch what could not be preloaded.
    void this.#preload(target, columns)
      .catch(() => undefined)
      .finally(() => {
        this.#isPreloading = false;
        misses.missed = 0;
        const now = clock.monotonic();
        misses.notBefore = now + Math.max(RETRY_MS, RETRY_TIMES * (now - startedAt));
      });
  }

  async #preload(target: ReadTarget, columns: readonly RecordColumn[]): Promise<void> {
    const { records, clock, stopped } = this.#options;
    const { generation } = records;
    const isOver = (): boolean => stopped.aborted || generation !== records.generation || !records.isEnabled;
    const count = await this.#count(target);
    let bytes = 0;
    let read = 0;
    for (let rows = PAGE_ROWS_FIRST; ;) {
      const startedAt = clock.monotonic();
      const page = await this.#readPage(target, columns, { limit: rows, offset: read });
      if (page === null || isOver()) return;
      const source = { shard: target.shard, applied: page.applied, generation };
      for (const record of page.found) records.store(record, source);
      bytes += page.bytes;
      read += page.found.length;
      if (page.found.length < rows) return records.preloaded(target.shard);
      const rowBytes = bytes / read;
      rows = Math.max(1, Math.min(PAGE_ROWS_MAX, Math.floor(PAGE_BYTES / rowBytes)));
      // There may be more records by now than were counted.
      const rowsLeft = Math.max(rows, count - read);
      if (rowsLeft * (rowBytes + RECORD_OVERHEAD_BYTES) > records.bytesFree) return;
      // Leaves the node to clients for as long as the page took.
      await sleep(clock, clock.monotonic() - startedAt, stopped);
    }
  }

  async #count({ shard, collection }: ReadTarget): Promise<number> {
    const path = (physicalId: string): string => recordsPath(collection, physicalId, 'count');
    const { reader, stopped } = this.#options;
    const requirements = { shard, floor: 0, sticky: true };
    return Number(await reader.readBody(requirements, { method: 'GET', path }, stopped));
  }

  async #readPage(
    { shard, collection }: ReadTarget,
    include: readonly RecordColumn[],
    range: { readonly limit: number; readonly offset: number },
  ): Promise<RecordPage | null> {
    const { reader, stopped } = this.#options;
    const buffered = await readBuffered({
      reader,
      requirements: { shard, floor: 0, sticky: true },
      read: recordsRead(collection, 'get', [Buffer.from(JSON.stringify({ ...range, include }))]),
      client: stopped,
    });
    const found = buffered === null ? null : recordsInGetResponse(buffered.body);
    if (buffered === null || found === null) return null;
    return { found, applied: buffered.applied, bytes: buffered.body.length };
  }
}

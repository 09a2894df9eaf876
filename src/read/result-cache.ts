// Caches responses to reads of records until an entry invalidates them. A response is labelled with the LSN its node was
// known to have applied before it was asked, and served only while the shard has no later entry: so it is what a node
// that has applied everything would respond. Any suspicion empties the cache.

import { hash } from 'node:crypto';
import type { Metric } from '../observability/metrics-registry.ts';
import { LruMap } from '../util/lru-map.ts';

export interface CachedResponse {
  readonly body: Buffer;
  /** LSN the response certainly reflects. */
  readonly label: number;
}

// Memory of a cached response beyond its body and key, approximately: its Buffer and the objects around it.
const OVERHEAD_BYTES = 640;
// A body is often a slice of a merged response or of a socket's buffer, and would keep all of that in memory. It is
// copied unless it makes up most of its buffer.
const PINNED_MAX = 1.25;
// Largest part of the cache for one response: a scan must not evict everything else.
const SHARE_MAX = 1 / 16;

export class ResultCache {
  readonly #bytesMax: number;
  readonly #isCurrent: () => boolean;
  readonly #responses: LruMap<string, CachedResponse>;
  /** Incremented when everything is dropped: a response asked for before is not cached after. */
  generation = 0;
  readonly counts = { hits: 0, misses: 0 };

  /** `bytesMax` 0 disables it; `isCurrent` is false while nodes may apply entries that are not reported here first. */
  constructor(bytesMax: number, isCurrent: () => boolean = () => true) {
    this.#bytesMax = bytesMax;
    this.#isCurrent = isCurrent;
    this.#responses = new LruMap({ weightMax: bytesMax, weigh: ({ body }, key) => bytesOf(key, body) });
  }

  get isEnabled(): boolean {
    return this.#bytesMax > 0 && this.#isCurrent();
  }

  get bytes(): number {
    return this.#responses.weight;
  }

  get metrics(): readonly Metric[] {
    const counter = (name: 'hits' | 'misses', help: string): Metric => ({
      kind: 'counter',
      name,
      help,
      unit: 'reads',
      read: () => this.counts[name],
    });
    const help = 'Memory of cached responses.';
    const max = this.#bytesMax;
    return [
      { kind: 'bound', name: 'bytes', help, unit: 'bytes', max, read: () => this.bytes },
      counter('hits', 'Reads served from the cache.'),
      counter('misses', 'Reads not in the cache.'),
    ];
  }

  /** The body goes in as its SHA-256: it may be larger than its response. */
  static key(shard: string, action: string, body: Buffer): string {
    return `${shard}${action} ${hash('sha256', body, 'binary')}`;
  }

  /** The response if it reflects everything up to `lsn`, the shard's last entry; null otherwise. */
  find(key: string, lsn: number): CachedResponse | null {
    const response = this.#responses.get(key);
    if (response === null || response.label < lsn) {
      this.#responses.delete(key);
      this.counts.misses += 1;
      return null;
    }
    this.counts.hits += 1;
    return response;
  }

  /** Caches a response that was asked for in `generation`. */
  store(key: string, { body, label }: CachedResponse, generation: number): void {
    if (generation !== this.generation || !this.isEnabled) return;
    if (key.length + body.length + OVERHEAD_BYTES > this.#bytesMax * SHARE_MAX) return;
    this.#responses.set(key, { body: unpinned(body), label });
  }

  /** Drops everything: some content was suspect. */
  clear(): void {
    this.generation += 1;
    this.#responses.clear();
  }
}

const bytesOf = (key: string, body: Buffer): number => key.length + body.buffer.byteLength + OVERHEAD_BYTES;

function unpinned(body: Buffer): Buffer {
  if (body.buffer.byteLength <= body.length * PINNED_MAX) return body;
  // Not from Buffer's pool, of which a slice keeps 64 KiB.
  const copy = Buffer.allocUnsafeSlow(body.length);
  body.copy(copy);
  return copy;
}

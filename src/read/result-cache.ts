// Answers to reads of records, kept while they are the truth. An answer is labelled with the position its node was
// known to have reached before it was asked, and served only while the shard has no entry beyond that label: so it is
// what a node that has applied everything would answer. Anything that puts a shard in doubt empties the cache.

import { hash } from 'node:crypto';

export interface CachedAnswer {
  readonly body: Buffer;
  /** LSN the answer certainly reflects. */
  readonly label: number;
}

interface Kept extends CachedAnswer {
  readonly bytes: number;
}

// What an answer costs beside its bytes and its key, about: its buffer's own record, the objects around it.
const OVERHEAD_BYTES = 640;
// An answer is often a slice, of one merged answer or of what a socket read at once: kept as it came, it would keep all
// of that in memory. One that is most of it stays where it is.
const PINNED_MAX = 1.25;
// One answer may take this part of the cache: a scan must not push everything else out.
const SHARE_MAX = 1 / 16;

export class ResultCache {
  readonly #bytesMax: number;
  readonly #isTold: () => boolean;
  /** In order of last use, the oldest first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  /** Raised whenever everything is forgotten: an answer asked for before is not kept after. */
  generation = 0;
  readonly counts = { hits: 0, misses: 0 };

  /** `bytesMax` 0 turns it off; `isTold` is false while nodes may apply what is not made known here first. */
  constructor(bytesMax: number, isTold: () => boolean = () => true) {
    this.#bytesMax = bytesMax;
    this.#isTold = isTold;
  }

  get enabled(): boolean {
    return this.#bytesMax > 0 && this.#isTold();
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Not the body itself, which may be larger than its answer; nobody finds two bodies of one SHA-256. */
  static key(shard: string, action: string, body: Buffer): string {
    return `${shard}${action} ${hash('sha256', body, 'binary')}`;
  }

  /** The answer kept under `key` if it reflects everything up to `position`, the shard's last entry. */
  find(key: string, position: number): CachedAnswer | null {
    const kept = this.#kept.get(key);
    if (kept === undefined || kept.label < position) {
      if (kept !== undefined) this.#drop(key, kept);
      this.counts.misses += 1;
      return null;
    }
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    this.counts.hits += 1;
    return kept;
  }

  /** Keeps an answer that was asked for in `generation`. */
  keep(key: string, answer: CachedAnswer, generation: number): void {
    if (generation !== this.generation || !this.enabled) return;
    if (key.length + answer.body.length + OVERHEAD_BYTES > this.#bytesMax * SHARE_MAX) return;
    const before = this.#kept.get(key);
    if (before !== undefined) this.#drop(key, before);
    const body = unpinned(answer.body);
    const bytes = key.length + body.buffer.byteLength + OVERHEAD_BYTES;
    this.#kept.set(key, { body, label: answer.label, bytes });
    this.#bytes += bytes;
    for (const [oldest, kept] of this.#kept) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#drop(oldest, kept);
    }
  }

  /** Forgets everything: some content was in doubt. */
  clear(): void {
    this.generation += 1;
    this.#kept.clear();
    this.#bytes = 0;
  }

  #drop(key: string, kept: Kept): void {
    this.#kept.delete(key);
    this.#bytes -= kept.bytes;
  }
}

function unpinned(body: Buffer): Buffer {
  if (body.buffer.byteLength <= body.length * PINNED_MAX) return body;
  // Not from Buffer's pool, of which a slice keeps 64 KiB.
  const copy = Buffer.allocUnsafeSlow(body.length);
  body.copy(copy);
  return copy;
}

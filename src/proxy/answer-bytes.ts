// One bound for the answers this process holds (I9): those that come from nodes, until they are whole, and those whose
// readers have not taken them yet. There is no waiting for room: an answer that is here has nowhere else to go. One for
// which there is no room on its way in is passed on at its reader's pace, and readers too slow for the rest are cut off.

import type { ServerResponse } from 'node:http';
import type { Clock } from '../util/clock.ts';

export interface AnswerBytesOptions {
  readonly clock: Clock;
  /** For all answers together. */
  readonly bytesMax?: number;
}

// Eight of the largest answers that are held whole, or some thousand of usual ones.
const BYTES_MAX = 64 * 1024 * 1024;
// Who has not taken a byte for this long makes room for those who do.
const PATIENCE_MS = 5_000;

/** An answer whose reader keeps it waiting. */
export interface WaitingAnswer {
  /** Its reader has taken so many bytes. */
  taken(bytes: number): void;
  /** Nothing of it waits any more; safe to call again. */
  over(): void;
}

interface Waiting {
  /** When its reader last took something; clock.monotonic() ms. */
  sinceMs: number;
  readonly cut: () => void;
  /** Gives back what is held for it. */
  readonly release: () => void;
}

export class AnswerBytes {
  readonly #clock: Clock;
  readonly #bytesMax: number;
  #bytes = 0;
  /** In order of when their readers last took something, the longest ago first. */
  readonly #waiting = new Set<Waiting>();
  /** Readers that wait for a part of a buffer: the slices of a merged answer keep one buffer between them. */
  readonly #readersOf = new Map<ArrayBufferLike, number>();
  /** Readers cut off since the start. */
  cut = 0;

  constructor({ clock, bytesMax }: AnswerBytesOptions) {
    this.#clock = clock;
    this.#bytesMax = bytesMax ?? BYTES_MAX;
  }

  /** Bytes held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether so much more may be held; then it counts until given back. */
  tryHold(bytes: number): boolean {
    const now = this.#clock.monotonic();
    for (const waiting of this.#waiting) {
      if (this.#bytes + bytes <= this.#bytesMax || now - waiting.sinceMs < PATIENCE_MS) break;
      this.#cutOff(waiting);
    }
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  /** Counts what is held in any case. */
  hold(bytes: number): void {
    this.#bytes += bytes;
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Bytes held already now wait for a reader; `cut` ends it. */
  waits(bytes: number, cut: () => void): WaitingAnswer {
    let left = bytes;
    const waiting = this.#wait(cut, () => this.giveBack(left));
    return {
      taken: (count) => {
        if (!this.#waiting.delete(waiting)) return;
        left -= count;
        this.giveBack(count);
        waiting.sinceMs = this.#clock.monotonic();
        this.#waiting.add(waiting);
      },
      over: () => this.#over(waiting),
    };
  }

  /** Takes account of what `response` was given, whole, where its reader has not taken all of it at once. */
  sent(response: ServerResponse, body: Buffer | string): void {
    const { socket } = response;
    if (socket === null || socket.destroyed || socket.writableLength === 0) return;
    const release = typeof body === 'string' ? this.#keep(socket.writableLength) : this.#share(body.buffer);
    const waiting = this.#wait(() => response.destroy(), release);
    response.once('close', () => this.#over(waiting));
    for (const longest of this.#waiting) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#cutOff(longest);
    }
  }

  #keep(bytes: number): () => void {
    this.hold(bytes);
    return () => this.giveBack(bytes);
  }

  #share(buffer: ArrayBufferLike): () => void {
    const readers = this.#readersOf.get(buffer) ?? 0;
    if (readers === 0) this.hold(buffer.byteLength);
    this.#readersOf.set(buffer, readers + 1);
    return () => {
      const left = this.#readersOf.get(buffer)! - 1;
      if (left > 0) return void this.#readersOf.set(buffer, left);
      this.#readersOf.delete(buffer);
      this.giveBack(buffer.byteLength);
    };
  }

  #wait(cut: () => void, release: () => void): Waiting {
    const waiting: Waiting = { sinceMs: this.#clock.monotonic(), cut, release };
    this.#waiting.add(waiting);
    return waiting;
  }

  #cutOff(waiting: Waiting): void {
    this.cut += 1;
    this.#over(waiting);
    waiting.cut();
  }

  #over(waiting: Waiting): void {
    if (this.#waiting.delete(waiting)) waiting.release();
  }
}

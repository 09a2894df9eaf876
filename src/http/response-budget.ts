// One bound for the answers this process holds (I9): those that come from nodes, until they are whole, and those whose
// readers have not taken them yet. There is no waiting for room: an answer that is here has nowhere else to go. One for
// which there is no room on its way in is passed on at its reader's pace, and readers that stand still are cut off.

import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../util/clock.ts';

export interface ResponseBudgetOptions {
  readonly clock: Clock;
  /** For all answers together. */
  readonly bytesMax?: number;
}

// Eight of the largest answers that are held whole, or some thousand of usual ones.
const BYTES_MAX = 64 * 1024 * 1024;
// Who has not taken a byte for this long makes room for those who do. Looked at only when room is wanted: one that
// took its last byte just after the look before has up to twice as long.
const PATIENCE_MS = 5_000;
// Beyond the bound is what was here when there was no more room, up to 128 KiB for each call to a node, and answers of
// up to 64 KiB, which are held in any case: with 10,000 connections they alone could be 640 MiB. At so many times the
// bound there is no patience left.
const OVERSHOOT_MAX = 2;

/** An answer whose reader keeps it waiting. */
export interface UnreadResponse {
  /** Its reader has taken so many bytes. */
  taken(bytes: number): void;
  /** Nothing of it waits any more; safe to call again. */
  over(): void;
}

interface Waiting {
  /** When its reader was last seen to have taken something; clock.monotonic() ms. */
  sinceMs: number;
  /** Of it, what its connection had not taken then. */
  unsent: number;
  /** The connection it was given to, whole; null where the reader's progress is told. */
  readonly socket: Socket | null;
  readonly cut: () => void;
  /** Gives back what is held for it. */
  readonly release: () => void;
}

export class ResponseBudget {
  readonly #clock: Clock;
  readonly #bytesMax: number;
  #bytes = 0;
  /** In order of when their readers were last seen to take something, the longest ago first. */
  readonly #waiting = new Set<Waiting>();
  /** Readers that wait for a part of a buffer: the slices of a merged answer keep one buffer between them. */
  readonly #readersOf = new Map<ArrayBufferLike, number>();
  /** Readers cut off since the start. */
  cut = 0;

  constructor({ clock, bytesMax }: ResponseBudgetOptions) {
    this.#clock = clock;
    this.#bytesMax = bytesMax ?? BYTES_MAX;
  }

  /** Bytes held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether so much more may be held; then it counts until given back. */
  tryHold(bytes: number): boolean {
    this.#makeRoom(bytes);
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
  waits(bytes: number, cut: () => void): UnreadResponse {
    let left = bytes;
    const waiting = this.#wait(null, cut, () => this.giveBack(left));
    return {
      taken: (count) => {
        if (!this.#waiting.has(waiting)) return;
        left -= count;
        this.giveBack(count);
        this.#moved(waiting);
      },
      over: () => this.#over(waiting),
    };
  }

  /** Takes account of what `response` was given, whole, where its reader has not taken all of it at once. */
  sent(response: ServerResponse, body: Buffer | string): void {
    const { socket } = response;
    if (socket === null || socket.destroyed || socket.writableLength === 0) return;
    const release = typeof body === 'string' ? this.#keep(socket.writableLength) : this.#share(body.buffer);
    const waiting = this.#wait(socket, () => response.destroy(), release);
    response.once('close', () => this.#over(waiting));
    this.#makeRoom(0);
    for (const longest of this.#waiting) {
      if (this.#bytes <= this.#bytesMax * OVERSHOOT_MAX) return;
      this.#cutOff(longest);
    }
  }

  /** Cuts off readers that stand still until there is room for so much more, or none is left of them. */
  #makeRoom(bytes: number): void {
    const now = this.#clock.monotonic();
    for (const waiting of this.#waiting) {
      if (this.#bytes + bytes <= this.#bytesMax || now - waiting.sinceMs < PATIENCE_MS) return;
      const unsent = unsentBytes(waiting.socket);
      if (unsent === waiting.unsent) {
        this.#cutOff(waiting);
      } else {
        waiting.unsent = unsent;
        this.#moved(waiting);
      }
    }
  }

  /** Its reader has taken something: to the end of the line. */
  #moved(waiting: Waiting): void {
    waiting.sinceMs = this.#clock.monotonic();
    this.#waiting.delete(waiting);
    this.#waiting.add(waiting);
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

  #wait(socket: Socket | null, cut: () => void, release: () => void): Waiting {
    const sinceMs = this.#clock.monotonic();
    const waiting: Waiting = { sinceMs, unsent: unsentBytes(socket), socket, cut, release };
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

/**
 * What the system has not taken yet of what the socket was given. `bytesWritten` and `writableLength` stand still while
 * one large write is under way; Node's own idle timeout of sockets looks at this, too (lib/net.js, `_onTimeout`).
 */
function unsentBytes(socket: Socket | null): number {
  if (socket === null) return 0;
  const { _handle: handle } = socket as { _handle?: { readonly writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? socket.writableLength;
}

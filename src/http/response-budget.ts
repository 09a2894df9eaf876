// One byte budget for the responses that this process holds: those on their way from nodes until they are complete, and
// those whose clients have not read them yet (I9). There is no waiting for room, because a response that has arrived must
// be held. One for which there is no room on its way in is forwarded at its client's pace, and clients that stop reading
// are disconnected.

import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Metric } from '../observability/metrics-registry.ts';
import type { Clock } from '../util/clock.ts';

export interface ResponseBudgetOptions {
  readonly clock: Clock;
  /** For all responses together. */
  readonly bytesMax?: number;
}

// Eight of the largest responses that are held whole, or some thousand of usual size.
const BYTES_MAX = 64 * 1024 * 1024;
// A client that has not read a byte for this long makes room for those that do. Checked only when room is needed: a
// client that read its last byte just after a check has up to twice as long.
const PATIENCE_MS = 5_000;
// Above the bound is what was here when there was no more room, up to 128 KiB for each call to a node, and responses of
// up to 64 KiB, which are held in any case: with 10,000 connections they alone could be 640 MiB. At this many times the
// bound there is no patience left.
const OVERSHOOT_MAX = 2;

/** A response that waits for its client to read it. */
export interface UnreadResponse {
  /** Its client has read so many more bytes. */
  taken(bytes: number): void;
  /** Nothing of it waits any more; safe to call again. */
  over(): void;
}

interface Waiting {
  /** When its client was last seen to have read something; clock.monotonic() ms. */
  sinceMs: number;
  /** Bytes that its connection had not sent then. */
  unsent: number;
  /** The connection to which it was written whole; null where progress is reported with `taken`. */
  readonly socket: Socket | null;
  readonly cut: () => void;
  /** Returns its bytes to the budget. */
  readonly release: () => void;
}

export class ResponseBudget {
  readonly #clock: Clock;
  readonly #bytesMax: number;
  #bytes = 0;
  /** Ordered by when their clients were last seen to read something, the longest ago first. */
  readonly #waiting = new Set<Waiting>();
  /** Responses that refer to a buffer: the slices of a merged response share one. */
  readonly #readersOf = new Map<ArrayBufferLike, number>();
  /** Clients disconnected since the start. */
  cut = 0;

  constructor({ clock, bytesMax }: ResponseBudgetOptions) {
    this.#clock = clock;
    this.#bytesMax = bytesMax ?? BYTES_MAX;
  }

  /** Bytes held now. */
  get bytes(): number {
    return this.#bytes;
  }

  get metrics(): readonly Metric[] {
    return [
      {
        kind: 'bound',
        name: 'bytes',
        help: 'Memory of responses that are not complete, or not read by their clients.',
        unit: 'bytes',
        max: this.#bytesMax,
        read: () => this.#bytes,
      },
      {
        kind: 'counter',
        name: 'clients_disconnected',
        help: 'Clients disconnected because their unread responses left no room.',
        unit: 'clients',
        read: () => this.cut,
      },
    ];
  }

  /** Whether so many more bytes may be held; then they count until given back. */
  tryHold(bytes: number): boolean {
    this.#makeRoom(bytes);
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  /** Counts bytes that are held in any case. */
  hold(bytes: number): void {
    this.#bytes += bytes;
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Bytes that already count now wait for a client; `cut` disconnects it. */
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

  /** Counts the body that was written whole to `response`, when the client has not read all of it at once. */
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

  /** Disconnects clients that have stopped reading until there is room for so many bytes, or none of them is left. */
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

  /** Its client has read something: moves it to the end of the order. */
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
 * Bytes written to the socket that the kernel has not accepted yet. `bytesWritten` and `writableLength` do not change
 * while one large write is in progress; Node's own idle timeout of sockets uses this, too (lib/net.js, `_onTimeout`).
 */
function unsentBytes(socket: Socket | null): number {
  if (socket === null) return 0;
  const { _handle: handle } = socket as { _handle?: { readonly writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? socket.writableLength;
}

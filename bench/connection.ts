// One keep-alive connection of the load generator. It shares the machine with the servers it measures, so it does
// as little as it can: bytes made beforehand go out, a status comes back, through a callback and without a promise.

import { connect, type Socket } from 'node:net';
import { ResponseParser, UnreadableAnswer } from './response-parser.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A request as bytes, and for how many operations it counts. */
export interface Call {
  readonly head: Buffer;
  readonly body: Buffer;
  readonly operations: number;
}

/** Called with the status, or with 0 when no answer came (`connection.failure` says why). */
export type Done = (status: number) => void;

const RECEIVE_BYTES = 64 * 1024;
/** Calls to a dead port fail at once; without a pause a closed loop would do nothing but fail. */
const RECONNECT_PAUSE_MS = 10;

export class Connection {
  readonly #address: Address;
  readonly #parser = new ResponseParser();
  readonly #received = Buffer.allocUnsafe(RECEIVE_BYTES);
  #socket: Socket | null = null;
  #done: Done | null = null;
  #sentAt = 0;
  failure = '';

  constructor(address: Address) {
    this.#address = address;
  }

  get busy(): boolean {
    return this.#done !== null;
  }

  /** Monotonic ms at which the call in flight was sent. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** `x-polychrome-lsn` of the last answer. */
  get lsn(): number | null {
    return this.#parser.lsn;
  }

  /** Body of the last answer, if it was asked for. */
  get body(): Buffer {
    return this.#parser.body;
  }

  /** Sends a call; `done` is called exactly once, never before this returns. One call at a time. */
  exchange(call: Call, done: Done, collect = false): void {
    if (this.#done !== null) throw new Error('A connection carries one call at a time.');
    this.#done = done;
    this.#parser.expect(collect);
    this.#socket ??= this.#open();
    this.#sentAt = performance.now();
    this.#socket.cork();
    this.#socket.write(call.head);
    if (call.body.length > 0) this.#socket.write(call.body);
    this.#socket.uncork();
  }

  /** Gives up the call in flight, which fails with `reason`. */
  abandon(reason: string): void {
    this.#drop();
    this.#finish(0, reason);
  }

  close(): void {
    this.#drop();
    this.#done = null;
  }

  #open(): Socket {
    const socket = connect({
      ...this.#address,
      noDelay: true,
      onread: {
        buffer: this.#received,
        callback: (length) => {
          if (socket === this.#socket) this.#receive(length);
          return true;
        },
      },
    });
    const lost = (reason: string): void => {
      if (socket !== this.#socket) return;
      this.#drop();
      if (this.#done !== null) setTimeout(() => this.#finish(0, reason), RECONNECT_PAUSE_MS);
    };
    socket.on('error', (error: NodeJS.ErrnoException) => lost(error.code ?? error.message));
    socket.on('close', () => lost('connection closed'));
    return socket;
  }

  #receive(length: number): void {
    if (this.#done === null) return this.#drop(); // bytes nobody asked for: this connection cannot be trusted
    try {
      if (!this.#parser.push(this.#received.subarray(0, length))) return;
    } catch (error) {
      if (!(error instanceof UnreadableAnswer)) throw error;
      return this.abandon(error.message);
    }
    if (!this.#parser.keepAlive) this.#drop();
    this.#finish(this.#parser.status, '');
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.destroy();
  }

  #finish(status: number, failure: string): void {
    const done = this.#done;
    this.#done = null;
    this.failure = failure;
    done?.(status);
  }
}

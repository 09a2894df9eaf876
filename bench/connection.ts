// One keep-alive connection of the load generator. The generator shares the machine with the servers it measures, so
// a call costs as little as possible: prepared bytes, one callback, no promise.

import { connect, type Socket } from 'node:net';
import { HttpResponseError, HttpResponseParser } from '../src/util/http-response.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A serialized request. `operations` is the number of operations it counts for. */
export interface Call {
  readonly head: Buffer;
  readonly body: Buffer;
  readonly operations: number;
}

/** Receives the status, or 0 when there is no response; `connection.failure` holds the reason. */
export type StatusCallback = (status: number) => void;

const RECEIVE_BYTES = 64 * 1024;
/** Refused connections fail at once; without a pause a closed loop would spin. */
const RECONNECT_PAUSE_MS = 10;

export class Connection {
  readonly #address: Address;
  readonly #parser = new HttpResponseParser();
  readonly #received = Buffer.allocUnsafe(RECEIVE_BYTES);
  #socket: Socket | null = null;
  #callback: StatusCallback | null = null;
  #sentAt = 0;
  failure = '';

  constructor(address: Address) {
    this.#address = address;
  }

  get isBusy(): boolean {
    return this.#callback !== null;
  }

  /** Monotonic time at which the call in flight was sent, ms. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** `x-polychrome-lsn` of the last response. */
  get lsn(): number | null {
    const lsn = this.#parser.headers.get('x-polychrome-lsn');
    return lsn === undefined ? null : Number(lsn);
  }

  /** Body of the last response; empty unless `keepsBody` was set. */
  get body(): Buffer {
    return this.#parser.body;
  }

  /** Sends a call. `callback` runs exactly once, after this method returns. One call at a time. */
  exchange(call: Call, callback: StatusCallback, keepsBody = false): void {
    if (this.#callback !== null) throw new Error('A call is already in flight on this connection.');
    this.#callback = callback;
    this.#parser.begin({ keepsBody });
    this.#socket ??= this.#open();
    this.#sentAt = performance.now();
    this.#socket.cork();
    this.#socket.write(call.head);
    if (call.body.length > 0) this.#socket.write(call.body);
    this.#socket.uncork();
  }

  /** Fails the call in flight with `reason` and closes the connection. */
  abandon(reason: string): void {
    this.#drop();
    this.#finish(0, reason);
  }

  close(): void {
    this.#drop();
    this.#callback = null;
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
    const onLost = (reason: string): void => {
      if (socket !== this.#socket) return;
      this.#drop();
      if (this.#callback !== null) setTimeout(() => this.#finish(0, reason), RECONNECT_PAUSE_MS);
    };
    socket.on('error', (error: NodeJS.ErrnoException) => onLost(error.code ?? error.message));
    socket.on('close', () => onLost('connection closed'));
    return socket;
  }

  #receive(length: number): void {
    if (this.#callback === null) return this.#drop(); // unsolicited bytes: the connection is out of sync
    try {
      if (!this.#parser.push(this.#received.subarray(0, length))) return;
    } catch (error) {
      if (!(error instanceof HttpResponseError)) throw error;
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
    const callback = this.#callback;
    this.#callback = null;
    this.failure = failure;
    callback?.(status);
  }
}

// HTTP as bytes on a socket, for requests that no HTTP client would send.

import { connect, type Socket } from 'node:net';
import { HttpResponseParser } from '../../src/util/http-response.ts';

export interface RawResponse {
  /** Code and reason, as in "404 Not Found". */
  readonly status: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** One connection; its responses are taken in order. */
export class RawConnection {
  readonly socket: Socket;
  /** Resolves when the other side has ended the connection. */
  readonly ended: Promise<void>;
  readonly #parser = new HttpResponseParser({ reportsInterim: true });
  #received: Buffer[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        this.#ended = true;
        this.#wake();
        resolve();
      };
      socket.on('end', end).on('error', end).on('close', end);
    });
    socket.on('data', (chunk: Buffer) => {
      this.#received.push(chunk);
      this.#wake();
    });
  }

  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => resolve(new RawConnection(socket)));
    });
  }

  send(...pieces: readonly (string | Buffer)[]): this {
    for (const piece of pieces)
      this.socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
    return this;
  }

  /** The next response, interim ones included, to a request by `method`; null when the connection ended without one. */
  async response(method = 'GET'): Promise<RawResponse | null> {
    const parser = this.#parser;
    parser.begin({ method });
    for (;;) {
      const received = Buffer.concat(this.#received);
      const isComplete = parser.push(received);
      this.#received = [received.subarray(received.length - parser.surplusBytes)];
      if (isComplete || (this.#ended && parser.end())) {
        const status = `${parser.status} ${parser.reason}`;
        return { status, headers: parser.headers, body: parser.body.toString() };
      }
      if (this.#ended) return null;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Sends one request on a connection of its own. */
export async function rawRequest(
  port: number,
  pieces: readonly (string | Buffer)[],
  method = 'GET',
): Promise<RawResponse | null> {
  const connection = await RawConnection.open(port);
  try {
    return await connection.send(...pieces).response(method);
  } finally {
    connection.destroy();
  }
}

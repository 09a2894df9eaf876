// HTTP as bytes on a socket, for what no HTTP client would send.

import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  /** Without the version, which is no part of what is said: "404 Not Found". */
  readonly status: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** One connection; answers are taken from it in order. */
export class RawConnection {
  readonly socket: Socket;
  /** Resolves when the other side has ended the connection. */
  readonly ended: Promise<void>;
  #received: Buffer = Buffer.alloc(0);
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
      this.#received = Buffer.concat([this.#received, chunk]);
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

  /** The next answer; null when the connection ended without one. A HEAD's answer has no body whatever it says. */
  async answer(method = 'GET'): Promise<RawAnswer | null> {
    for (;;) {
      const taken = takeAnswer(this.#received, method, this.#ended);
      if (taken !== null) {
        this.#received = this.#received.subarray(taken.length);
        return taken.answer;
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
): Promise<RawAnswer | null> {
  const connection = await RawConnection.open(port);
  try {
    return await connection.send(...pieces).answer(method);
  } finally {
    connection.destroy();
  }
}

function takeAnswer(
  bytes: Buffer,
  method: string,
  ended: boolean,
): { answer: RawAnswer; length: number } | null {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return null;
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const status = statusLine.slice(statusLine.indexOf(' ') + 1);
  const start = headEnd + 4;
  const give = (end: number, body: string): { answer: RawAnswer; length: number } => ({
    answer: { status, headers, body },
    length: end,
  });
  if (method === 'HEAD' || status.startsWith('1')) return give(start, '');
  const length = headers.get('content-length');
  if (length !== undefined) {
    const end = start + Number(length);
    return bytes.length < end ? null : give(end, bytes.toString('utf8', start, end));
  }
  if (headers.get('transfer-encoding') === 'chunked') return takeChunks(bytes, start, give);
  return ended ? give(bytes.length, bytes.toString('utf8', start)) : null;
}

function takeChunks<T>(bytes: Buffer, start: number, give: (end: number, body: string) => T): T | null {
  const parts: Buffer[] = [];
  for (let at = start; ;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const end = lineEnd + 2 + size;
    if (bytes.length < end + 2) return null;
    if (size === 0) return give(end + 2, Buffer.concat(parts).toString());
    parts.push(bytes.subarray(lineEnd + 2, end));
    at = end + 2;
  }
}

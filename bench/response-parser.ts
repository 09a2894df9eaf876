// Incremental parser for HTTP/1.1 responses. To keep the load generator cheap it reads only the status, the framing
// headers and `x-polychrome-lsn`, and keeps the body only on request.

const HEAD_END = Buffer.from('\r\n\r\n');
const HEAD_BYTES_MAX = 64 * 1024;
const LINE_FEED = 0x0a;

/** The bytes are not a supported HTTP/1.1 response; the connection must be closed. */
export class MalformedResponseError extends Error {
  override readonly name = 'MalformedResponseError';
}

export class ResponseParser {
  /** Status of the last response. */
  status = 0;
  /** `x-polychrome-lsn` of the last response, or null. */
  lsn: number | null = null;
  /** False when the server closes the connection after this response. */
  keepAlive = true;

  #collectsBody = false;
  #collected: Buffer[] = [];
  #partialHead: Buffer | null = null;
  #state: 'head' | 'sized' | 'chunk-size' | 'chunk' | 'trailer' = 'head';
  #remaining = 0;
  #line = '';

  /** Resets the parser for the next response; `collectBody` keeps its body. */
  begin(collectBody: boolean): void {
    this.#collectsBody = collectBody;
    this.#collected = [];
    this.#partialHead = null;
    this.#state = 'head';
    this.status = 0;
    this.lsn = null;
  }

  /** Body of the last response; empty unless it was collected. */
  get body(): Buffer {
    return Buffer.concat(this.#collected);
  }

  /** Parses received bytes, which the caller may reuse afterwards; true when the response is complete. */
  push(received: Buffer): boolean {
    let bytes = received;
    let at = 0;
    while (this.#state === 'head') {
      if (this.#partialHead !== null) bytes = Buffer.concat([this.#partialHead, bytes.subarray(at)]);
      else if (at > 0) bytes = bytes.subarray(at);
      const end = bytes.indexOf(HEAD_END);
      if (end < 0) {
        if (bytes.length > HEAD_BYTES_MAX) throw new MalformedResponseError('response head too large');
        this.#partialHead = Buffer.from(bytes);
        return false;
      }
      this.#partialHead = null;
      at = end + HEAD_END.length;
      this.#readHead(bytes.toString('latin1', 0, end));
    }
    return this.#state === 'sized' ? this.#sized(bytes, at) : this.#chunked(bytes, at);
  }

  #readHead(head: string): void {
    if (!head.startsWith('HTTP/1.1 '))
      throw new MalformedResponseError(`not an HTTP/1.1 response: ${head.slice(0, 40)}`);
    this.status = Number(head.slice(9, 12));
    if (this.status < 200) return; // 1xx: the final response follows
    this.keepAlive = !/\r\nconnection: *close/i.test(head);
    const lsn = /\r\nx-polychrome-lsn: *(\d+)/i.exec(head);
    this.lsn = lsn === null ? null : Number(lsn[1]);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (length !== null || this.status === 204 || this.status === 304) {
      this.#remaining = length === null ? 0 : Number(length[1]);
      this.#state = 'sized';
    } else if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      this.#line = '';
      this.#state = 'chunk-size';
    } else {
      throw new MalformedResponseError('response without a length');
    }
  }

  #sized(bytes: Buffer, at: number): boolean {
    const taken = Math.min(this.#remaining, bytes.length - at);
    this.#collect(bytes, at, at + taken);
    this.#remaining -= taken;
    return this.#remaining === 0;
  }

  #chunked(bytes: Buffer, from: number): boolean {
    let at = from;
    while (at < bytes.length) {
      if (this.#state === 'chunk') {
        const taken = Math.min(this.#remaining, bytes.length - at);
        this.#collect(bytes, at, at + taken);
        this.#remaining -= taken;
        at += taken;
        if (this.#remaining === 0) this.#state = 'chunk-size';
        continue;
      }
      const lineEnd = bytes.indexOf(LINE_FEED, at);
      this.#line += bytes.toString('latin1', at, lineEnd < 0 ? bytes.length : lineEnd);
      if (lineEnd < 0) return false;
      at = lineEnd + 1;
      if (this.#handleLine(this.#line.trimEnd())) return true;
      this.#line = '';
    }
    return false;
  }

  /** Handles one line of the chunked framing; true for the empty line that ends the response. */
  #handleLine(line: string): boolean {
    if (this.#state === 'trailer') return line === '';
    if (line === '') return false; // CRLF after a chunk
    const size = Number.parseInt(line, 16);
    if (Number.isNaN(size)) throw new MalformedResponseError(`invalid chunk size: ${line.slice(0, 40)}`);
    this.#remaining = size;
    this.#state = size === 0 ? 'trailer' : 'chunk';
    return false;
  }

  #collect(bytes: Buffer, start: number, end: number): void {
    if (this.#collectsBody && end > start) this.#collected.push(Buffer.from(bytes.subarray(start, end)));
  }
}

// Incremental parser for HTTP/1.1 responses (RFC 9112), for connections that this code reads itself.

const HEAD_END = Buffer.from('\r\n\r\n');
/** Bytes of a head, of a chunk-size line and of all trailers; nginx and Node bound heads at 8 to 64 KiB. */
const HEAD_BYTES_MAX = 64 * 1024;
const LINE_FEED = 0x0a;
const NO_HEADERS: ReadonlyMap<string, string> = new Map();
const HEADER_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:/;
const CHUNK_SIZE = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i;
// Above 15 digits a number is not exact.
const CONTENT_LENGTH = /^\d{1,15}$/;

/** The bytes are not a response that the parser accepts; the connection must be closed. */
export class HttpResponseError extends Error {
  override readonly name = 'HttpResponseError';
}

export interface HttpResponseParserOptions {
  /**
   * Rejects responses after which the connection may be out of sync: another version than HTTP/1.1, malformed header lines, a
   * repeated content-length or transfer-encoding, both of them, or neither.
   */
  readonly isStrict?: boolean;
  /** Completes at an interim response (1xx) too; otherwise these are skipped. */
  readonly reportsInterim?: boolean;
  /** Bytes of a body; unlimited by default. */
  readonly bodyBytesMax?: number;
}

/** What the parser must know of the request that a response belongs to. */
export interface ExpectedResponse {
  /** The response to HEAD has no body, whatever its headers say. */
  readonly method?: string;
  /** False: the body is only counted. */
  readonly keepsBody?: boolean;
}

type State =
  'head' | 'sized' | 'until-close' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailers' | 'complete';

export class HttpResponseParser {
  /** Status of the last response; 0 before its head is complete. */
  status = 0;
  reason = '';
  /** Header values by lower-case name; of a repeated header the last one. */
  headers: ReadonlyMap<string, string> = NO_HEADERS;
  /** False when the server closes the connection after the last response. */
  keepAlive = true;
  /** Bytes that the last push() received behind the end of the response. */
  surplusBytes = 0;

  readonly #options: Required<HttpResponseParserOptions>;
  #expected: Required<ExpectedResponse> = { method: 'GET', keepsBody: true };
  #state: State = 'head';
  #partialHead: Buffer | null = null;
  #line = '';
  #trailerBytes = 0;
  /** Bytes that are left of the body, or of the chunk. */
  #remaining = 0;
  #body: Buffer[] = [];
  #bodyBytes = 0;

  constructor(options: HttpResponseParserOptions = {}) {
    this.#options = { isStrict: false, reportsInterim: false, bodyBytesMax: Infinity, ...options };
  }

  /** Body of the last response; empty when only counted. */
  get body(): Buffer {
    return Buffer.concat(this.#body);
  }

  /** Resets the parser for the next response. */
  begin({ method = 'GET', keepsBody = true }: ExpectedResponse = {}): void {
    this.#expected = { method, keepsBody };
    this.#state = 'head';
    this.#partialHead = null;
    this.#body = [];
    this.#bodyBytes = 0;
    this.status = 0;
    this.reason = '';
    this.headers = NO_HEADERS;
    this.surplusBytes = 0;
  }

  /**
   * Parses received bytes, which the caller may reuse afterwards; true once the response is complete. Throws
   * HttpResponseError.
   */
  push(received: Buffer): boolean {
    let bytes = received;
    let at = 0;
    while (this.#state === 'head') {
      if (this.#partialHead !== null) bytes = Buffer.concat([this.#partialHead, bytes]);
      const searchFrom = Math.max(at, (this.#partialHead?.length ?? 0) - HEAD_END.length);
      const end = bytes.indexOf(HEAD_END, searchFrom);
      this.#partialHead = null;
      if ((end < 0 ? bytes.length : end) - at > HEAD_BYTES_MAX) throw new HttpResponseError('head too large');
      if (end < 0) {
        this.#partialHead = Buffer.from(bytes.subarray(at));
        return false;
      }
      this.#readHead(bytes.toString('latin1', at, end));
      at = end + HEAD_END.length;
    }
    at = this.#readBody(bytes, at);
    this.surplusBytes = bytes.length - at;
    return this.#state === 'complete';
  }

  /** The connection has ended; true when that completes the response. */
  end(): boolean {
    if (this.#state === 'until-close') this.#state = 'complete';
    return this.#state === 'complete';
  }

  #readHead(head: string): void {
    const [statusLine = '', ...lines] = head.split('\r\n');
    const match = /^HTTP\/1\.([01]) (\d{3})(?: (.*))?$/.exec(statusLine);
    if (match === null) throw new HttpResponseError(`not an HTTP/1.1 response: ${statusLine.slice(0, 40)}`);
    const [, minor, status, reason = ''] = match;
    if (minor === '0' && this.#options.isStrict) throw new HttpResponseError('HTTP/1.0 response');
    this.status = Number(status);
    this.reason = reason;
    this.headers = this.#readHeaders(lines);
    this.keepAlive = minor === '1' && this.headers.get('connection')?.toLowerCase() !== 'close';
    if (this.status < 200) this.#state = this.#options.reportsInterim ? 'complete' : 'head';
    else this.#state = this.#framing();
  }

  #readHeaders(lines: readonly string[]): Map<string, string> {
    const { isStrict } = this.#options;
    const headers = new Map<string, string>();
    for (const line of lines) {
      if (isStrict && !HEADER_LINE.test(line)) throw new HttpResponseError('malformed header line');
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      const isFraming = name === 'content-length' || name === 'transfer-encoding';
      if (isStrict && isFraming && headers.has(name)) throw new HttpResponseError(`repeated ${name}`);
      headers.set(name, line.slice(colon + 1).trim());
    }
    return headers;
  }

  /** How the end of the body is found. */
  #framing(): State {
    const encoding = this.headers.get('transfer-encoding');
    const length = this.headers.get('content-length');
    if (this.#expected.method === 'HEAD' || this.status === 204 || this.status === 304) return 'complete';
    if (encoding !== undefined) {
      if (encoding.toLowerCase() !== 'chunked') throw new HttpResponseError('unknown transfer-encoding');
      if (length !== undefined && this.#options.isStrict) throw new HttpResponseError('two lengths');
      this.#line = '';
      this.#trailerBytes = 0;
      return 'chunk-size';
    }
    if (length === undefined) {
      if (this.#options.isStrict) throw new HttpResponseError('no content-length');
      this.keepAlive = false;
      return 'until-close';
    }
    if (!CONTENT_LENGTH.test(length)) throw new HttpResponseError('invalid content-length');
    this.#expectBytes(Number(length));
    return this.#remaining === 0 ? 'complete' : 'sized';
  }

  /** Reads the body from `from` on; returns where it stopped. */
  #readBody(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length && this.#state !== 'complete') {
      if (this.#state === 'until-close') {
        this.#expectBytes(bytes.length - at);
        at = this.#takeBytes(bytes, at);
      } else if (this.#state === 'sized') {
        at = this.#takeBytes(bytes, at);
        if (this.#remaining === 0) this.#state = 'complete';
      } else if (this.#state === 'chunk') {
        at = this.#takeBytes(bytes, at);
        if (this.#remaining === 0) this.#state = 'chunk-end';
      } else at = this.#readLine(bytes, at);
    }
    return at;
  }

  #expectBytes(count: number): void {
    this.#remaining = count;
    if (this.#bodyBytes + count > this.#options.bodyBytesMax) {
      throw new HttpResponseError(`body larger than ${this.#options.bodyBytesMax} bytes`);
    }
  }

  #takeBytes(bytes: Buffer, at: number): number {
    const taken = Math.min(this.#remaining, bytes.length - at);
    if (this.#expected.keepsBody) this.#body.push(Buffer.from(bytes.subarray(at, at + taken)));
    this.#bodyBytes += taken;
    this.#remaining -= taken;
    return at + taken;
  }

  /** Reads a line of the chunked framing, or the part of it that has arrived. */
  #readLine(bytes: Buffer, at: number): number {
    const lineEnd = bytes.indexOf(LINE_FEED, at);
    const end = lineEnd < 0 ? bytes.length : lineEnd;
    this.#line += bytes.toString('latin1', at, end);
    if (this.#line.length + this.#trailerBytes > HEAD_BYTES_MAX) throw new HttpResponseError('line too long');
    if (lineEnd < 0) return end;
    if (!this.#line.endsWith('\r')) throw new HttpResponseError('line without a carriage return');
    const line = this.#line.slice(0, -1);
    this.#line = '';
    this.#handleLine(line);
    return lineEnd + 1;
  }

  #handleLine(line: string): void {
    if (this.#state === 'trailers') {
      this.#trailerBytes += line.length;
      if (line === '') this.#state = 'complete';
      return;
    }
    if (this.#state === 'chunk-end') {
      if (line !== '') throw new HttpResponseError('chunk longer than its size');
      this.#state = 'chunk-size';
      return;
    }
    const size = CHUNK_SIZE.exec(line)?.[1];
    if (size === undefined) throw new HttpResponseError(`invalid chunk size: ${line.slice(0, 40)}`);
    this.#expectBytes(Number.parseInt(size, 16));
    this.#state = this.#remaining === 0 ? 'trailers' : 'chunk';
  }
}

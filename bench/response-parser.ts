// Reads HTTP/1.1 answers as cheaply as a load generator must: the status, where the body ends, one header. The body
// is skipped unless it is asked for.

const HEAD_END = Buffer.from('\r\n\r\n');
const HEAD_BYTES_MAX = 64 * 1024;
const LINE_FEED = 0x0a;

/** The server sent what this reader does not understand: the connection is of no further use. */
export class UnreadableAnswer extends Error {
  override readonly name = 'UnreadableAnswer';
}

export class ResponseParser {
  /** Of the last answer. */
  status = 0;
  /** The position the last answer carries (`x-polychrome-lsn`), or null. */
  lsn: number | null = null;
  /** False when the server closes the connection after this answer. */
  keepAlive = true;

  #collect = false;
  #collected: Buffer[] = [];
  #head: Buffer | null = null;
  #state: 'head' | 'sized' | 'chunk-size' | 'chunk' | 'trailer' = 'head';
  #left = 0;
  #line = '';

  /** Makes ready for the next answer; its body is kept when `collect`. */
  expect(collect: boolean): void {
    this.#collect = collect;
    this.#collected = [];
    this.#head = null;
    this.#state = 'head';
    this.status = 0;
    this.lsn = null;
  }

  /** The body of the last answer; empty unless it was to be kept. */
  get body(): Buffer {
    return Buffer.concat(this.#collected);
  }

  /** Takes received bytes, which may be overwritten afterwards; true when they complete the answer. */
  push(received: Buffer): boolean {
    let bytes = received;
    let at = 0;
    while (this.#state === 'head') {
      if (this.#head !== null) bytes = Buffer.concat([this.#head, bytes.subarray(at)]);
      else if (at > 0) bytes = bytes.subarray(at);
      const end = bytes.indexOf(HEAD_END);
      if (end < 0) {
        if (bytes.length > HEAD_BYTES_MAX) throw new UnreadableAnswer('the head of an answer has no end');
        this.#head = Buffer.from(bytes);
        return false;
      }
      this.#head = null;
      at = end + HEAD_END.length;
      this.#readHead(bytes.toString('latin1', 0, end));
    }
    return this.#state === 'sized' ? this.#sized(bytes, at) : this.#chunked(bytes, at);
  }

  #readHead(head: string): void {
    if (!head.startsWith('HTTP/1.1 '))
      throw new UnreadableAnswer(`not an HTTP/1.1 answer: ${head.slice(0, 40)}`);
    this.status = Number(head.slice(9, 12));
    if (this.status < 200) return; // 100 Continue: the answer itself follows
    this.keepAlive = !/\r\nconnection: *close/i.test(head);
    const lsn = /\r\nx-polychrome-lsn: *(\d+)/i.exec(head);
    this.lsn = lsn === null ? null : Number(lsn[1]);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (length !== null || this.status === 204 || this.status === 304) {
      this.#left = length === null ? 0 : Number(length[1]);
      this.#state = 'sized';
    } else if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      this.#line = '';
      this.#state = 'chunk-size';
    } else {
      throw new UnreadableAnswer('an answer without a length');
    }
  }

  #sized(bytes: Buffer, at: number): boolean {
    const taken = Math.min(this.#left, bytes.length - at);
    this.#keep(bytes, at, at + taken);
    this.#left -= taken;
    return this.#left === 0;
  }

  #chunked(bytes: Buffer, from: number): boolean {
    let at = from;
    while (at < bytes.length) {
      if (this.#state === 'chunk') {
        const taken = Math.min(this.#left, bytes.length - at);
        this.#keep(bytes, at, at + taken);
        this.#left -= taken;
        at += taken;
        if (this.#left === 0) this.#state = 'chunk-size';
        continue;
      }
      const lineEnd = bytes.indexOf(LINE_FEED, at);
      this.#line += bytes.toString('latin1', at, lineEnd < 0 ? bytes.length : lineEnd);
      if (lineEnd < 0) return false;
      at = lineEnd + 1;
      if (this.#lineCompletes(this.#line.trimEnd())) return true;
      this.#line = '';
    }
    return false;
  }

  /** True when this line, the empty one after the trailer, is the answer's last. */
  #lineCompletes(line: string): boolean {
    if (this.#state === 'trailer') return line === '';
    if (line === '') return false; // the line end that closes a chunk
    const size = Number.parseInt(line, 16);
    if (Number.isNaN(size)) throw new UnreadableAnswer(`not a chunk size: ${line.slice(0, 40)}`);
    this.#left = size;
    this.#state = size === 0 ? 'trailer' : 'chunk';
    return false;
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    if (this.#collect && end > start) this.#collected.push(Buffer.from(bytes.subarray(start, end)));
  }
}

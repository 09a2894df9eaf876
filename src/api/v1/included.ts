// Renames the member `include` of the response to a get or a query: clients before 0.6 read `included`.
//
// Servers write it last, so the end of the response suffices, and large responses are passed on as they come.

import type { HttpResponse, ResponseHeaders, ResponseWriter } from '../../http/response.ts';

const TODAY = Buffer.from('"include":[');
const OLDER = Buffer.from('"included":[');
// The names of all contents take less than 100 bytes; a client may repeat some.
const END_BYTES = 1_024;
const GROWTH = OLDER.length - TODAY.length;

/** The response of status 200 with its last `include` renamed; any other response as it is. */
export function withIncluded(response: HttpResponse): HttpResponse {
  if (typeof response === 'function') {
    return async (writer) => {
      const last = new EndWriter(writer);
      await response(last);
      await last.finish();
    };
  }
  const { status, body } = response;
  if (status !== 200 || body === undefined) return response;
  return { ...response, body: renamedEnd(Buffer.from(body)) };
}

class EndWriter implements ResponseWriter {
  readonly #writer: ResponseWriter;
  #end: Buffer = Buffer.alloc(0);
  #isRenamed = true;

  constructor(writer: ResponseWriter) {
    this.#writer = writer;
  }

  get closed(): boolean {
    return this.#writer.closed;
  }

  head(status: number, headers: ResponseHeaders = {}): void {
    this.#isRenamed = status === 200;
    const length = headers['content-length'];
    const isLonger = this.#isRenamed && length !== undefined;
    this.#writer.head(
      status,
      isLonger ? { ...headers, 'content-length': String(Number(length) + GROWTH) } : headers,
    );
  }

  async write(chunk: Buffer | string): Promise<void> {
    if (!this.#isRenamed) return this.#writer.write(chunk);
    const bytes = Buffer.concat([this.#end, Buffer.from(chunk)]);
    const passed = Math.max(0, bytes.length - END_BYTES);
    // A copy: the chunk's memory may be used again.
    this.#end = Buffer.from(bytes.subarray(passed));
    if (passed > 0) await this.#writer.write(bytes.subarray(0, passed));
  }

  async finish(): Promise<void> {
    if (this.#isRenamed && this.#end.length > 0) await this.#writer.write(renamedEnd(this.#end));
  }
}

// One byte longer in any case, as content-length says; white space after the JSON changes nothing.
function renamedEnd(end: Buffer): Buffer {
  const at = end.lastIndexOf(TODAY);
  if (at < 0) return Buffer.concat([end, Buffer.from(' '.repeat(GROWTH))]);
  return Buffer.concat([end.subarray(0, at), OLDER, end.subarray(at + TODAY.length)]);
}

// What handlers respond with, and how it is sent.

import type { ServerResponse } from 'node:http';

export type ResponseHeaders = Readonly<Record<string, string>>;

/** A response held whole. A body without a content-type header is JSON. */
export interface WholeResponse {
  readonly status: number;
  readonly body?: Buffer | string;
  readonly headers?: ResponseHeaders;
}

/** A response sent piece by piece; it ends when the promise resolves, and is aborted when it rejects. */
export type StreamedResponse = (response: ResponseWriter) => Promise<void>;

export type HttpResponse = WholeResponse | StreamedResponse;

/** Where a streamed response is written: head first, once. */
export interface ResponseWriter {
  /** With a content-length header the bytes written must add up to it; otherwise the response is sent in chunks. */
  head(status: number, headers?: ResponseHeaders): void;
  /** Resolves when more may be written; also when the client is gone (see `closed`). Never rejects. */
  write(chunk: Buffer | string): Promise<void>;
  /** True once nothing written reaches the client any more. */
  readonly closed: boolean;
}

/** The server's own headers for a response of a status, as a flat list. */
export type ServerHeaders = (status: number) => readonly string[];

const JSON_TYPE = 'application/json';

/** A JSON response from a value; not for anything that came from a client (numbers would not survive, I11). */
export function jsonResponse(value: unknown, status = 200): WholeResponse {
  return { status, body: JSON.stringify(value) };
}

/** Sends a whole response. */
export function sendWhole(
  response: ServerResponse,
  { status, headers, body = '' }: WholeResponse,
  serverHeaders: ServerHeaders,
): void {
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  const list = headerList(headers, length > 0);
  // Without a body, neither Chroma nor HTTP has a content-length here.
  if (status !== 204 && status !== 304) list.push('content-length', String(length));
  list.push(...serverHeaders(status));
  response.writeHead(status, list);
  response.end(body);
}

/** Sends a streamed response to its end; rejects when its source does, and aborts the response if it has begun. */
export async function sendStreamed(
  response: ServerResponse,
  streamed: StreamedResponse,
  serverHeaders: ServerHeaders,
): Promise<void> {
  const stream = new ResponseStream(response, serverHeaders);
  try {
    await streamed(stream);
    stream.finish();
  } catch (error) {
    // The client must notice that the response is incomplete.
    if (response.headersSent) response.destroy();
    throw error;
  }
}

class ResponseStream implements ResponseWriter {
  readonly #response: ServerResponse;
  readonly #serverHeaders: ServerHeaders;
  #remaining: number | null = null;

  constructor(response: ServerResponse, serverHeaders: ServerHeaders) {
    this.#response = response;
    this.#serverHeaders = serverHeaders;
  }

  get closed(): boolean {
    return this.#response.destroyed;
  }

  head(status: number, headers?: ResponseHeaders): void {
    const length = headers?.['content-length'];
    if (length !== undefined) this.#remaining = Number(length);
    this.#response.writeHead(status, [...headerList(headers, true), ...this.#serverHeaders(status)]);
  }

  write(chunk: Buffer | string): Promise<void> {
    const response = this.#response;
    if (response.destroyed) return Promise.resolve();
    if (!response.headersSent) this.head(200);
    if (this.#remaining !== null) this.#remaining -= Buffer.byteLength(chunk);
    if (response.write(chunk)) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        response.off('drain', done).off('close', done);
        resolve();
      };
      response.on('drain', done).on('close', done);
    });
  }

  finish(): void {
    if (!this.#response.headersSent) this.head(200);
    if (this.#remaining !== null && this.#remaining !== 0 && this.#response.req.method !== 'HEAD') {
      throw new Error('the length of a streamed response differs from its content-length');
    }
    this.#response.end();
  }
}

/** The headers of a response as a flat list, the fastest form for writeHead. */
export function headerList(headers: ResponseHeaders | undefined, hasBody: boolean): string[] {
  const list: string[] = [];
  let isTyped = !hasBody;
  for (const name in headers) {
    if (name === 'content-type') isTyped = true;
    list.push(name, headers[name] ?? '');
  }
  if (!isTyped) list.unshift('content-type', JSON_TYPE);
  return list;
}

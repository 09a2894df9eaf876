// What handlers answer with, and how it goes out.

import type { ServerResponse } from 'node:http';
import { errorBody, NO_TRACE, TRACE_HEADER } from '../chroma/protocol/error-body.ts';
import type { Refusal } from '../chroma/parse/record-call.ts';
import { PolychromeError } from '../errors.ts';

export type ResponseHeaders = Readonly<Record<string, string>>;

/** An answer that is whole. A body without a content-type header is JSON. */
export interface WholeResponse {
  readonly status: number;
  readonly body?: Buffer | string;
  readonly headers?: ResponseHeaders;
}

/** An answer that goes out piece by piece; it ends when the promise resolves, and is torn off when it rejects. */
export type StreamedResponse = (response: ResponseWriter) => Promise<void>;

export type HttpResponse = WholeResponse | StreamedResponse;

/** Where a streamed answer is written: head first, once. */
export interface ResponseWriter {
  /** With a content-length header the bytes written must add up to it; otherwise the answer goes out in chunks. */
  head(status: number, headers?: ResponseHeaders): void;
  /** Resolves when more may be written; also when the client is gone (see `closed`). Never rejects. */
  write(chunk: Buffer | string): Promise<void>;
  /** True once nothing written reaches the client any more. */
  readonly closed: boolean;
}

const JSON_TYPE = 'application/json';
// Long enough not to make a crowd of clients come back at once, short enough for a failover of a few seconds.
const RETRY_AFTER_SECONDS = '1';

/** An error answer in Chroma's shape. */
export function errorResponse(
  status: number,
  error: string,
  message: string,
  headers?: ResponseHeaders,
): WholeResponse {
  return { status, body: errorBody(error, message), ...(headers === undefined ? {} : { headers }) };
}

/** The answer to a body that Chroma does not take. */
export function refusalResponse(refusal: Refusal): WholeResponse {
  return errorResponse(refusal.status, refusal.error, refusal.message);
}

/** A JSON answer from a value; not for anything that came from a client (numbers would not survive, I11). */
export function jsonResponse(value: unknown, status = 200): WholeResponse {
  return { status, body: JSON.stringify(value) };
}

/** The one place where errors become answers; null for an error that is no client's business. */
export function responseForError(error: unknown): WholeResponse | null {
  if (!(error instanceof PolychromeError)) return null;
  const { status, name, retryable } = error.kind;
  return errorResponse(
    status,
    name,
    error.message,
    retryable ? { 'retry-after': RETRY_AFTER_SECONDS } : undefined,
  );
}

/** Sends a whole answer; `extra` are headers of the server's own. */
export function sendWhole(response: ServerResponse, answer: WholeResponse, extra: readonly string[]): void {
  const body = answer.body ?? '';
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  const headers = headList(answer.status, answer.headers, length > 0);
  // Without a body, neither Chroma nor HTTP has a content-length here.
  if (answer.status !== 204 && answer.status !== 304) headers.push('content-length', String(length));
  headers.push(...extra);
  response.writeHead(answer.status, headers);
  response.end(body);
}

/** Sends a streamed answer to its end; rejects when its source does, the answer then being torn off if begun. */
export async function sendStreamed(
  response: ServerResponse,
  answer: StreamedResponse,
  extra: readonly string[],
): Promise<void> {
  const stream = new ResponseStream(response, extra);
  try {
    await answer(stream);
    stream.finish();
  } catch (error) {
    // A client must not take half an answer for a whole one.
    if (response.headersSent) response.destroy();
    throw error;
  }
}

class ResponseStream implements ResponseWriter {
  readonly #response: ServerResponse;
  readonly #extra: readonly string[];
  #remaining: number | null = null;

  constructor(response: ServerResponse, extra: readonly string[]) {
    this.#response = response;
    this.#extra = extra;
  }

  get closed(): boolean {
    return this.#response.destroyed;
  }

  head(status: number, headers?: ResponseHeaders): void {
    const length = headers?.['content-length'];
    if (length !== undefined) this.#remaining = Number(length);
    this.#response.writeHead(status, [...headList(status, headers, true), ...this.#extra]);
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
      throw new Error('a streamed answer has another length than it said');
    }
    this.#response.end();
  }
}

/** The headers of an answer as a flat list, as writeHead takes them fastest. */
export function headList(status: number, headers: ResponseHeaders | undefined, hasBody: boolean): string[] {
  const list: string[] = [];
  let typed = !hasBody;
  for (const name in headers) {
    if (name === 'content-type') typed = true;
    list.push(name, headers[name] ?? '');
  }
  if (!typed) list.unshift('content-type', JSON_TYPE);
  if (status >= 400) list.push(TRACE_HEADER, NO_TRACE);
  return list;
}

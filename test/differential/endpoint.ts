// One side of the comparison: a server that speaks Chroma's HTTP API, reached by nothing but its address. Paths and
// bodies go out as they are given: no client library that would tidy them stands between.

import { Pool } from 'undici';
import type { WireRequest } from './operation.ts';

export interface EndpointResponse {
  /** 0: the connection ended without a response. */
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

export interface Endpoint {
  send(request: WireRequest): Promise<EndpointResponse>;
  close(): Promise<void>;
}

// Far above the slowest call of a small sequence on a loaded machine; a server that hangs is a finding.
const ANSWER_MS_MAX = 30_000;

export function openEndpoint(url: string): Endpoint {
  const pool = new Pool(url, {
    connections: 8,
    headersTimeout: ANSWER_MS_MAX,
    bodyTimeout: ANSWER_MS_MAX,
  });
  return {
    send: (request) => send(pool, request),
    close: () => pool.destroy(),
  };
}

async function send(pool: Pool, { method, path, headers, body }: WireRequest): Promise<EndpointResponse> {
  try {
    const response = await pool.request({ method, path, headers, body });
    return {
      status: response.statusCode,
      contentType: String(response.headers['content-type'] ?? ''),
      body: Buffer.from(await response.body.arrayBuffer()),
    };
  } catch (error) {
    if (!isDropped(error)) throw error;
    return { status: 0, contentType: '', body: Buffer.alloc(0) };
  }
}

// A handler that panics ends the connection. A stopped server refuses it, which is an error of the test.
function isDropped(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET';
}

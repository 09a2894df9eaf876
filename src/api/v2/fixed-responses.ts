// Answers that need no handler: what Chroma's server says on its own, and we in its manner.

import { PolychromeError } from '../../errors.ts';
import type { RouteName } from './routes.ts';
import { responseForError, errorResponse, type WholeResponse } from '../../http/response.ts';
import { BodyError } from '../../http/request-body.ts';
import type { Handler } from '../../http/request.ts';

export const UNSUPPORTED_TYPE = errorResponse(
  415,
  'ChromaError',
  'Expected request with `Content-Type: application/json`',
);

export const STOPPING = new PolychromeError(
  'stopping',
  'This server is stopping. Try another, or again later.',
);

const TOO_LARGE = errorResponse(
  413,
  'ChromaError',
  'Failed to buffer the request body: length limit exceeded',
);
const INTERNAL = errorResponse(
  500,
  'InternalError',
  'An internal error occurred. The log of this server says more.',
);
const V1_GONE = errorResponse(410, 'Unimplemented', 'The v1 API is deprecated. Please use /v2 apis');

const HANDLERS: Readonly<Partial<Record<RouteName, Handler>>> = {
  v1: () => Promise.resolve(V1_GONE),
};

/** For routes nobody gave a handler for. */
export function fallbackHandler(name: RouteName): Handler {
  return HANDLERS[name] ?? notSupported;
}

function notSupported(): Promise<WholeResponse> {
  return Promise.reject(new PolychromeError('unsupported', 'This operation is not supported here.'));
}

/** What became of a request that failed: its answer, whether the connection ends, and whether we are at fault. */
export interface Failure {
  readonly answer: WholeResponse | 'none' | 'timeout';
  readonly ours: boolean;
}

/** The one place where whatever was thrown is turned into an answer. */
export function failureOf(error: unknown): Failure {
  if (error instanceof BodyError) {
    const answers = { too_large: TOO_LARGE, too_slow: 'timeout', client_gone: 'none' } as const;
    return { answer: answers[error.failure], ours: false };
  }
  const answer = responseForError(error);
  return answer === null ? { answer: INTERNAL, ours: true } : { answer, ours: false };
}

// Answers that need no handler: what Chroma's server says on its own, and we in its manner.

import { PolychromeError } from '../../errors.ts';
import type { RouteName } from './routes.ts';
import { answerFor, errorAnswer, type WholeAnswer } from '../../http/response.ts';
import { BodyError } from '../../http/request-body.ts';
import type { Handler } from '../../http/request.ts';

export const UNSUPPORTED_TYPE = errorAnswer(
  415,
  'ChromaError',
  'Expected request with `Content-Type: application/json`',
);

export const STOPPING = new PolychromeError(
  'stopping',
  'This server is stopping. Try another, or again later.',
);

const TOO_LARGE = errorAnswer(413, 'ChromaError', 'Failed to buffer the request body: length limit exceeded');
const INTERNAL = errorAnswer(
  500,
  'InternalError',
  'An internal error occurred. The log of this server says more.',
);
const V1_GONE = errorAnswer(410, 'Unimplemented', 'The v1 API is deprecated. Please use /v2 apis');

const HANDLERS: Readonly<Partial<Record<RouteName, Handler>>> = {
  v1: () => Promise.resolve(V1_GONE),
};

/** For routes nobody gave a handler for. */
export function fallbackHandler(name: RouteName): Handler {
  return HANDLERS[name] ?? notSupported;
}

function notSupported(): Promise<WholeAnswer> {
  return Promise.reject(new PolychromeError('unsupported', 'This operation is not supported here.'));
}

/** What became of a request that failed: its answer, whether the connection ends, and whether we are at fault. */
export interface Failure {
  readonly answer: WholeAnswer | 'none' | 'timeout';
  readonly ours: boolean;
}

/** The one place where whatever was thrown is turned into an answer. */
export function failureOf(error: unknown): Failure {
  if (error instanceof BodyError) {
    const answers = { too_large: TOO_LARGE, too_slow: 'timeout', client_gone: 'none' } as const;
    return { answer: answers[error.failure], ours: false };
  }
  const answer = answerFor(error);
  return answer === null ? { answer: INTERNAL, ours: true } : { answer, ours: false };
}

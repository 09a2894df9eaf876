// Responses that need no handler.

import { PolychromeError } from '../../errors.ts';
import type { Handler } from '../../http/router.ts';
import { errorResponse } from './error-responses.ts';
import type { RouteName } from './routes.ts';

export const UNSUPPORTED_TYPE = errorResponse(
  415,
  'ChromaError',
  'Expected request with `Content-Type: application/json`',
);

const V1_GONE = errorResponse(410, 'Unimplemented', 'The v1 API is deprecated. Please use /v2 apis');

const HANDLERS: Readonly<Partial<Record<RouteName, Handler>>> = {
  v1: () => Promise.resolve(V1_GONE),
};

/** The handler of a route for which none was given. */
export function fallbackHandler(name: RouteName): Handler {
  return HANDLERS[name] ?? notSupported;
}

const notSupported: Handler = () =>
  Promise.reject(new PolychromeError('unsupported', 'This operation is not supported here.'));

// Error responses as clients of the v1 API read them. Python clients map known values of `error` to classes and raise
// anything else as an exception with the whole body; the JavaScript client shows `error` alone.

import type { WholeResponse } from '../../http/response.ts';
import { errorResponse } from '../v2/error-responses.ts';

/** The Python exceptions that servers before 0.6 named in place of today's names. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  InvalidArgumentError: 'ValueError',
  InternalError: 'Exception',
};

/** An error response of the v2 API in the shape of the v1 API. */
export function olderError(response: WholeResponse): WholeResponse {
  const body = errorOf(response);
  if (body === null) return response;
  const { error, message } = body;
  if (/embedding with dimension/.test(message))
    return errorResponse(400, 'InvalidDimension', message, response.headers);
  // Servers before 0.6 said 400.
  if (error === 'NotFoundError' && message.startsWith('Collection '))
    return errorResponse(400, 'InvalidCollection', message, response.headers);
  if (error === 'NotFoundError') return errorResponse(response.status, error, message, response.headers);
  const exception = response.status === 409 ? 'UniqueConstraintError' : (EXCEPTIONS[error] ?? error);
  const quote = message.includes("'") ? '"' : "'";
  return errorResponse(
    response.status,
    `${exception}(${quote}${message}${quote})`,
    message,
    response.headers,
  );
}

function errorOf({ body }: WholeResponse): { readonly error: string; readonly message: string } | null {
  try {
    const { error, message } = JSON.parse(String(body)) as { error?: unknown; message?: unknown };
    return typeof error === 'string' && typeof message === 'string' ? { error, message } : null;
  } catch {
    return null;
  }
}

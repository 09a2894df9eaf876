// Error responses in Chroma's shape: {"error": NAME, "message": TEXT}.

import type { Refusal } from '../../chroma/parse/refusal.ts';
import { errorBody, NO_TRACE, TRACE_HEADER } from '../../chroma/protocol/error-body.ts';
import { PolychromeError } from '../../errors.ts';
import { BodyError, type BodyFailure } from '../../http/request-body.ts';
import type { ResponseHeaders, WholeResponse } from '../../http/response.ts';
import type { ErrorResponses } from '../../http/router.ts';

// Long enough to spread the retries of many clients, short enough for a failover of a few seconds.
const RETRY_AFTER_SECONDS = '1';

export function errorResponse(
  status: number,
  error: string,
  message: string,
  headers?: ResponseHeaders,
): WholeResponse {
  return { status, body: errorBody(error, message), ...(headers === undefined ? {} : { headers }) };
}

/** The response to a body that Chroma refuses. */
export function refusalResponse(refusal: Refusal): WholeResponse {
  return errorResponse(refusal.status, refusal.error, refusal.message);
}

const BODY_RESPONSES: Readonly<Partial<Record<BodyFailure, WholeResponse>>> = {
  too_large: errorResponse(413, 'ChromaError', 'Failed to buffer the request body: length limit exceeded'),
  malformed: errorResponse(
    400,
    'InvalidArgumentError',
    'Failed to buffer the request body: error reading a body from connection',
  ),
};

/** The one place where errors become responses. */
export const ERROR_RESPONSES: ErrorResponses = {
  expected(error) {
    if (error instanceof BodyError) return BODY_RESPONSES[error.failure] ?? null;
    if (!(error instanceof PolychromeError)) return null;
    const { status, name, retryable } = error.kind;
    return errorResponse(
      status,
      name,
      error.message,
      retryable ? { 'retry-after': RETRY_AFTER_SECONDS } : undefined,
    );
  },
  internal: errorResponse(
    500,
    'InternalError',
    'An internal error occurred. The log of this server says more.',
  ),
  headers: [TRACE_HEADER, NO_TRACE],
};

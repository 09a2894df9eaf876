// The errors that Polychrome itself returns to clients and operators. Code throws them where the cause is known;
// http/server.ts converts them into responses of Chroma's shape: {"error": NAME, "message": TEXT}.

/** The values of `error` in Chroma's responses (rust/error/src/lib.rs); official clients map them to classes. */
export type ChromaErrorName =
  'InvalidArgumentError' | 'NotFoundError' | 'InternalError' | 'ChromaError' | 'UniqueConstraintError';

interface ErrorKind {
  readonly status: number;
  readonly name: ChromaErrorName;
  /** True when the same request may succeed later; the response then carries Retry-After. */
  readonly retryable: boolean;
}

const KINDS = {
  invalid_argument: { status: 400, name: 'InvalidArgumentError', retryable: false },
  not_found: { status: 404, name: 'NotFoundError', retryable: false },
  already_exists: { status: 409, name: 'ChromaError', retryable: false },
  /** The cluster is not in a state that allows what an operator asked for. */
  conflict: { status: 409, name: 'ChromaError', retryable: false },
  reserved: { status: 403, name: 'ChromaError', retryable: false },
  reset_disabled: { status: 403, name: 'ChromaError', retryable: false },
  unsupported: { status: 501, name: 'ChromaError', retryable: false },
  too_large: { status: 413, name: 'InvalidArgumentError', retryable: false },
  overloaded: { status: 503, name: 'ChromaError', retryable: true },
  log_unavailable: { status: 503, name: 'ChromaError', retryable: true },
  /** The log may or may not contain the write: only the client can decide whether to repeat it. */
  outcome_unknown: { status: 503, name: 'ChromaError', retryable: false },
  not_leader: { status: 503, name: 'ChromaError', retryable: true },
  no_node: { status: 503, name: 'ChromaError', retryable: true },
  /** Every copy of the collection is suspect; only an operator can repair that. */
  no_healthy_copy: { status: 503, name: 'ChromaError', retryable: false },
  stopping: { status: 503, name: 'ChromaError', retryable: true },
  /** The write is durable in the log; the requested level was not confirmed in time. Not a failure (I3). */
  unconfirmed: { status: 503, name: 'ChromaError', retryable: false },
  internal: { status: 500, name: 'InternalError', retryable: false },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof KINDS;

/** An error for a client. `message` is sent to the client; `cause` never leaves the process. */
export class PolychromeError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'PolychromeError';
    this.code = code;
  }

  get kind(): ErrorKind {
    return KINDS[this.code];
  }
}

/** A failed start whose cause an operator can fix: printed as one sentence, exit code 1. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}

// Every error Polychrome itself answers with, in Chroma's shape: {"error": NAME, "message": TEXT}.
// Errors are raised where they are known and turned into an HTTP answer in one place (http/server.ts).

/** The names Chroma's servers put into `error` (rust/error/src/lib.rs); official clients map them to classes. */
export type ChromaErrorName =
  'InvalidArgumentError' | 'NotFoundError' | 'InternalError' | 'ChromaError' | 'UniqueConstraintError';

interface ErrorKind {
  readonly status: number;
  readonly name: ChromaErrorName;
  /** True when the same request may succeed later; the answer then carries Retry-After. */
  readonly retryable: boolean;
}

const KINDS = {
  invalid_argument: { status: 400, name: 'InvalidArgumentError', retryable: false },
  malformed_json: { status: 400, name: 'InvalidArgumentError', retryable: false },
  unprocessable: { status: 422, name: 'InvalidArgumentError', retryable: false },
  not_found: { status: 404, name: 'NotFoundError', retryable: false },
  already_exists: { status: 409, name: 'ChromaError', retryable: false },
  reserved: { status: 403, name: 'ChromaError', retryable: false },
  reset_disabled: { status: 403, name: 'ChromaError', retryable: false },
  unsupported: { status: 501, name: 'ChromaError', retryable: false },
  too_large: { status: 413, name: 'InvalidArgumentError', retryable: false },
  refused_by_nodes: { status: 400, name: 'InvalidArgumentError', retryable: false },
  overloaded: { status: 503, name: 'ChromaError', retryable: true },
  log_unavailable: { status: 503, name: 'ChromaError', retryable: true },
  /** The log may or may not hold the write; repeating it is the client's decision. */
  outcome_unknown: { status: 503, name: 'ChromaError', retryable: false },
  not_leader: { status: 503, name: 'ChromaError', retryable: true },
  no_node: { status: 503, name: 'ChromaError', retryable: true },
  /** A collection no node holds soundly; only who runs the nodes can mend that. */
  out_of_use: { status: 503, name: 'ChromaError', retryable: false },
  stopping: { status: 503, name: 'ChromaError', retryable: true },
  /** The write is in the log but the asked level was not confirmed in time: not a failure (I3). */
  unconfirmed: { status: 503, name: 'ChromaError', retryable: false },
  internal: { status: 500, name: 'InternalError', retryable: false },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof KINDS;

/** An error meant for a client. `message` is the text the client sees; `cause` never leaves the process. */
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

/** A start that cannot go on for a reason the operator can mend: printed as one sentence, exit code 1. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}

// How a call to a node fails when there is no complete response.

/**
 * - `refused`: the connection was refused (ECONNREFUSED), so the process is gone. Nothing was sent.
 * - `unanswered`: no connection could be made, or it ended before the complete response; see `sent`.
 * - `timeout`: the deadline of a read, or of opening a connection, passed.
 * - `wrong_identity`, `marker_missing`: the server at this address is not the expected node. Nothing was sent.
 * - `older_content`: it is the expected node, but its marker is older than one it is known to have held. Nothing was
 *   sent.
 * - `too_large`: the response exceeded its size limit.
 * - `aborted`: the caller cancelled the call. A mutation that fails so was never sent completely.
 * - `busy`: the queue for connections is full. Nothing was sent.
 */
export type NodeErrorCode =
  | 'refused'
  | 'unanswered'
  | 'timeout'
  | 'wrong_identity'
  | 'marker_missing'
  | 'older_content'
  | 'too_large'
  | 'aborted'
  | 'busy';

/** A call to a node ended without a complete response. */
export class NodeError extends Error {
  readonly code: NodeErrorCode;
  /** Whether any byte of the request may have reached the node. */
  readonly sent: boolean;
  /** Of the response to the marker check that made a connection unusable; null when there was none. */
  readonly status: number | null;

  constructor(
    code: NodeErrorCode,
    message: string,
    { sent = false, cause, status = null }: { sent?: boolean; cause?: unknown; status?: number | null } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'NodeError';
    this.code = code;
    this.sent = sent;
    this.status = status;
  }
}

/** A node responded, and not as it must. */
export class NodeResponseError extends Error {
  override readonly name: string = 'NodeResponseError';
  readonly status: number | null;

  constructor(message: string, status: number | null = null) {
    super(message);
    this.status = status;
  }
}

/** Whether a node responded that it cannot work. */
export function isServerError(error: unknown): boolean {
  const isKnown = error instanceof NodeError || error instanceof NodeResponseError;
  return isKnown && (error.status ?? 0) >= 500;
}

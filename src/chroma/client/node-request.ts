// Requests to a node and its responses, as the node client takes and returns them.

import type { NodeMutation, NodeRead } from '../protocol/node-requests.ts';

export type NodeHeaders = Record<string, string | string[] | undefined>;

export interface NodeResponse {
  readonly status: number;
  readonly headers: NodeHeaders;
  readonly body: Buffer;
}

/** The node's base path is put before `path`. */
export interface ReadRequest extends NodeRead {
  /** Added to `content-type: application/json`, which every request with a body has. */
  readonly headers?: Readonly<Record<string, string>>;
  /** ms from now, waiting for a connection included. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  /** Largest response that is buffered, instead of the client's limit. */
  readonly responseBytesMax?: number;
}

/** The node's base path is put before `path`. */
export interface MutateRequest extends Omit<NodeMutation, 'operation'> {
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Last check before the request becomes complete: before the first byte of a small one, before the last piece of a
   * large one. When it throws, the node cannot have acted, and the call rejects with `aborted`.
   */
  readonly beforeLast?: () => void;
}

export type NodeRequest = ReadRequest | MutateRequest;

/** Receives a streamed response. What it throws ends the call, as the cause of `unanswered`. */
export interface ResponseSink {
  /** Called once, first. `flow` may be kept. */
  head(status: number, headers: NodeHeaders, flow: ResponseFlow): void;
  data(chunk: Buffer): void;
}

/** Back-pressure for a streamed response; a paused response has no deadline. */
export interface ResponseFlow {
  pause(): void;
  resume(): void;
}

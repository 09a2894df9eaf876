// One call to a node: undici's handler for the request, with its deadline, its cancellation and its outcome.

import type { Client, Dispatcher } from 'undici';
import type { Clock } from '../../util/clock.ts';
import { onAbort } from '../../util/race.ts';
import { NodeError } from './node-error.ts';
import type { NodeHeaders, NodeRequest, ReadRequest, ResponseSink } from './node-request.ts';
import { joinBuffers, PIECE_BYTES, splitBody } from './request-body.ts';

const nothing = (): void => {};

export interface NodeCallOptions {
  readonly request: NodeRequest;
  readonly basePath: string;
  readonly sink: ResponseSink;
  readonly clock: Clock;
  /** Called once, when the call has ended. */
  readonly done: (error: Error | null) => void;
}

export class NodeCall implements Dispatcher.DispatchHandler {
  hasEnded = false;
  /** Set by the queue: removes the call from it. */
  leaveQueue = nothing;
  /** Set by the queue: notified when the reader of the response pauses it. */
  onPaused = nothing;
  /** Since when the reader of the response has paused it; clock.monotonic() ms, null while it is not paused. */
  pausedMs: number | null = null;
  readonly #sink: ResponseSink;
  readonly #clock: Clock;
  readonly #done: (error: Error | null) => void;
  readonly #request: PreparedRequest;
  #controller: Dispatcher.DispatchController | null = null;
  #release: () => void = nothing;
  /** Dispatches the request again, once, if no byte of it was sent. */
  #dispatchAgain: (() => void) | null = null;
  #cancelTimer = nothing;
  #cancelSignal = nothing;
  /** When the last piece of the response arrived; null before its head. */
  #lastPieceMs: number | null = null;

  constructor({ request, basePath, sink, clock, done }: NodeCallOptions) {
    this.#request = prepare(request, basePath);
    this.#sink = sink;
    this.#clock = clock;
    this.#done = done;
  }

  /** Sets the deadline; with `perPiece` it starts again with every piece of the response. */
  limit({ deadlineMs, signal }: ReadRequest, perPiece: boolean): void {
    const watch = (ms: number): void => {
      this.#cancelTimer = this.#clock.after(ms, () => {
        const paused = this.#controller?.paused === true;
        const silentMs = paused ? 0 : this.#clock.monotonic() - (this.#lastPieceMs ?? -Infinity);
        if (perPiece && silentMs < deadlineMs) return watch(deadlineMs - silentMs);
        this.fail(this.#error('timeout', `no response within ${deadlineMs} ms`));
      });
    };
    watch(deadlineMs);
    this.#cancelSignal = onAbort(signal, () =>
      this.fail(this.#error('aborted', 'the caller cancelled the call')),
    );
  }

  /** Sends the request; `release` runs when its connection is free again. */
  start(http: Client, release: () => void): void {
    this.leaveQueue = nothing;
    this.#release = release;
    this.#dispatchAgain = () => http.dispatch(this.#request.options, this);
    http.dispatch(this.#request.options, this);
  }

  /** Ends the call, and the connection that carries it: HTTP/1.1 cannot cancel a request otherwise. */
  fail(error: Error): void {
    if (!this.#settle(error)) return;
    this.leaveQueue();
    this.#controller?.abort(error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Throwing here ends the request before its first byte and keeps the connection.
    if (this.hasEnded) throw this.#error('aborted', 'cancelled before the request was sent');
    this.#request.beforeFirst();
    this.#controller = controller;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: NodeHeaders): void {
    if (status < 200) return;
    this.#lastPieceMs = this.#clock.monotonic();
    const pause = (): void => {
      controller.pause();
      this.pausedMs ??= this.#clock.monotonic();
      this.onPaused();
    };
    const resume = (): void => {
      this.pausedMs = null;
      this.#lastPieceMs = this.#clock.monotonic();
      controller.resume();
    };
    this.#sink.head(status, headers, { pause, resume });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // undici's parser passes an empty chunk when it is resumed before more has arrived.
    if (this.hasEnded || chunk.length === 0) return;
    this.#lastPieceMs = this.#clock.monotonic();
    this.#sink.data(chunk);
  }

  onResponseEnd(): void {
    this.#end(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // Failures to connect are NodeErrors. Any other before the first byte means that an idle connection was reset.
    const again = this.#dispatchAgain;
    if (again !== null && this.#controller === null && !this.hasEnded && !(error instanceof NodeError)) {
      this.#dispatchAgain = null;
      return queueMicrotask(again);
    }
    const message = 'the connection ended before the complete response';
    this.#end(error instanceof NodeError ? error : this.#error('unanswered', message, error));
  }

  #end(error: Error | null): void {
    this.#settle(error);
    const release = this.#release;
    this.#release = nothing;
    release();
  }

  #settle(error: Error | null): boolean {
    if (this.hasEnded) return false;
    this.hasEnded = true;
    this.#cancelTimer();
    this.#cancelSignal();
    this.#done(error);
    return true;
  }

  #error(code: 'aborted' | 'timeout' | 'unanswered', message: string, cause?: Error): NodeError {
    return new NodeError(code, message, { sent: this.#controller !== null, cause });
  }
}

interface PreparedRequest {
  readonly options: Dispatcher.DispatchOptions;
  /** Runs before the first byte is sent. */
  readonly beforeFirst: () => void;
}

function prepare(request: NodeRequest, basePath: string): PreparedRequest {
  const headers = 'headers' in request ? Object.entries(request.headers ?? {}).flat() : [];
  const path = basePath + request.path;
  const options: Dispatcher.DispatchOptions = { method: request.method, path, headers };
  const check = (sent: boolean): void => {
    try {
      if ('beforeLast' in request) request.beforeLast?.();
    } catch (cause) {
      throw new NodeError('aborted', 'cancelled before the request was complete', { sent, cause });
    }
  };
  if (request.body === undefined) return { options, beforeFirst: () => check(false) };

  headers.push('content-type', 'application/json');
  const parts = Buffer.isBuffer(request.body) ? [request.body] : request.body;
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  if (bytes <= PIECE_BYTES) {
    options.body = joinBuffers(parts);
    return { options, beforeFirst: () => check(false) };
  }
  // With a content-length, undici writes an iterable without chunked encoding. It asks for the next piece only when
  // the last one has left the process, because a piece is larger than a socket's buffer limit.
  headers.push('content-length', String(bytes));
  const body: unknown = splitBody(parts, bytes, () => check(true));
  options.body = body as Buffer;
  return { options, beforeFirst: nothing };
}

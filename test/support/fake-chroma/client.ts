// A node client without sockets that keeps the promises of the real one: it checks the identity before it uses a
// connection (I12), mutations have no deadline, and calls fail with the same code and `sent`.

import {
  MARKER_PATH,
  sameIdentity,
  type Expected,
  type Identity,
} from '../../../src/chroma/client/identity.ts';
import type { NodeClient } from '../../../src/chroma/client/node-client.ts';
import type {
  ResponseSink,
  MutateRequest,
  NodeResponse,
  ReadRequest,
} from '../../../src/chroma/client/node-request.ts';
import { checkMarker } from '../../../src/chroma/client/verified-connector.ts';
import { NodeError } from '../../../src/chroma/client/node-error.ts';
import type { FakeCall, FakeNode } from './node.ts';
import type { FakeResponse } from './payload.ts';
import { serve } from './routes.ts';

export interface FakeClientOptions {
  /** The expected identity; absent: not checked. */
  readonly expect?: () => Expected | null;
  readonly onDisconnected?: () => void;
  /** 1: a read waits for the response to the one before; otherwise none waits. */
  readonly readConnections?: number;
}

/** A call in flight. */
export interface Flight {
  readonly call: FakeCall;
  readonly client: NodeClient;
  readonly succeed: (response: FakeResponse) => void;
  readonly fail: (error: NodeError) => void;
}

export class FakeNodeClient implements NodeClient {
  readonly url = 'http://fake.invalid';
  readonly #node: FakeNode;
  readonly #options: FakeClientOptions;
  readonly #sent = new Set<Promise<unknown>>();
  /** The generation of the connection and the identity checked on it; null without a connection. */
  #connection: { generation: number; identity: Identity | null } | null = null;
  #closed = false;
  #lastRead: Promise<unknown> = Promise.resolve();

  constructor(node: FakeNode, options: FakeClientOptions) {
    this.#node = node;
    this.#options = options;
  }

  read(request: ReadRequest): Promise<NodeResponse> {
    if (this.#options.readConnections !== 1) return this.#track(this.#send(request, null, request));
    const sent = this.#lastRead.then(() => this.#send(request, null, request));
    this.#lastRead = sent.catch(() => undefined);
    return this.#track(sent);
  }

  async stream(request: ReadRequest, sink: ResponseSink): Promise<void> {
    const { status, headers, body } = await this.read(request);
    sink.head(status, headers, { pause: () => undefined, resume: () => undefined });
    sink.data(body);
  }

  mutate(request: MutateRequest): Promise<NodeResponse> {
    return this.#track(this.#send(request, request.beforeLast ?? null, null));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#sent);
  }

  cutMutations(): void {
    this.#node.cut(this);
  }

  async destroy(): Promise<void> {
    this.#closed = true;
    this.#node.cut(this);
    await Promise.allSettled(this.#sent);
  }

  #track(sent: Promise<NodeResponse>): Promise<NodeResponse> {
    const leave = (): void => void this.#sent.delete(sent);
    this.#sent.add(sent);
    sent.then(leave, leave);
    return sent;
  }

  async #send(
    request: ReadRequest | MutateRequest,
    beforeLast: (() => void) | null,
    limits: ReadRequest | null,
  ): Promise<NodeResponse> {
    // As with sockets, nothing happens before the caller continues.
    await Promise.resolve();
    if (this.#closed || limits?.signal?.aborted === true) {
      throw new NodeError('aborted', 'given up before it was sent');
    }
    this.#connect();
    try {
      beforeLast?.();
    } catch (cause) {
      throw new NodeError('aborted', 'given up before the request was complete', { cause });
    }
    const { method, path, body = Buffer.alloc(0) } = request;
    const bytes = Buffer.isBuffer(body) ? body : Buffer.concat(body);
    const call: FakeCall = { method, path, body: bytes.toString(), mutates: limits === null };
    const { status, text } = await this.#respondTo(call, limits);
    return { status, headers: {}, body: Buffer.from(text) };
  }

  #respondTo(call: FakeCall, limits: ReadRequest | null): Promise<FakeResponse> {
    return new Promise((resolve, reject) => {
      let release = (): void => undefined;
      const flight: Flight = {
        call,
        client: this,
        succeed: (response) => {
          release();
          resolve(response);
        },
        fail: (error) => {
          release();
          this.connectionEnded();
          reject(error);
        },
      };
      if (limits !== null) {
        const giveUp = (code: 'timeout' | 'aborted'): void => {
          this.#node.abandon(flight);
          flight.fail(new NodeError(code, `no response within ${limits.deadlineMs} ms`, { sent: true }));
        };
        const onAbort = (): void => giveUp('aborted');
        const cancel = this.#node.clock.after(limits.deadlineMs, () => giveUp('timeout'));
        limits.signal?.addEventListener('abort', onAbort, { once: true });
        release = () => {
          cancel();
          limits.signal?.removeEventListener('abort', onAbort);
        };
      }
      this.#node.carry(flight);
    });
  }

  #connect(): void {
    const expected = this.#options.expect?.() ?? null;
    if (this.#connection !== null) {
      const { generation, identity } = this.#connection;
      const current = identity === null || (expected !== null && sameIdentity(identity, expected));
      if (generation === this.#node.generation && current) return;
      this.connectionEnded();
    }
    const outcome = this.#attempt(expected);
    if (outcome instanceof NodeError) throw outcome;
    this.#connection = { generation: this.#node.generation, identity: outcome };
  }

  #attempt(expected: Expected | null): Identity | null | NodeError {
    if (!this.#node.up) return new NodeError('refused', 'the connection was refused');
    if (this.#options.expect === undefined) return null;
    const { status, text } = serve(this.#node.server, 'GET', MARKER_PATH);
    return checkMarker({ status, body: Buffer.from(text) }, expected, expected?.markerLSN ?? 0);
  }

  /** The connection has ended, by the node or by this client. */
  connectionEnded(): void {
    if (this.#connection === null) return;
    this.#connection = null;
    this.#options.onDisconnected?.();
  }
}

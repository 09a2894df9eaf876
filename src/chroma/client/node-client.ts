// The client of one Chroma node, through which every call to it is made.
//
// It guarantees that every connection has proved the node's identity before it is used (I12), that a mutation is never
// abandoned while its connection lives, and that nothing is sent twice unless the caller asks for it.

import { Client } from 'undici';
import type { Clock } from '../../util/clock.ts';
import { BufferedResponse } from './buffered-response.ts';
import { CallQueue, type NodeConnection } from './call-queue.ts';
import type { CallKind, CallStats } from './call-stats.ts';
import { sameIdentity, type Expected, type Refuses } from './identity.ts';
import { NodeCall } from './node-call.ts';
import type { MutateRequest, NodeRequest, NodeResponse, ReadRequest, ResponseSink } from './node-request.ts';
import { createUnverifiedConnector, createVerifiedConnector } from './verified-connector.ts';

export interface NodeClient {
  readonly url: string;
  /** Makes a call that changes nothing and buffers the response. Throws NodeError. */
  read(request: ReadRequest): Promise<NodeResponse>;
  /**
   * Makes a call that changes nothing and passes the response to `sink` in pieces; resolves when it is complete. The
   * deadline applies to the head, then to each piece. Throws NodeError, also after the head.
   */
  stream(request: ReadRequest, sink: ResponseSink): Promise<void>;
  /** Makes a call that changes something; it has no deadline while its connection lives. Throws NodeError, see `sent`. */
  mutate(request: MutateRequest): Promise<NodeResponse>;
  /** Ends the connections of calls that change something; those in flight reject as `unanswered`. */
  cutMutations(): void;
  /** Rejects new and queued calls and lets those in flight finish. */
  close(): Promise<void>;
  /** Ends all connections; calls in flight reject as `unanswered`. */
  destroy(): Promise<void>;
}

export interface NodeClientOptions {
  /** http or https, with a base path if the node is behind one. */
  readonly url: string;
  readonly clock: Clock;
  /** For opening a connection and checking the marker. 5 s: the check reads one small sqlite row. */
  readonly connectTimeoutMs?: number;
  /** 16: a stock server serves no more queries per second with more (docs/chroma-behaviour.md#throughput). */
  readonly readConnections?: number;
  /** 8: a server applies writes one after the other; more only lets the uploads of shards overlap. */
  readonly mutateConnections?: number;
  /** Calls of one kind that may wait for a connection. 1024: some seconds of work for a stock server. */
  readonly waitingMax?: number;
  /** Largest response that read() and mutate() buffer. 64 MiB: more than the largest request (40 MiB). */
  readonly responseBytesMax?: number;
  readonly ca?: string | Buffer;
  /** Counts the calls and their time, waiting for a connection included. */
  readonly stats?: CallStats;
  /** Called when an open connection has ended. */
  readonly onDisconnected?: () => void;
}

/** Identity that the node must prove; null means that every connection fails. */
type Expect = () => Expected | null;

// Shorter than the idle limits of common proxies (60 s). Long, because every new connection costs a marker check.
const IDLE_MS = 30_000;

/** A client whose connections are used only after the node's marker has proved the expected identity. */
export function createNodeClient(options: NodeClientOptions & { readonly expect: Expect }): NodeClient {
  return new PooledNodeClient(options, options.expect);
}

/**
 * A client that expects no identity; only for a server that has not joined yet. `refuses` is asked on each connection for
 * calls that change something.
 */
export function createUnverifiedNodeClient(
  options: NodeClientOptions & { readonly refuses?: Refuses },
): NodeClient {
  return new PooledNodeClient(options, null, options.refuses);
}

interface PlannedCall {
  readonly kind: CallKind;
  readonly request: NodeRequest;
  readonly sink: ResponseSink;
}

class PooledNodeClient implements NodeClient {
  readonly url: string;
  readonly #basePath: string;
  readonly #clock: Clock;
  readonly #stats: CallStats | undefined;
  readonly #responseBytesMax: number;
  // Reads and mutations share no connections.
  readonly #reads: CallQueue;
  readonly #mutations: CallQueue;

  constructor(options: NodeClientOptions, expect: Expect | null, refuses: Refuses | null = null) {
    const url = new URL(options.url);
    this.url = options.url;
    this.#basePath = url.pathname.replace(/\/+$/, '');
    this.#clock = options.clock;
    this.#stats = options.stats;
    this.#responseBytesMax = options.responseBytesMax ?? 64 * 1024 * 1024;

    const connect =
      (refusal: Refuses | null): (() => NodeConnection) =>
      () =>
        this.#connect(url.origin, options, { expect, refuses: refusal });
    const isCurrent = ({ identity }: NodeConnection): boolean => {
      const expected = expect?.() ?? null;
      return identity === null || (expected !== null && sameIdentity(expected, identity));
    };
    const shared = { waitingMax: options.waitingMax ?? 1024, isCurrent };
    const { readConnections = 16, mutateConnections = 8 } = options;
    this.#reads = new CallQueue({ ...shared, connect: connect(null), connectionsMax: readConnections });
    this.#mutations = new CallQueue({
      ...shared,
      connect: connect(refuses),
      connectionsMax: mutateConnections,
    });
  }

  async read(request: ReadRequest): Promise<NodeResponse> {
    const response = new BufferedResponse(request.responseBytesMax ?? this.#responseBytesMax);
    await this.#run({ kind: 'read', request, sink: response }, (call) => {
      call.limit(request, false);
      this.#reads.add(call);
    });
    return response.response();
  }

  stream(request: ReadRequest, sink: ResponseSink): Promise<void> {
    return this.#run({ kind: 'read', request, sink }, (call) => {
      call.limit(request, true);
      this.#reads.add(call);
    });
  }

  async mutate(request: MutateRequest): Promise<NodeResponse> {
    const response = new BufferedResponse(this.#responseBytesMax);
    await this.#run({ kind: 'mutation', request, sink: response }, (call) => this.#mutations.add(call));
    return response.response();
  }

  cutMutations(): void {
    this.#mutations.cut();
  }

  async close(): Promise<void> {
    await Promise.all([this.#reads.close(), this.#mutations.close()]);
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#reads.destroy(), this.#mutations.destroy()]);
  }

  #run({ kind, request, sink }: PlannedCall, start: (call: NodeCall) => void): Promise<void> {
    const clock = this.#clock;
    const since = clock.monotonic();
    return new Promise((resolve, reject) => {
      const done = (error: Error | null): void => {
        this.#stats?.observe(kind, error === null ? 'response' : 'failure', clock.monotonic() - since);
        if (error === null) resolve();
        else reject(error);
      };
      start(new NodeCall({ request, basePath: this.#basePath, sink, clock, done }));
    });
  }

  #connect(
    origin: string,
    options: NodeClientOptions,
    { expect, refuses }: { readonly expect: Expect | null; readonly refuses: Refuses | null },
  ): NodeConnection {
    const connectorOptions = {
      basePath: this.#basePath,
      connectTimeoutMs: options.connectTimeoutMs ?? 5000,
      clock: this.#clock,
      ca: options.ca,
    };
    const open =
      expect === null
        ? createUnverifiedConnector(connectorOptions, refuses)
        : createVerifiedConnector({
            ...connectorOptions,
            expect,
            onVerified: (identity) => (connection.identity = identity),
          });
    const connect: typeof open = (target, callback) =>
      open(target, (...outcome) => {
        outcome[1]?.once('close', () => options.onDisconnected?.());
        callback(...outcome);
      });
    const http = new Client(origin, {
      connect,
      pipelining: 1, // a second request on a connection would fail with the first
      headersTimeout: 0, // deadlines are set per call by the injected clock; mutations have none
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
    });
    const connection: NodeConnection = { http, identity: null };
    return connection;
  }
}

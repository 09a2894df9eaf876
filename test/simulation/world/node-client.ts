// The client of a node on the simulated network. It keeps the promises of src/chroma/client/node-client.ts: the identity
// is checked on each connection before it is used (I12), mutations have no deadline, and calls fail with the same codes.

import {
  MARKER_PATH,
  sameIdentity,
  type Expected,
  type Identity,
  type Refuses,
} from '../../../src/chroma/client/identity.ts';
import type { NodeClient } from '../../../src/chroma/client/node-client.ts';
import { NodeError } from '../../../src/chroma/client/node-error.ts';
import type {
  MutateRequest,
  NodeResponse,
  ReadRequest,
  ResponseSink,
} from '../../../src/chroma/client/node-request.ts';
import { checkMarker, checkRefusal } from '../../../src/chroma/client/verified-connector.ts';
import type { FakeResponse } from '../../support/fake-chroma/payload.ts';
import type { ChromaProcess, NodeCall, ServerConnection } from './chroma-process.ts';
import type { Network } from './network.ts';
import type { SimulatedProcess } from './schedule.ts';

export interface SimulatedClientOptions {
  readonly process: SimulatedProcess;
  readonly network: Network;
  readonly node: ChromaProcess;
  /** The expected identity; null: it is not checked. */
  readonly expect: (() => Expected | null) | null;
  /** Asked on each connection for mutating calls when no identity is expected; absent: nothing is refused. */
  readonly refuses?: Refuses | undefined;
  readonly readConnections?: number | undefined;
  readonly mutateConnections?: number | undefined;
  readonly onDisconnected?: (() => void) | undefined;
  /** Called when a mutating call leaves the gateway; returns what is called when it has ended. */
  readonly onSent: (call: NodeCall) => () => void;
  /** Called before a connection for mutating calls is opened. */
  readonly onOpening: (node: string) => void;
}

const CONNECT_MS = 5_000;
/** The kernel gives up a peer that does not respond to its probes. */
const KEEP_ALIVE_MS = 20_000;
const WAITING_MAX = 1_024;

/** One connection; both ends know when it has ended. */
class Connection implements ServerConnection {
  identity: Identity | null = null;
  isOpen = true;
  /** What waits for the response in flight. */
  onResponse: ((response: FakeResponse) => void) | null = null;
  onEnd: () => void = () => undefined;
  readonly #options: SimulatedClientOptions;
  #cancelKeepAlive: () => void = () => undefined;

  readonly #killed = (): void => {
    this.isOpen = false;
    this.#options.node.closed(this);
  };

  constructor(options: SimulatedClientOptions) {
    this.#options = options;
    options.process.onKilled.add(this.#killed);
  }

  /** Sends a call; an unreachable node ends the connection after a while. */
  send(call: NodeCall): void {
    const { process, network, node } = this.#options;
    network.send(process.name, node.id, () => node.receive(call, this));
    const isCut = (): boolean => network.isCut(process.name, node.id) || network.isCut(node.id, process.name);
    const watch = (): void => {
      this.#cancelKeepAlive = process.after(KEEP_ALIVE_MS, () => (isCut() ? this.close() : watch()));
    };
    watch();
  }

  respond(response: FakeResponse): void {
    const { process, network, node } = this.#options;
    const deliver = (): void => {
      if (!this.isOpen) return;
      this.#cancelKeepAlive();
      const { onResponse } = this;
      this.onResponse = null;
      onResponse?.(response);
    };
    network.send(node.id, process.name, deliver, process);
  }

  /** Ended by the server: the client learns of it when the link is whole. */
  end(): void {
    const { process, network, node } = this.#options;
    network.send(node.id, process.name, () => this.close(), process);
  }

  /** Ended by the client, or known to have ended. */
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#cancelKeepAlive();
    this.#options.process.onKilled.delete(this.#killed);
    this.#options.node.closed(this);
    this.onEnd();
  }
}

/** A call that waits for a connection or a response. */
interface PendingCall {
  readonly start: (connection: Connection) => void;
  readonly fail: (error: NodeError) => void;
}

/** The connections for one kind of call. */
class ConnectionQueue {
  readonly #options: SimulatedClientOptions;
  readonly #connectionsMax: number;
  readonly #all = new Set<Connection>();
  #idle: Connection[] = [];
  readonly #waiting = new Set<PendingCall>();
  #opening = 0;
  isClosed = false;

  readonly #onOpening: () => void;
  readonly #refuses: Refuses | null;

  constructor(
    options: SimulatedClientOptions,
    connectionsMax: number,
    onOpening: () => void = () => undefined,
    refuses: Refuses | null = null,
  ) {
    this.#options = options;
    this.#connectionsMax = connectionsMax;
    this.#onOpening = onOpening;
    this.#refuses = refuses;
  }

  add(call: PendingCall): void {
    if (this.isClosed) return call.fail(new NodeError('aborted', 'the client is closed'));
    if (this.#waiting.size >= WAITING_MAX) return call.fail(new NodeError('busy', 'too many calls wait'));
    this.#waiting.add(call);
    this.#startWaiting();
  }

  leave(call: PendingCall): void {
    this.#waiting.delete(call);
  }

  release(connection: Connection): void {
    if (connection.isOpen && this.#all.has(connection)) this.#idle.push(connection);
    this.#startWaiting();
  }

  cut(): void {
    for (const connection of [...this.#all]) connection.close();
  }

  close(): void {
    this.isClosed = true;
    for (const call of [...this.#waiting]) {
      this.leave(call);
      call.fail(new NodeError('aborted', 'the client was closed'));
    }
  }

  #startWaiting(): void {
    for (const call of this.#waiting) {
      const idle = this.#takeIdle();
      if (idle !== null) {
        this.#waiting.delete(call);
        call.start(idle);
        continue;
      }
      if (this.#all.size + this.#opening >= this.#connectionsMax) return;
      this.#waiting.delete(call);
      this.#open(call);
    }
  }

  #takeIdle(): Connection | null {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      const expected = this.#options.expect?.() ?? null;
      const isCurrent =
        idle.identity === null || (expected !== null && sameIdentity(expected, idle.identity));
      if (idle.isOpen && isCurrent) return idle;
      idle.close();
    }
    return null;
  }

  /** Opens a connection and checks the marker on it; the call fails when that fails. */
  #open(call: PendingCall): void {
    const { process, network, node, expect } = this.#options;
    this.#opening += 1;
    this.#onOpening();
    let isSettled = false;
    const settle = (error: NodeError | null, connection: Connection | null): void => {
      if (isSettled) return;
      isSettled = true;
      cancel();
      this.#opening -= 1;
      if (error === null && connection !== null && !this.isClosed) {
        connection.onEnd = () => this.#ended(connection);
        this.#all.add(connection);
        return call.start(connection);
      }
      connection?.close();
      call.fail(error ?? new NodeError('aborted', 'the client was closed'));
      this.#startWaiting();
    };
    let opened: Connection | null = null;
    const cancel = process.after(CONNECT_MS, () =>
      settle(new NodeError('timeout', `no usable connection within ${CONNECT_MS} ms`), opened),
    );
    const refused = (): void => settle(new NodeError('refused', 'the connection was refused'), null);
    const verify = (): void => {
      const connection = new Connection(this.#options);
      opened = connection;
      node.accept(connection);
      const refuses = this.#refuses;
      if (expect === null && refuses === null) return settle(null, connection);
      const markerLSN = expect?.()?.markerLSN ?? 0;
      connection.onEnd = () =>
        settle(new NodeError('unanswered', 'the connection ended during the marker check'), null);
      connection.onResponse = ({ status, text }) => {
        const response = { status, body: Buffer.from(text) };
        if (expect === null) return settle(checkRefusal(response, refuses ?? (() => null)), connection);
        const found = checkMarker(response, expect(), markerLSN);
        if (found instanceof NodeError) return settle(found, connection);
        connection.identity = found;
        settle(null, connection);
      };
      connection.send(callOf(this.#options, { method: 'GET', path: MARKER_PATH }, false));
    };
    network.send(process.name, node.id, () =>
      network.send(node.id, process.name, node.isUp ? verify : refused, process),
    );
  }

  #ended(connection: Connection): void {
    this.#all.delete(connection);
    this.#idle = this.#idle.filter((other) => other !== connection);
    connection.onResponse = null;
    this.#options.onDisconnected?.();
    this.#startWaiting();
  }
}

function callOf(
  { process, node }: SimulatedClientOptions,
  request: Pick<ReadRequest | MutateRequest, 'method' | 'path' | 'body'>,
  mutates: boolean,
): NodeCall {
  const { method, path, body = Buffer.alloc(0) } = request;
  const text = (Buffer.isBuffer(body) ? body : Buffer.concat(body)).toString();
  return { method, path, body: text, mutates, gateway: process.name, addressee: node.id };
}

export class SimulatedNodeClient implements NodeClient {
  readonly url: string;
  readonly #options: SimulatedClientOptions;
  readonly #reads: ConnectionQueue;
  readonly #mutations: ConnectionQueue;
  readonly #running = new Set<Promise<unknown>>();

  constructor(url: string, options: SimulatedClientOptions) {
    this.url = url;
    this.#options = options;
    this.#reads = new ConnectionQueue(options, options.readConnections ?? 16);
    const { node, onOpening, refuses, mutateConnections = 8 } = options;
    this.#mutations = new ConnectionQueue(options, mutateConnections, () => onOpening(node.id), refuses);
  }

  read(request: ReadRequest): Promise<NodeResponse> {
    return this.#track(this.#call(this.#reads, request, request));
  }

  async stream(request: ReadRequest, sink: ResponseSink): Promise<void> {
    const { status, headers, body } = await this.read(request);
    sink.head(status, headers, { pause: () => undefined, resume: () => undefined });
    sink.data(body);
  }

  mutate(request: MutateRequest): Promise<NodeResponse> {
    return this.#track(this.#call(this.#mutations, request, null));
  }

  cutMutations(): void {
    this.#mutations.cut();
  }

  async close(): Promise<void> {
    this.#reads.close();
    this.#mutations.close();
    await Promise.allSettled(this.#running);
    this.#reads.cut();
    this.#mutations.cut();
  }

  async destroy(): Promise<void> {
    this.#reads.close();
    this.#mutations.close();
    this.#reads.cut();
    this.#mutations.cut();
    await Promise.allSettled(this.#running);
  }

  #track(sent: Promise<NodeResponse>): Promise<NodeResponse> {
    const leave = (): void => void this.#running.delete(sent);
    this.#running.add(sent);
    sent.then(leave, leave);
    return sent;
  }

  #call(
    queue: ConnectionQueue,
    request: ReadRequest | MutateRequest,
    limits: ReadRequest | null,
  ): Promise<NodeResponse> {
    const { process, onSent } = this.#options;
    return new Promise((resolve, reject) => {
      let connection: Connection | null = null;
      let isSent = false;
      let isDone = false;
      let onEnded = (): void => undefined;
      const finish = (end: () => void): void => {
        if (isDone) return;
        isDone = true;
        onEnded();
        cancelDeadline();
        limits?.signal?.removeEventListener('abort', onAbort);
        end();
      };
      const fail = (error: NodeError): void => finish(() => reject(error));
      const giveUp = (code: 'timeout' | 'aborted'): void => {
        queue.leave(pending);
        fail(new NodeError(code, 'the caller gave up', { sent: isSent }));
        // A response without a reader would be taken for that of the next call.
        connection?.close();
      };
      const onAbort = (): void => giveUp('aborted');
      const start = (opened: Connection): void => {
        if (isDone) return queue.release(opened);
        connection = opened;
        const ended = opened.onEnd;
        try {
          if (limits === null) (request as MutateRequest).beforeLast?.();
        } catch (cause) {
          queue.release(opened);
          return fail(new NodeError('aborted', 'given up before the request was complete', { cause }));
        }
        const call = callOf(this.#options, request, limits === null);
        opened.onEnd = () => {
          opened.onEnd = ended;
          ended();
          fail(new NodeError('unanswered', 'the connection ended without a whole response', { sent: true }));
        };
        opened.onResponse = ({ status, text }) => {
          opened.onEnd = ended;
          finish(() => resolve({ status, headers: {}, body: Buffer.from(text) }));
          queue.release(opened);
        };
        isSent = true;
        if (call.mutates) onEnded = onSent(call);
        opened.send(call);
      };
      const pending: PendingCall = { start, fail };
      const cancelDeadline =
        limits === null ? () => undefined : process.after(limits.deadlineMs, () => giveUp('timeout'));
      if (limits?.signal?.aborted === true) return giveUp('aborted');
      limits?.signal?.addEventListener('abort', onAbort, { once: true });
      // As with sockets, nothing happens before the caller continues.
      queueMicrotask(() => {
        if (!isDone) queue.add(pending);
      });
    });
  }
}

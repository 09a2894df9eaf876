// The connections to a node for one kind of call, and the calls that wait for one of them.

import type { Client } from 'undici';
import type { Identity } from './identity.ts';
import type { NodeCall } from './node-call.ts';
import { NodeError } from './node-error.ts';

/** An HTTP client with one connection. */
export interface NodeConnection {
  readonly http: Client;
  /** Identity that the current or last socket was checked for; null when it was not checked. */
  identity: Identity | null;
}

export interface CallQueueOptions {
  readonly connectionsMax: number;
  readonly waitingMax: number;
  readonly connect: () => NodeConnection;
  /** False when another identity is expected now than the connection was checked for. */
  readonly isCurrent: (connection: NodeConnection) => boolean;
}

// Paused responses hold connections in addition to `connectionsMax`, up to this many; then the slowest is aborted.
const PAUSED_MAX = 32;

/** Bounded queue over a few connections: undici's Pool has no bound, and cannot drop a queued call at its deadline. */
export class CallQueue {
  readonly #options: CallQueueOptions;
  readonly #connections = new Set<NodeConnection>();
  /** A stack, so that connections that are not needed stay idle and close. */
  readonly #idle: NodeConnection[] = [];
  readonly #waiting = new Set<NodeCall>();
  readonly #running = new Set<NodeCall>();
  #closed = false;
  #whenIdle = (): void => {};

  constructor(options: CallQueueOptions) {
    this.#options = options;
  }

  /** Starts the call, or queues it; fails it with `busy` when the queue is full. */
  add(call: NodeCall): void {
    if (call.hasEnded) return;
    if (this.#closed) return call.fail(new NodeError('aborted', 'the client is closed'));
    const connection = this.#takeConnection();
    if (connection !== null) return this.#run(call, connection);
    if (this.#waiting.size >= this.#options.waitingMax) {
      return call.fail(new NodeError('busy', `${this.#waiting.size} calls already wait for this node`));
    }
    this.#waiting.add(call);
    call.leaveQueue = () => this.#waiting.delete(call);
  }

  /** Ends every connection; later calls open new ones. */
  cut(): void {
    for (const connection of this.#connections) void connection.http.destroy();
    this.#connections.clear();
    this.#idle.length = 0;
  }

  /** Rejects queued calls, lets running ones finish, then closes the connections. */
  async close(): Promise<void> {
    this.#rejectQueued();
    if (this.#idle.length < this.#connections.size) {
      await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    }
    await this.destroy();
  }

  async destroy(): Promise<void> {
    this.#rejectQueued();
    await Promise.all(Array.from(this.#connections, (connection) => connection.http.destroy()));
  }

  #rejectQueued(): void {
    this.#closed = true;
    for (const call of this.#waiting) call.fail(new NodeError('aborted', 'the client was closed'));
  }

  #takeConnection(): NodeConnection | null {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (this.#options.isCurrent(idle)) return idle;
      this.#connections.delete(idle);
      void idle.http.destroy();
    }
    const paused = [...this.#running].filter((call) => call.pausedMs !== null);
    if (this.#connections.size - Math.min(paused.length, PAUSED_MAX) >= this.#options.connectionsMax) {
      if (paused.length > PAUSED_MAX) queueMicrotask(() => abortSlowest(paused));
      return null;
    }
    const connection = this.#options.connect();
    this.#connections.add(connection);
    return connection;
  }

  #run(call: NodeCall, connection: NodeConnection): void {
    this.#running.add(call);
    call.onPaused = () => this.#startQueued();
    call.start(connection.http, () => {
      this.#running.delete(call);
      // A connection that was cut is not used again.
      if (this.#connections.has(connection)) this.#idle.push(connection);
      this.#startQueued();
    });
  }

  #startQueued(): void {
    if (this.#idle.length === this.#connections.size) this.#whenIdle();
    for (const call of this.#waiting) {
      const connection = this.#takeConnection();
      if (connection === null) return;
      this.#waiting.delete(call);
      this.#run(call, connection);
    }
  }
}

function abortSlowest(paused: NodeCall[]): void {
  const [slowest] = paused.sort((a, b) => (a.pausedMs ?? 0) - (b.pausedMs ?? 0));
  const message = 'the reader of the response is too slow, and other calls wait';
  slowest?.fail(new NodeError('aborted', message, { sent: true }));
}

// A server under test: its address, its collections, and how to wait until it is idle.

import { setTimeout as wait } from 'node:timers/promises';
import type { Address, Call } from './connection.ts';
import type { Supply } from './supply.ts';

/** The fields of a node in Polychrome's /status that the benchmark uses. */
export interface NodeStatus {
  readonly id: string;
  readonly url: string;
  readonly role: string;
  readonly state: string;
  readonly checkpoint: number;
  readonly pid?: number;
}

export interface ClusterStatus {
  readonly head: number;
  readonly nodes: readonly NodeStatus[];
}

export interface ServerOptions {
  readonly address: Address;
  /** Process id of the gateway; undefined for targets without one. */
  readonly gatewayPid?: number;
  readonly stop: () => Promise<void>;
}

const DATABASE_PATH = '/api/v2/tenants/default_tenant/databases/default_database/collections';
const SETTLE_TIMEOUT_MS = 300_000;
const SETTLE_POLL_MS = 20;
const REQUEST_TIMEOUT_MS = 120_000;

/** One collection of one server. */
export class Collection {
  readonly id: string;
  readonly #server: Server;
  readonly #heads = new Map<string, Buffer>();

  constructor(server: Server, id: string) {
    this.#server = server;
    this.id = id;
  }

  /** A call of `operation` with the next body of `supply`; each line of `headers` ends with CRLF. */
  call(operation: string, supply: Supply, headers = ''): Call {
    const body = supply.next();
    return { head: this.#head(operation, body.length, headers), body, operations: supply.operations };
  }

  /** Sends one unmeasured call; throws unless the response is 2xx. */
  send(operation: string, body: Buffer): Promise<unknown> {
    return this.#server.request('POST', `${DATABASE_PATH}/${this.id}/${operation}`, body);
  }

  async count(): Promise<number> {
    return Number(await this.#server.request('GET', `${DATABASE_PATH}/${this.id}/count`));
  }

  /** Resolves when the server is idle. */
  settle(): Promise<void> {
    return this.#server.settle();
  }

  #head(operation: string, length: number, headers: string): Buffer {
    const key = `${operation} ${length} ${headers}`;
    let head = this.#heads.get(key);
    if (head === undefined) {
      const { host, port } = this.#server.address;
      head = Buffer.from(
        `POST ${DATABASE_PATH}/${this.id}/${operation} HTTP/1.1\r\nhost: ${host}:${port}\r\n` +
          `content-type: application/json\r\n${headers}content-length: ${length}\r\n\r\n`,
      );
      this.#heads.set(key, head);
    }
    return head;
  }
}

export class Server {
  readonly address: Address;
  readonly gatewayPid: number | undefined;
  readonly #options: ServerOptions;
  readonly #collections = new Map<string, Collection>();

  constructor(options: ServerOptions) {
    this.#options = options;
    this.address = options.address;
    this.gatewayPid = options.gatewayPid;
  }

  /** True for Polychrome, which has a log and a status endpoint. */
  get isReplicated(): boolean {
    return this.gatewayPid !== undefined;
  }

  /** The named collection; created and filled with `bodies` on first use. */
  async collection(name: string, bodies: readonly Buffer[]): Promise<Collection> {
    return this.#collections.get(name) ?? this.recreateCollection(name, bodies);
  }

  /** Drops the named collection if it exists, creates it and fills it with `bodies`. */
  async recreateCollection(name: string, bodies: readonly Buffer[]): Promise<Collection> {
    if (this.#collections.delete(name)) await this.request('DELETE', `${DATABASE_PATH}/${name}`);
    const created = await this.request('POST', DATABASE_PATH, Buffer.from(JSON.stringify({ name })));
    const collection = new Collection(this, (created as { id: string }).id);
    for (const body of bodies) await collection.send('add', body);
    await this.settle();
    this.#collections.set(name, collection);
    return collection;
  }

  /** The parsed body of a 2xx response; throws an error that quotes any other response. */
  async request(method: string, path: string, body?: Buffer): Promise<unknown> {
    const { host, port } = this.address;
    const response = await fetch(`http://${host}:${port}${path}`, {
      method,
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: HTTP ${response.status} ${text.slice(0, 300)}`);
    return text === '' ? null : JSON.parse(text);
  }

  async status(): Promise<ClusterStatus> {
    return (await this.request('GET', '/status')) as ClusterStatus;
  }

  /** Resolves when every node is serving and has applied the whole log. */
  async settle(): Promise<void> {
    if (!this.isReplicated) return;
    const deadline = performance.now() + SETTLE_TIMEOUT_MS;
    for (;;) {
      const { head, nodes } = await this.status();
      const isSettled = nodes.every(({ checkpoint, state }) => checkpoint >= head && state === 'serving');
      if (isSettled) return;
      if (performance.now() > deadline) {
        throw new Error(
          `nodes did not catch up within ${SETTLE_TIMEOUT_MS / 1_000} s: ${JSON.stringify(nodes)}`,
        );
      }
      await wait(SETTLE_POLL_MS);
    }
  }

  stop(): Promise<void> {
    return this.#options.stop();
  }
}

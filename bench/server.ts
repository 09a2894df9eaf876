// A server under test, whatever it is made of: its address, its collections, and how to know that it is at rest.

import { setTimeout as wait } from 'node:timers/promises';
import type { Address, Call } from './connection.ts';
import type { Supply } from './supply.ts';

/** A node as Polychrome's /status shows it; the fields that a benchmark needs. */
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
  /** Of the gateway; undefined for servers without one. */
  readonly gatewayPid?: number;
  readonly stop: () => Promise<void>;
}

const DATABASE_PATH = '/api/v2/tenants/default_tenant/databases/default_database/collections';
const SETTLE_WAIT_MS = 300_000;
const SETTLE_POLL_MS = 20;
const REQUEST_WAIT_MS = 120_000;

/** One collection of one server: makes calls to it. */
export class Collection {
  readonly id: string;
  readonly #server: Server;
  readonly #heads = new Map<string, Buffer>();

  constructor(server: Server, id: string) {
    this.#server = server;
    this.id = id;
  }

  /** The next body of `supply`, on its way to `operation`; `headers` are lines, each ended by CRLF. */
  call(operation: string, supply: Supply, headers = ''): Call {
    const body = supply.next();
    return { head: this.#head(operation, body.length, headers), body, operations: supply.operations };
  }

  /** One call outside any measurement; throws unless it is answered with 2xx. */
  send(operation: string, body: Buffer): Promise<unknown> {
    return this.#server.request('POST', `${DATABASE_PATH}/${this.id}/${operation}`, body);
  }

  async count(): Promise<number> {
    return Number(await this.#server.request('GET', `${DATABASE_PATH}/${this.id}/count`));
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

  /** True for Polychrome: it has a log, levels of acknowledgement and a status. */
  get replicated(): boolean {
    return this.gatewayPid !== undefined;
  }

  /** The collection of that name; made and filled with `bodies` at first. */
  async collection(name: string, bodies: readonly Buffer[]): Promise<Collection> {
    return this.#collections.get(name) ?? this.freshCollection(name, bodies);
  }

  /** The collection of that name, dropped if there is one, made anew and filled with `bodies`. */
  async freshCollection(name: string, bodies: readonly Buffer[]): Promise<Collection> {
    if (this.#collections.delete(name)) await this.request('DELETE', `${DATABASE_PATH}/${name}`);
    const created = await this.request('POST', DATABASE_PATH, Buffer.from(JSON.stringify({ name })));
    const collection = new Collection(this, (created as { id: string }).id);
    for (const body of bodies) await collection.send('add', body);
    await this.settle();
    this.#collections.set(name, collection);
    return collection;
  }

  /** Answered with 2xx, parsed; else an error that shows the answer. */
  async request(method: string, path: string, body?: Buffer): Promise<unknown> {
    const { host, port } = this.address;
    const answer = await fetch(`http://${host}:${port}${path}`, {
      method,
      signal: AbortSignal.timeout(REQUEST_WAIT_MS),
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: HTTP ${answer.status} ${text.slice(0, 300)}`);
    return text === '' ? null : JSON.parse(text);
  }

  async status(): Promise<ClusterStatus> {
    return (await this.request('GET', '/status')) as ClusterStatus;
  }

  /** Resolves when every node has applied the whole log and serves: what follows is measured on a quiet server. */
  async settle(): Promise<void> {
    if (!this.replicated) return;
    const deadline = performance.now() + SETTLE_WAIT_MS;
    for (;;) {
      const { head, nodes } = await this.status();
      const level = nodes.every(({ checkpoint, state }) => checkpoint >= head && state === 'serving');
      if (level) return;
      if (performance.now() > deadline) {
        throw new Error(
          `The nodes are not level after ${SETTLE_WAIT_MS / 1_000} s: ${JSON.stringify(nodes)}`,
        );
      }
      await wait(SETTLE_POLL_MS);
    }
  }

  stop(): Promise<void> {
    return this.#options.stop();
  }
}

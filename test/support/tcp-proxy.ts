// A way to a server that can be made slow, silent, broken or closed, while the server behind it stays as it is.

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export type ProxyMode =
  /** Bytes go both ways as they come. */
  | 'pass'
  /** Nothing listens. */
  | 'refuse'
  /** Connections are taken, and nothing goes through any more, either way. */
  | 'silent'
  /** What the client sends arrives; its connection is reset when the server begins to answer. */
  | 'reset';

export class TcpProxy {
  readonly port: number;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #server: Server;
  #mode: ProxyMode = 'pass';
  /** What the server answers is held back this long, ms. */
  delayMs = 0;
  /** Sees what a client sends before it is passed on, and may change the mode for it. */
  onRequest: ((chunk: Buffer) => void) | null = null;
  /** Connections reset in mode `reset`, or for a request that was to be broken off. */
  resets = 0;
  /** A request is passed on and its connection reset when the server begins to answer. */
  breaksOff: ((chunk: Buffer) => boolean) | null = null;

  private constructor(server: Server, port: number, target: { host: string; port: number }) {
    this.#server = server;
    this.port = port;
    this.#target = target;
    server.on('connection', (socket: Socket) => this.#join(socket));
  }

  /** A proxy on a free port of 127.0.0.1, in front of the server at `url`. */
  static async start(url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url);
    const server = createServer();
    const own = await listen(server, 0);
    return new TcpProxy(server, own, { host: hostname, port: Number(port) });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Changes what happens from now on, to open connections too. */
  async set(mode: ProxyMode): Promise<void> {
    if (mode === this.#mode) return;
    const before = this.#mode;
    this.#mode = mode;
    if (mode === 'refuse') {
      this.cut();
      await close(this.#server);
    } else if (before === 'refuse') {
      this.#server = createServer((socket) => this.#join(socket));
      await listen(this.#server, this.port);
    }
    // What was sent into silence is lost for good, as it is when a network comes back after its connections ended.
    if (before === 'silent') this.cut();
  }

  /** Ends every open connection with a reset. */
  cut(): void {
    for (const [client, server] of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    if (this.#mode !== 'refuse') await close(this.#server);
  }

  #join(client: Socket): void {
    const server = connect(this.#target);
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of pair) socket.setNoDelay(true).on('close', end).on('error', end);
    let broken = false;
    client.on('data', (chunk: Buffer) => {
      this.onRequest?.(chunk);
      broken ||= this.breaksOff?.(chunk) === true;
      if (this.#mode !== 'silent') server.write(chunk);
    });
    server.on('data', (chunk) => this.#answer(client, chunk, broken));
  }

  #answer(client: Socket, chunk: Buffer, broken: boolean): void {
    if (this.#mode === 'silent') return;
    if (this.#mode === 'reset' || broken) {
      this.resets += 1;
      return void client.resetAndDestroy();
    }
    if (this.delayMs === 0) return void client.write(chunk);
    setTimeout(() => {
      if (!client.destroyed) client.write(chunk);
    }, this.delayMs);
  }
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was assigned');
  return address.port;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  await closed;
}

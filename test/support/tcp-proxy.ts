// A TCP proxy that can be slow, silent, broken or closed.

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export type ProxyMode =
  /** Bytes pass in both directions. */
  | 'pass'
  /** Connections are refused. */
  | 'refuse'
  /** Connections are accepted, and no byte passes in either direction. */
  | 'silent'
  /** Requests are lost, responses pass. */
  | 'deaf'
  /** Requests pass, responses are lost. */
  | 'mute'
  /** Requests pass; the connection is reset when the server starts to respond. */
  | 'reset';

export class TcpProxy {
  readonly port: number;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #server: Server;
  #mode: ProxyMode = 'pass';
  /** Delay of responses, ms. */
  delayMs = 0;
  /** Called with each chunk of a request before it passes; may change the mode for it. */
  onRequest: ((chunk: Buffer) => void) | null = null;
  /** The response to what a client sends, in place of the server's; null: it is forwarded. */
  intercept: ((chunk: Buffer) => string | null) | null = null;
  /** What the request of this chunk waits for before it passes; null: nothing. Other connections go on. */
  holds: ((chunk: Buffer) => Promise<void> | null) | null = null;
  /** Number of connections reset in mode `reset` or by `breaksOff`. */
  resets = 0;
  /** Whether the request of this chunk passes and its connection is reset when the server starts to respond. */
  breaksOff: ((chunk: Buffer) => boolean) | null = null;

  private constructor(server: Server, port: number, target: { host: string; port: number }) {
    this.#server = server;
    this.port = port;
    this.#target = target;
    server.on('connection', (socket: Socket) => this.#join(socket));
  }

  /** Starts a proxy for the server at `url` on a free port of 127.0.0.1. */
  static async start(url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url);
    const server = createServer();
    const own = await listen(server, 0);
    return new TcpProxy(server, own, { host: hostname, port: Number(port) });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Changes the mode, for open connections too. */
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
    // Bytes sent in silence are lost, as when a network recovers after its connections ended.
    if (before === 'silent' || before === 'deaf' || before === 'mute') this.cut();
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
      const response = this.intercept?.(chunk) ?? null;
      // The connection ends: the server may have received the head of the request already.
      if (response !== null) return void client.end(response);
      broken ||= this.breaksOff?.(chunk) === true;
      const pass = (): void => {
        if (this.#mode !== 'silent' && this.#mode !== 'deaf' && !server.destroyed) server.write(chunk);
      };
      const released = this.holds?.(chunk) ?? null;
      if (released === null) return pass();
      client.pause();
      void released.then(() => {
        pass();
        client.resume();
      });
    });
    server.on('data', (chunk) => this.#respond(client, chunk, broken));
  }

  #respond(client: Socket, chunk: Buffer, broken: boolean): void {
    if (this.#mode === 'silent' || this.#mode === 'mute') return;
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

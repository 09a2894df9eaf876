// One gateway of a chaos run: a process that is started again when it ends, with a proxy of its own on every link: to its
// clients, to PostgreSQL and to each node.

import { type ChildProcess, spawn } from 'node:child_process';
import { resolve as absolute } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { findFreePort } from '../../src/local/port.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const RESTART_MS = 300;
const OUTPUT_MAX = 20_000;

export interface GatewayProcessOptions {
  readonly name: string;
  readonly databaseUrl: string;
  readonly nodes: readonly { readonly id: string; readonly url: string }[];
  readonly settings: Readonly<Record<string, string>>;
}

export class GatewayProcess {
  readonly name: string;
  /** Between clients and this gateway. */
  readonly clients: TcpProxy;
  /** Between this gateway and PostgreSQL. */
  readonly postgres: TcpProxy;
  /** Between this gateway and each node. */
  readonly nodes: ReadonlyMap<string, TcpProxy>;
  readonly #port: number;
  readonly #options: GatewayProcessOptions;
  #child: ChildProcess | null = null;
  #isWanted = true;
  /** The end of what it has written. */
  output = '';
  /** How often its process ended. */
  exits = 0;

  private constructor(
    options: GatewayProcessOptions,
    parts: Pick<GatewayProcess, 'port' | 'clients' | 'postgres' | 'nodes'>,
  ) {
    this.name = options.name;
    this.#options = options;
    this.#port = parts.port;
    this.clients = parts.clients;
    this.postgres = parts.postgres;
    this.nodes = parts.nodes;
  }

  static async start(options: GatewayProcessOptions, taken: ReadonlySet<number>): Promise<GatewayProcess> {
    const port = await findFreePort(taken);
    const { hostname, port: postgresPort } = new URL(options.databaseUrl);
    const [clients, postgres] = await Promise.all([
      TcpProxy.start(`http://127.0.0.1:${port}`),
      TcpProxy.start(`http://${hostname}:${postgresPort}`),
    ]);
    const nodes = new Map<string, TcpProxy>();
    for (const { id, url } of options.nodes) nodes.set(id, await TcpProxy.start(url));
    const gateway = new GatewayProcess(options, { port, clients, postgres, nodes });
    gateway.#spawn();
    return gateway;
  }

  /** Where clients find it. */
  get url(): string {
    return this.clients.url;
  }

  /** Its own address, past the proxy. */
  get directUrl(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Signals its process; when it ends it is started again. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    this.#isWanted = false;
    const child = this.#child;
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    await Promise.all([this.clients, this.postgres, ...this.nodes.values()].map((proxy) => proxy.stop()));
  }

  #spawn(): void {
    const url = new URL(this.#options.databaseUrl);
    url.port = String(this.postgres.port);
    url.hostname = '127.0.0.1';
    // Gateways know a node by one address, behind which each finds its own proxy.
    const redirected = this.#options.nodes.map(({ id, url: node }) => [
      new URL(node).port,
      this.nodes.get(id)!.port,
    ]);
    const own = {
      DATABASE_URL: url.href,
      PORT: String(this.#port),
      HOST: '127.0.0.1',
      NODES: this.#options.nodes.map((node) => `${node.id}=${node.url}`).join(','),
      NODE_OPTIONS: `--import=${absolute('test/support/redirect-connections.ts')}`,
      REDIRECTED_PORTS: JSON.stringify(Object.fromEntries(redirected)),
    };
    const child = spawn(process.execPath, ['src/main.ts', 'serve'], {
      env: { ...process.env, ...this.#options.settings, ...own },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text) => (this.output = (this.output + String(text)).slice(-OUTPUT_MAX)));
    child.once('exit', () => {
      if (this.#isWanted) this.exits += 1;
      void pause(RESTART_MS).then(() => this.#isWanted && this.#spawn());
    });
    this.#child = child;
  }
}

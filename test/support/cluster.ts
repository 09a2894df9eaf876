// A real cluster for a test: PostgreSQL, Chroma servers, and a gateway in this process or in a separate one.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/config.ts';
import type { Status } from '../../src/api/admin/status.ts';
import { startGateway, type Gateway } from '../../src/app/gateway.ts';
import { startLocalCluster, type LocalCluster } from '../../src/local/cluster.ts';
import { openDataDirectory } from '../../src/local/data-directory.ts';
import type { NodeDirectory } from '../../src/nodes/node-directory.ts';
import { findFreePort } from '../../src/local/port.ts';
import { ChromaHttp } from './chroma-http.ts';
import { copyPostgresTemplate } from './postgres-template.ts';
import { sql, type SqlTarget } from './postgres-faults.ts';
import { chromaCommand } from './chroma-server.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { until } from './until.ts';

export interface ClusterOptions {
  readonly nodes?: number;
  /** Settings of the gateway, as in the environment. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The command of the Chroma release; undefined: that of `chromaCommand`, null: the newest installed one that loads. */
  readonly chroma?: string | null;
  /** Puts a TcpProxy between the gateway and each node. */
  readonly proxied?: boolean;
  /** The connection string to use instead of the cluster's own, given that one. */
  readonly databaseUrl?: (own: string) => Promise<string>;
  /** The superuser's connection string where the gateway uses another PostgreSQL than the cluster's own. */
  readonly superuserUrl?: () => string;
  /** What names the nodes to the gateway, given all nodes; by default NODES. */
  readonly nodeDirectory?: (nodes: LocalCluster['nodes']) => NodeDirectory;
  /** Called before the gateway starts for the first time. */
  readonly prepare?: (cluster: TestCluster) => Promise<void>;
  /** Restarts nodes that hang or cannot work, as `polychrome up` does; only with the gateway in this process. */
  readonly restartsNodes?: boolean;
  /** Runs the gateway in a separate process, so that it can be killed, with these variables in its environment. */
  readonly ownProcess?: Readonly<Record<string, string>>;
}

const quiet = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  debug: () => undefined,
};

/**
 * The collection that a node's copy belongs to, by the copy's id there; null for a copy that is not in use, or that a
 * node which was killed twice during its drop has kept under another name.
 */
export async function copyNames(cluster: SqlTarget): Promise<(id: string, name: string) => string | null> {
  const rows = await sql<{ physical: string; state: string; name: string }>(
    cluster,
    `select n.physical, n.state, c.name from polychrome.node_shard n
     join polychrome.shard x on x.id = n.shard join polychrome.collection c on c.id = x.collection`,
  );
  const copies = new Map(
    rows.map(({ physical, state, name }) => [physical, state === 'current' ? name : null]),
  );
  return (id, name) => {
    if (name === `deleted-${id}` || copies.get(id) === null) return null;
    return copies.get(id) ?? name;
  };
}

export class TestCluster {
  readonly local: LocalCluster;
  readonly #dir: string;
  readonly #options: ClusterOptions;
  readonly #port: number;
  readonly #proxies = new Map<string, TcpProxy>();
  #gateway: Gateway | null = null;
  #process: ChildProcess | null = null;
  #databaseUrl: string | null = null;
  /** The output of a gateway in a separate process. */
  output = '';

  private constructor(local: LocalCluster, dir: string, port: number, options: ClusterOptions) {
    this.local = local;
    this.#dir = dir;
    this.#port = port;
    this.#options = options;
  }

  /** Starts everything and resolves when the gateway is ready and every node serves. */
  static async start(options: ClusterOptions = {}): Promise<TestCluster> {
    const dir = await mkdtemp(join(tmpdir(), 'polychrome-test-'));
    let cluster: TestCluster | undefined;
    await copyPostgresTemplate(openDataDirectory(join(dir, 'data')).postgresFolder);
    const local = await startLocalCluster({
      dataDir: join(dir, 'data'),
      nodes: options.nodes ?? 3,
      chroma: options.chroma === undefined ? chromaCommand : (options.chroma ?? undefined),
      logger: quiet,
      onNodeFailing: (id, reason) => cluster?.nodeFails(id, reason),
    });
    cluster = new TestCluster(local, dir, await findFreePort(), options);
    if (options.proxied === true)
      for (const { id, url } of local.nodes) cluster.#proxies.set(id, await TcpProxy.start(url));
    try {
      cluster.#databaseUrl = (await options.databaseUrl?.(local.databaseUrl)) ?? null;
      await options.prepare?.(cluster);
      await cluster.startGateway();
      await cluster.allServe();
      return cluster;
    } catch (error) {
      // The caller has no handle to stop it.
      await cluster.stopGateway('SIGKILL');
      await cluster.stop();
      throw error;
    }
  }

  /** As `polychrome up` does. */
  nodeFails(id: string, reason: string): void {
    const node = this.local.nodes.find((each) => each.id === id);
    if (node !== undefined && this.#options.restartsNodes === true)
      this.#gateway?.serverFails(node.url, reason);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The folder of the data of PostgreSQL and the nodes. */
  get dataDir(): string {
    return join(this.#dir, 'data');
  }

  /** The connection string of the gateway. */
  get databaseUrl(): string {
    return this.#databaseUrl ?? this.local.databaseUrl;
  }

  /** The superuser's connection string to the PostgreSQL that the gateway uses. */
  get superuserUrl(): string {
    return this.#options.superuserUrl?.() ?? this.local.databaseUrl;
  }

  /** Chroma's API through the gateway. */
  get api(): ChromaHttp {
    return new ChromaHttp(this.url);
  }

  /** Chroma's API of one node, without the gateway. */
  node(id: string): ChromaHttp {
    return new ChromaHttp(this.local.nodes.find((node) => node.id === id)!.url);
  }

  /** The proxy between the gateway and this node; only with `proxied`. */
  proxy(id: string): TcpProxy {
    return this.#proxies.get(id)!;
  }

  environment(): Record<string, string> {
    return {
      DATABASE_URL: this.databaseUrl,
      NODES: this.local.nodes.map(({ id, url }) => `${id}=${this.#proxies.get(id)?.url ?? url}`).join(','),
      HOST: '127.0.0.1',
      PORT: String(this.#port),
      LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'silent',
      // On a busy machine a gateway gets no processor for a second. Tests in which another one takes over have a shorter lease.
      LEASE_MS: '5000',
      ...this.#options.settings,
    };
  }

  /** Starts a gateway on the same port and data; `extra` is added to its settings. */
  async startGateway(extra: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.#options.ownProcess === undefined) {
      this.#gateway = await startGateway(loadConfig({ ...this.environment(), ...extra }), {
        nodePid: (url) => this.local.nodes.find((node) => node.url === url)?.pid() ?? null,
        onNodeHung: (url) => {
          const node = this.local.nodes.find((each) => each.url === url);
          if (node !== undefined && this.#options.restartsNodes === true) this.local.killNode(node.id);
        },
        onNodeDamaged: (url) => {
          const node = this.local.nodes.find((each) => each.url === url);
          if (node !== undefined) void this.local.resetNode(node.id);
        },
        ...(this.#options.nodeDirectory && { nodeDirectory: this.#options.nodeDirectory(this.local.nodes) }),
      });
    } else {
      const env = { ...process.env, ...this.environment(), ...this.#options.ownProcess, ...extra };
      const child = spawn(process.execPath, ['src/main.ts', 'serve'], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (text) => (this.output += String(text)));
      // Otherwise a test that fails because of it says nothing about the cause.
      child.once('close', (code, signal) => {
        if (!child.killed && code !== 0)
          console.error(
            `the gateway ended by itself, ${signal ?? `exit ${code}`}:\n${this.output.slice(-4_000)}`,
          );
      });
      this.#process = child;
    }
    await until(async () => (await fetch(`${this.url}/health`)).status === 200, 'the gateway is ready');
  }

  /** The separate process of the gateway; only with `ownProcess`. */
  get process(): ChildProcess {
    return this.#process!;
  }

  async stopGateway(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#gateway?.stop();
    this.#gateway = null;
    const child = this.#process;
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill(signal);
      await exited;
    }
    this.#process = null;
  }

  async status(): Promise<Status> {
    return (await (await fetch(`${this.url}/status`)).json()) as Status;
  }

  async primary(): Promise<string> {
    return (await this.status()).nodes.find(({ role }) => role === 'primary')!.id;
  }

  /** Resolves when every node serves and has applied the whole log. */
  async allServe(limitMs = 150_000): Promise<void> {
    await until(
      async () => {
        const { nodes, pending, halted } = await this.status();
        if (pending === 0 && nodes.every(({ state }) => state === 'serving')) return true;
        throw new Error(JSON.stringify({ pending, halted, nodes }));
      },
      'every node serves and is caught up',
      limitMs,
    );
  }

  /**
   * The whole content of each node, read from the node itself, in the order of its records, under the names that clients
   * use; without copies that are not in use.
   */
  async contents(): Promise<Map<string, string>> {
    const nameOf = await this.copyNames();
    const read = async (id: string): Promise<[string, string]> => [
      id,
      await this.node(id).everything(nameOf),
    ];
    return new Map(await Promise.all(this.local.nodes.map(({ id }) => read(id))));
  }

  copyNames(): Promise<(id: string, name: string) => string | null> {
    return copyNames(this);
  }

  async stop(): Promise<void> {
    await this.stopGateway();
    // The data is not kept, and 1.3.4 does not exit in order (src/local/chroma.ts).
    for (const { id } of this.local.nodes) this.local.killNode(id);
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.stop()));
    await this.local.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

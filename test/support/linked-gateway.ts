// A further gateway with links of its own to PostgreSQL and to each node, which can be cut.

import { resolve } from 'node:path';
import type { TestCluster } from './cluster.ts';
import { GatewayProcess } from './gateway-process.ts';
import { TcpProxy, type ProxyMode } from './tcp-proxy.ts';

export class LinkedGateway {
  readonly process: GatewayProcess;
  readonly postgres: TcpProxy;
  readonly #nodes: readonly TcpProxy[];

  private constructor(process: GatewayProcess, postgres: TcpProxy, nodes: readonly TcpProxy[]) {
    this.process = process;
    this.postgres = postgres;
    this.#nodes = nodes;
  }

  /** Resolves when it serves; its links to the nodes hold requests as `holds` says. */
  static async start(cluster: TestCluster, holds: TcpProxy['holds'] = null): Promise<LinkedGateway> {
    const database = new URL(cluster.databaseUrl);
    const postgres = await TcpProxy.start(`http://${database.hostname}:${database.port}`);
    database.port = String(postgres.port);
    const nodes = await Promise.all(cluster.local.nodes.map(({ url }) => TcpProxy.start(url)));
    for (const proxy of nodes) proxy.holds = holds;
    const redirected = cluster.local.nodes.map(({ url }, n) => [new URL(url).port, nodes[n]!.port]);
    const process = await GatewayProcess.start({
      ...cluster.environment(),
      DATABASE_URL: database.href,
      NODE_OPTIONS: `--import=${resolve('test/support/redirect-connections.ts')}`,
      REDIRECTED_PORTS: JSON.stringify(Object.fromEntries(redirected)),
    });
    return new LinkedGateway(process, postgres, nodes);
  }

  /** Changes the links to all nodes. */
  async setNodes(mode: ProxyMode): Promise<void> {
    await Promise.all(this.#nodes.map((proxy) => proxy.set(mode)));
  }

  holdRequests(holds: TcpProxy['holds']): void {
    for (const proxy of this.#nodes) proxy.holds = holds;
  }

  async stop(): Promise<void> {
    await this.process.stop('SIGKILL');
    await Promise.all([this.postgres, ...this.#nodes].map((proxy) => proxy.stop()));
  }
}

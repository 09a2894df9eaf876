// The cluster of a chaos run: real servers, several gateways, and a proxy on every link.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Status } from '../../src/api/admin/status.ts';
import { type LocalCluster, startLocalCluster } from '../../src/local/cluster.ts';
import { ChromaHttp } from '../support/chroma-http.ts';
import { chromaCommand } from '../support/chroma-server.ts';
import { copyNames } from '../support/cluster.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';
import { GatewayProcess } from './gateway-process.ts';

const NODES = 3;
// Reads of /status are bounded: a gateway may be frozen.
const STATUS_MS = 2_000;

const QUIET = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  debug: () => undefined,
};

export class ChaosCluster {
  readonly local: LocalCluster;
  readonly gateways: readonly GatewayProcess[];
  readonly #dir: string;

  private constructor(dir: string, local: LocalCluster, gateways: readonly GatewayProcess[]) {
    this.#dir = dir;
    this.local = local;
    this.gateways = gateways;
  }

  /** Resolves when a gateway leads and every node serves. */
  static async start(gateways: number, settings: Readonly<Record<string, string>>): Promise<ChaosCluster> {
    const dir = await mkdtemp(join(tmpdir(), 'polychrome-chaos-'));
    const local = await startLocalCluster({
      dataDir: join(dir, 'data'),
      nodes: NODES,
      chroma: chromaCommand,
      logger: QUIET,
    });
    const all = {
      LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'silent',
      // The next gateway takes over sooner than in production.
      LEASE_MS: '1500',
      ...settings,
    };
    const started: GatewayProcess[] = [];
    for (let n = 1; n <= gateways; n++) {
      const { databaseUrl, nodes } = local;
      const options = { name: `gateway-${n}`, databaseUrl, nodes, settings: all };
      started.push(await GatewayProcess.start(options, new Set(started.map(({ port }) => port))));
    }
    const cluster = new ChaosCluster(dir, local, started);
    try {
      await cluster.allServe();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get superuserUrl(): string {
    return this.local.databaseUrl;
  }

  /** The links of all gateways to a node. */
  linksTo(node: string): TcpProxy[] {
    return this.gateways.map((gateway) => gateway.nodes.get(node)!);
  }

  gateway(name: string): GatewayProcess {
    return this.gateways.find((gateway) => gateway.name === name)!;
  }

  /** Chroma's API of one node, without a gateway. */
  node(id: string): ChromaHttp {
    return new ChromaHttp(this.local.nodes.find((node) => node.id === id)!.url);
  }

  /** The gateway that leads, past its proxy; null when none says so. */
  async leading(): Promise<{ readonly gateway: GatewayProcess; readonly status: Status } | null> {
    const found = await Promise.all(
      this.gateways.map(async (gateway) => {
        try {
          const signal = AbortSignal.timeout(STATUS_MS);
          const response = await fetch(`${gateway.directUrl}/status`, { signal });
          const status = (await response.json()) as Status;
          return status.leader === null ? null : { gateway, status };
        } catch {
          return null;
        }
      }),
    );
    return found.find((each) => each !== null) ?? null;
  }

  /** The name of a copy on a node, for each collection that has one. */
  copyNames(): ReturnType<typeof copyNames> {
    return copyNames(this);
  }

  /** Resolves when one gateway leads, every node serves and has the whole log, and no copy is suspect or being made. */
  async allServe(limitMs = 180_000): Promise<void> {
    await until(
      async () => {
        const leading = await this.leading();
        if (leading === null) throw new Error('no gateway leads');
        const { nodes, pending, halted, rebuilds } = leading.status;
        const isCalm = nodes.every(({ state, suspects }) => state === 'serving' && suspects.length === 0);
        if (pending === 0 && halted === null && isCalm) return true;
        throw new Error(JSON.stringify({ pending, halted, rebuilds, nodes }));
      },
      'every node serves, is caught up and has healthy copies',
      limitMs,
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.gateways.map((gateway) => gateway.stop()));
    // The data is not kept, and 1.3.4 does not exit in order (src/local/chroma.ts).
    for (const { id } of this.local.nodes) this.local.killNode(id);
    await this.local.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

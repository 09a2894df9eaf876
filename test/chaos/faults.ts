// Faults of processes and connections, drawn from a seed in a fixed order.

import type { TestCluster } from '../support/cluster.ts';

export interface ChaosFault {
  readonly name: string;
  /** Causes it and returns the function that ends it; null when it ends by itself. */
  readonly strike: (cluster: TestCluster) => Promise<(() => Promise<void>) | null>;
  readonly lastsMs: number;
}

/** Draws the next fault, which lasts at most `longestMs`. */
export function draw(next: () => number, nodes: readonly string[], longestMs: number): ChaosFault {
  const node = nodes[Math.floor(next() * nodes.length)]!;
  const lastsMs = Math.round(200 + next() * (longestMs - 200));
  const [name, strike] = FAULTS[Math.floor(next() * FAULTS.length)]!;
  return { name: `${name} ${node}`, strike: (cluster) => strike(cluster, node), lastsMs };
}

type Strike = (cluster: TestCluster, node: string) => ReturnType<ChaosFault['strike']>;

const through =
  (mode: 'reset' | 'refuse' | 'silent'): Strike =>
  async (cluster, node) => {
    await cluster.proxy(node).set(mode);
    return () => cluster.proxy(node).set('pass');
  };

// Some use `node`; the others strike a component that exists once.
const FAULTS: readonly (readonly [string, Strike])[] = [
  [
    'kill',
    async (cluster, node) => {
      cluster.local.killNode(node);
      return null;
    },
  ],
  [
    'kill the primary, drawn:',
    async (cluster, node) => {
      // The primary is unknown while no gateway responds.
      cluster.local.killNode(await cluster.primary().catch(() => node));
      return null;
    },
  ],
  [
    'freeze',
    async (cluster, node) => {
      cluster.local.pauseNode(node);
      return async () => cluster.local.resumeNode(node);
    },
  ],
  ['reset connections of', through('reset')],
  ['refuse connections to', through('refuse')],
  ['silence', through('silent')],
  [
    'slow down',
    async (cluster, node) => {
      cluster.proxy(node).delayMs = 1_000;
      return async () => void (cluster.proxy(node).delayMs = 0);
    },
  ],
  [
    'kill the gateway, drawn:',
    async (cluster) => {
      await cluster.stopGateway('SIGKILL');
      await startAgain(cluster);
      return null;
    },
  ],
  [
    'kill PostgreSQL, drawn:',
    async (cluster) => {
      cluster.local.postgres.signal('SIGKILL');
      return null;
    },
  ],
];

// A gateway that cannot reach PostgreSQL when it starts exits; its supervisor would restart it.
const STARTS_MAX = 3;

async function startAgain(cluster: TestCluster): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await cluster.startGateway();
    } catch (error) {
      if (tries === STARTS_MAX) throw error;
      await cluster.stopGateway('SIGKILL');
    }
  }
}

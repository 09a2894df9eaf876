// Faults drawn at random under a seed: what befalls which process or connection, and how long. The same seed draws the
// same faults in the same order; what the processes are doing meanwhile is theirs.

import type { TestCluster } from '../support/cluster.ts';

export interface Fault {
  readonly name: string;
  /** Begins it and returns what ends it; null when it ends by itself. */
  readonly strike: (cluster: TestCluster) => Promise<(() => Promise<void>) | null>;
  readonly lastsMs: number;
}

/** The next fault; `longestMs` bounds how long one lasts. */
export function draw(next: () => number, nodes: readonly string[], longestMs: number): Fault {
  const node = nodes[Math.floor(next() * nodes.length)]!;
  const lastsMs = Math.round(200 + next() * (longestMs - 200));
  const [name, strike] = FAULTS[Math.floor(next() * FAULTS.length)]!;
  return { name: `${name} ${node}`, strike: (cluster) => strike(cluster, node), lastsMs };
}

type Strike = (cluster: TestCluster, node: string) => ReturnType<Fault['strike']>;

const through =
  (mode: 'reset' | 'refuse' | 'silent'): Strike =>
  async (cluster, node) => {
    await cluster.proxy(node).set(mode);
    return () => cluster.proxy(node).set('pass');
  };

// `node` is only where it says so; the others strike what there is one of.
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
      // Nobody can say who is primary while no gateway answers.
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

// A gateway that finds no PostgreSQL when it starts ends, and whoever runs it starts it again.
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

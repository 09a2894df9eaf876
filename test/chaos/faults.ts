// Faults of processes and links, drawn from a seed in a fixed order, and what operators do meanwhile.

import { setTimeout as pause } from 'node:timers/promises';
import { between, oneOf, type Random } from '../support/draw.ts';
import { freezePostgres, sql, terminateConnections } from '../support/postgres-faults.ts';
import { ServerFiles } from '../support/damage.ts';
import type { ProxyMode } from '../support/tcp-proxy.ts';
import type { ChaosCluster } from './chaos-cluster.ts';
import type { Loads } from './loads.ts';

export interface Field {
  readonly cluster: ChaosCluster;
  readonly loads: Loads;
}

/** Ends a fault; null when it ends by itself. */
type End = (() => Promise<void>) | null;

export interface ChaosFault {
  readonly kind: string;
  /** What it strikes: no two faults strike the same at once. */
  readonly target: string;
  readonly lastsMs: number;
  /** Causes it. Throws when it cannot be caused now. */
  readonly strike: (field: Field) => Promise<End>;
}

export interface Targets {
  readonly nodes: readonly string[];
  readonly gateways: readonly string[];
}

const SLOW_MS = 1_000;
const OPERATE_MS = 5_000;
const OPERATE_PAUSE_MS = 250;
// A gateway leads within seconds once faults end; a node that stays drained is reported at the end of the part.
const UNDO_MS_MAX = 60_000;
/** A fault in progress ends, and what it left is repaired, within seconds. */
const CALM_MS = 40_000;
const CALM_PAUSE_MS = 250;

/** Draws the next fault, which lasts at most `longestMs`. */
export function drawFault(random: Random, { nodes, gateways }: Targets, longestMs: number): ChaosFault {
  const node = oneOf(random, nodes);
  const gateway = oneOf(random, gateways);
  const lastsMs = between(random, Math.min(200, longestMs), longestMs);
  const seed = between(random, 1, 1_000_000);
  const [kind, draw] = oneOf(random, FAULTS);
  const { target, strike } = draw({ node, gateway, seed });
  return { kind, target, lastsMs, strike };
}

/** Every kind of fault there is. */
export const kinds = (): string[] => FAULTS.map(([kind]) => kind);

interface Drawn {
  readonly node: string;
  readonly gateway: string;
  readonly seed: number;
}
type Draw = (drawn: Drawn) => Pick<ChaosFault, 'target' | 'strike'>;

const onNode =
  (strike: (field: Field, node: string) => Promise<End>): Draw =>
  ({ node }) => ({ target: node, strike: (field) => strike(field, node) });

const onGateway =
  (strike: (field: Field, gateway: string) => Promise<End>): Draw =>
  ({ gateway }) => ({ target: gateway, strike: (field) => strike(field, gateway) });

const onPostgres =
  (strike: (field: Field) => Promise<End>): Draw =>
  () => ({ target: 'postgres', strike });

/** The links of every gateway to a node. */
const nodeLinks = (mode: ProxyMode): Draw =>
  onNode(async ({ cluster }, node) => {
    const setAll = async (each: ProxyMode): Promise<void> => {
      await Promise.all(cluster.linksTo(node).map((link) => link.set(each)));
    };
    await setAll(mode);
    return () => setAll('pass');
  });

/** The link of one gateway to a node, which the others reach. */
const nodeLink =
  (mode: ProxyMode): Draw =>
  ({ node, gateway }) => ({
    target: node,
    strike: async ({ cluster }) => {
      const link = cluster.gateway(gateway).nodes.get(node)!;
      await link.set(mode);
      return () => link.set('pass');
    },
  });

const clientLink = (mode: ProxyMode): Draw =>
  onGateway(async ({ cluster }, name) => {
    const { clients } = cluster.gateway(name);
    await clients.set(mode);
    return () => clients.set('pass');
  });

const postgresLink = (mode: ProxyMode): Draw =>
  onGateway(async ({ cluster }, name) => {
    const { postgres } = cluster.gateway(name);
    await postgres.set(mode);
    return () => postgres.set('pass');
  });

/**
 * An action of an operator; whether the cluster can carry it out at that moment is part of the run. What is undone is asked for
 * until a gateway leads and has done it, for a minute at most.
 */
const operator = (action: string, undo: string | null = null): Draw =>
  onNode(async ({ cluster }, node) => {
    await operate(cluster, `/admin/nodes/${node}/${action}`);
    if (undo === null) return null;
    return async () => {
      const until = performance.now() + UNDO_MS_MAX;
      while (performance.now() < until && !(await operate(cluster, `/admin/nodes/${node}/${undo}`)))
        await pause(OPERATE_PAUSE_MS);
    };
  });

/** Whether a gateway has done it: only the one that leads does. */
async function operate({ gateways }: ChaosCluster, path: string): Promise<boolean> {
  const done = await Promise.all(
    gateways.map(async ({ directUrl }) => {
      const signal = AbortSignal.timeout(OPERATE_MS);
      const response = await fetch(directUrl + path, { method: 'POST', signal }).catch(() => null);
      return response?.ok === true;
    }),
  );
  return done.includes(true);
}

const FAULTS: readonly (readonly [string, Draw])[] = [
  ['kill a node', onNode(async ({ cluster }, node) => (cluster.local.killNode(node), null))],
  [
    'kill the primary',
    onNode(async ({ cluster }, node) => {
      const leading = await cluster.leading();
      // The primary is unknown while no gateway leads.
      const primary = leading?.status.nodes.find(({ role }) => role === 'primary')?.id ?? node;
      cluster.local.killNode(primary);
      return null;
    }),
  ],
  [
    'freeze a node',
    onNode(async ({ cluster }, node) => {
      cluster.local.pauseNode(node);
      return async () => cluster.local.resumeNode(node);
    }),
  ],
  [
    'stop a node',
    onNode(async ({ cluster }, node) => {
      await cluster.local.stopNode(node);
      return () => cluster.local.startNode(node);
    }),
  ],
  ['damage the files of a stopped node', onNode(damage)],
  [
    'slow a node',
    onNode(async ({ cluster }, node) => {
      const delay = (ms: number): void => cluster.linksTo(node).forEach((link) => (link.delayMs = ms));
      delay(SLOW_MS);
      return async () => delay(0);
    }),
  ],
  ['reset connections to a node', nodeLinks('reset')],
  ['refuse connections to a node', nodeLinks('refuse')],
  ['silence a node', nodeLinks('silent')],
  ['lose requests to a node', nodeLinks('deaf')],
  ['lose responses of a node', nodeLinks('mute')],
  ['reset the connections of a gateway to a node', nodeLink('reset')],
  ['refuse the connections of a gateway to a node', nodeLink('refuse')],
  ['silence a node for a gateway', nodeLink('silent')],
  ['lose requests of a gateway to a node', nodeLink('deaf')],
  ['lose responses of a node to a gateway', nodeLink('mute')],
  ['kill a gateway', onGateway(async ({ cluster }, name) => (cluster.gateway(name).signal('SIGKILL'), null))],
  [
    'kill the leader',
    onGateway(async ({ cluster }, name) => {
      const leading = await cluster.leading();
      (leading?.gateway ?? cluster.gateway(name)).signal('SIGKILL');
      return null;
    }),
  ],
  ['stop a gateway', onGateway(async ({ cluster }, name) => (cluster.gateway(name).signal('SIGTERM'), null))],
  [
    'freeze a gateway',
    onGateway(async ({ cluster }, name) => {
      cluster.gateway(name).signal('SIGSTOP');
      return async () => cluster.gateway(name).signal('SIGCONT');
    }),
  ],
  ['reset clients of a gateway', clientLink('reset')],
  ['silence clients of a gateway', clientLink('silent')],
  ['silence PostgreSQL for a gateway', postgresLink('silent')],
  ['lose responses of PostgreSQL', postgresLink('mute')],
  ['reset connections to PostgreSQL', postgresLink('reset')],
  [
    'slow PostgreSQL for a gateway',
    onGateway(async ({ cluster }, name) => {
      const { postgres } = cluster.gateway(name);
      postgres.delayMs = SLOW_MS / 4;
      return async () => void (postgres.delayMs = 0);
    }),
  ],
  ['kill PostgreSQL', onPostgres(async ({ cluster }) => (cluster.local.postgres.signal('SIGKILL'), null))],
  [
    'freeze PostgreSQL',
    onPostgres(async ({ cluster }) => {
      const thaw = freezePostgres(cluster);
      return async () => thaw();
    }),
  ],
  [
    'end the connections of PostgreSQL',
    onPostgres(async ({ cluster }) => {
      await terminateConnections(cluster);
      return null;
    }),
  ],
  ['promote a node', operator('promote')],
  ['drain a node', operator('drain', 'undrain')],
  ['rebuild a node', operator('rebuild')],
  ['verify a node', operator('verify')],
  [
    'scrub',
    () => ({
      target: 'scrub',
      strike: async ({ cluster }) => {
        await operate(cluster, '/admin/scrub');
        return null;
      },
    }),
  ],
  ['a large call', () => ({ target: 'large call', strike: async ({ loads }) => (loads.large(), null) })],
  [
    'hostile requests',
    ({ seed }) => ({ target: 'hostile requests', strike: async ({ loads }) => (loads.hostile(seed), null) }),
  ],
];

/** Resolves once every node serves and no copy is suspect: nothing new is inflicted meanwhile. Throws after a while. */
async function calm(cluster: ChaosCluster): Promise<void> {
  const until = performance.now() + CALM_MS;
  for (;;) {
    const nodes = (await cluster.leading())?.status.nodes ?? [];
    const isWhole = ({ state, suspects }: (typeof nodes)[number]): boolean =>
      state === 'serving' && suspects.length === 0;
    if (nodes.length > 0 && nodes.every(isWhole)) return;
    if (performance.now() > until) throw new Error('the cluster does not become whole');
    await pause(CALM_PAUSE_MS);
  }
}

/**
 * Changes a document in the files of a node: the copy must be found and rebuilt. Only while every other copy is healthy:
 * when all are damaged, only an operator can help.
 */
async function damage({ cluster }: Field, node: string): Promise<End> {
  await calm(cluster);
  const copies = await sql<{ name: string }>(
    cluster,
    `select n.name from polychrome.node_shard n join polychrome.shard x on x.id = n.shard
     join polychrome.collection c on c.id = x.collection
     where n.node = '${node}' and n.state = 'current' and n.suspect is null and c.state = 'ready'
       and c.name like '%-history-%' order by x.last_lsn desc limit 8`,
  );
  if (copies.length === 0) throw new Error('the node has no copy');
  const { dataDir } = cluster.local.nodes.find(({ id }) => id === node)!;
  await cluster.local.stopNode(node);
  const files = new ServerFiles(dataDir);
  const records = copies.flatMap(({ name }) => 'abcdefgh'.split('').map((id) => [name, id] as const));
  const isDamaged = records.some(([name, id]) => {
    try {
      files.editDocument(name, id);
      return true;
    } catch {
      return false;
    }
  });
  if (!isDamaged) {
    await cluster.local.startNode(node);
    throw new Error('the copies have no record');
  }
  return () => cluster.local.startNode(node);
}

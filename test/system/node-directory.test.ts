// Nodes named by DNS, as a headless service of Kubernetes names its pods: scaled from one to three, to two and to three again,
// and restarted one by one, while clients read and write.

import { rm } from 'node:fs/promises';
import { Resolver } from 'node:dns/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Status } from '../../src/api/admin/status.ts';
import { serviceNodes, type NodeDirectory } from '../../src/nodes/node-directory.ts';
import { TestCluster } from '../support/cluster.ts';
import { DnsServer } from '../support/dns-server.ts';
import { until } from '../support/until.ts';

const SERVICE = '_http._tcp.chroma.test';
/** The whole log is applied and every record compared, beside clients. */
const JOIN_MS_MAX = 100_000;

let dns: DnsServer;
let cluster: TestCluster;

/** The directory that DNS has; its names have no address here, so they become those of this machine. */
function directoryOf(nodes: TestCluster['local']['nodes']): NodeDirectory {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([dns.address]);
  const { name, nodes: found } = serviceNodes(SERVICE, (service) => resolver.resolveSrv(service));
  const addressOf = (id: string): string => nodes.find((node) => node.id === id)!.url;
  return { name, nodes: async () => (await found()).map(({ id }) => ({ id, url: addressOf(id) })) };
}

/** DNS names these nodes from now on. */
function named(...ids: string[]): void {
  dns.answers.set(
    SERVICE,
    ids.map((id) => ({ target: `${id}.chroma.test`, port: 8_000 })),
  );
}

/** Resolves when these nodes are the cluster, and all of them serve. */
async function clusterIs(...ids: string[]): Promise<void> {
  const wanted = ids.map((id) => `${id} serving`);
  await until(
    async () => {
      const { nodes } = await cluster.status();
      if (String(nodes.map(({ id, state }) => `${id} ${state}`)) === String(wanted)) return true;
      throw new Error(JSON.stringify(nodes));
    },
    `the cluster is ${ids.join(', ')}`,
    JOIN_MS_MAX,
  );
}

/** A writer and a reader that take turns with short pauses until they are stopped. */
async function startClients(): Promise<{ stop: () => Promise<{ failed: string[]; written: number }> }> {
  const { api } = cluster;
  const collection = await api.create('scaled');
  const failed: string[] = [];
  let written = 0;
  let isOver = false;
  const running = (async () => {
    while (!isOver) {
      const body = { ids: [`r${written}`], embeddings: [[written, 1]], documents: ['kept'] };
      const wrote = await api.records(collection, 'add', body);
      written += 1;
      const read = await api.records(collection, 'get', { ids: body.ids });
      for (const { status, text } of [wrote, read]) if (status >= 300) failed.push(`${status} ${text}`);
      if (!read.text.includes('kept')) failed.push(`r${written - 1} was acknowledged and not found`);
      await pause(5);
    }
  })();
  const stop = async (): Promise<{ failed: string[]; written: number }> => {
    isOver = true;
    await running;
    return { failed, written };
  };
  return { stop };
}

beforeAll(async () => {
  dns = await DnsServer.start();
  named('node-1');
  cluster = await TestCluster.start({
    settings: { NODES: `dns+srv://${SERVICE}`, NODE_FORGET_AFTER: '1s' },
    nodeDirectory: directoryOf,
  });
});
afterAll(async () => {
  await cluster?.stop();
  await dns?.stop();
});

/** As a StatefulSet restarts a pod: it keeps its volume and, as publishNotReadyAddresses says, its name. */
async function restart(id: string): Promise<void> {
  await cluster.local.stopNode(id);
  await until(async () => stateOf(await cluster.status(), id) === 'down', `${id} is down`);
  await cluster.local.startNode(id);
  await until(async () => stateOf(await cluster.status(), id) === 'serving', `${id} serves`, JOIN_MS_MAX);
}

const stateOf = ({ nodes }: Status, id: string): string | undefined =>
  nodes.find((node) => node.id === id)?.state;

test('the cluster follows what DNS names, and no request fails', async () => {
  await clusterIs('node-1');
  const clients = await startClients();

  named('node-1', 'node-2', 'node-3');
  await clusterIs('node-1', 'node-2', 'node-3');

  // A name server that does not respond says nothing about nodes.
  dns.isSilent = true;
  await cluster.local.stopNode('node-3');
  await until(async () => (await cluster.status()).nodes[2]!.state === 'down', 'node-3 is down');
  dns.isSilent = false;
  named('node-1', 'node-2');
  await clusterIs('node-1', 'node-2');

  await rm(cluster.local.nodes[2]!.dataDir, { recursive: true });
  await cluster.local.startNode('node-3');
  named('node-1', 'node-2', 'node-3');
  await clusterIs('node-1', 'node-2', 'node-3');

  // From the last to the first, as a StatefulSet does.
  for (const id of ['node-3', 'node-2', 'node-1']) await restart(id);

  const { failed, written } = await clients.stop();
  expect(failed).toEqual([]);
  await cluster.allServe();
  const contents = [...(await cluster.contents()).values()];
  expect(new Set(contents).size).toBe(1);
  expect(contents[0]!.split('"kept"').length - 1).toBe(written);
}, 240_000);

test('a gateway starts with the nodes it knows while DNS is away', async () => {
  dns.isSilent = true;
  await cluster.stopGateway();
  await cluster.startGateway();
  await clusterIs('node-1', 'node-2', 'node-3');
}, 120_000);

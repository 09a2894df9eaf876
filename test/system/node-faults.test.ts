// Nodes killed, frozen, slow, cut off, refusing and poisoned under load: no request fails, no acknowledged write is lost
// or applied twice, and the node recovers by itself and ends identical to the others.

import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { TestCluster } from '../support/cluster.ts';
import { underLoad, type UnderLoad } from '../support/load.ts';
import { sharedCluster } from '../support/shared-cluster.ts';
import { until } from '../support/until.ts';

// `npm run chaos -- --long` uses every fault, and long ones; the suite uses the shortest that are detected.
const chaos = process.env['CHAOS'] === '1';
const LASTING_MS = chaos ? 20_000 : 0;
const SHORT_MS = chaos ? 20_000 : 1_000;

// More than all waits of a test together: a wait that exceeds its own limit ends the test, and its load with it.
vi.setConfig({ testTimeout: 600_000 });

const shared = sharedCluster({
  proxied: true,
  // As in production: a busy machine loses a lease of 1.5 s, and needs longer than 30 s for a failover.
  settings: { LEASE_MS: '10000', WRITE_TIMEOUT_MS: '120000' },
});
let cluster: TestCluster;
beforeEach(() => {
  cluster = shared();
});

const NODES = ['node-1', 'node-2', 'node-3'] as const;

/** Resolves when a fault has lasted this long. */
async function last(ms: number): Promise<void> {
  const end = performance.now() + ms;
  await until(async () => performance.now() > end, 'the fault has lasted', ms + 5_000);
}

async function target(role: 'primary' | 'replica'): Promise<string> {
  const primary = await cluster.primary();
  return role === 'primary' ? primary : NODES.find((id) => id !== primary)!;
}

async function stateOf(id: string): Promise<string> {
  return (await cluster.status()).nodes.find((node) => node.id === id)!.state;
}

const givenUp = (id: string): Promise<void> =>
  until(async () => (await stateOf(id)) !== 'serving', `${id} is given up`);
const moved = (from: string): Promise<void> =>
  until(async () => (await cluster.primary()) !== from, 'another node is primary');

/** Each causes a fault of a node and ends it; resolves when it is over. */
const FAULTS: Record<string, (node: string, load: UnderLoad) => Promise<void>> = {
  async killed(node) {
    cluster.local.killNode(node);
    await givenUp(node);
  },
  async frozen(node, { more }) {
    cluster.local.pauseNode(node);
    await givenUp(node);
    await last(LASTING_MS);
    await more(20);
    cluster.local.resumeNode(node);
  },
  async slow(node, { more }) {
    cluster.proxy(node).delayMs = 1_000;
    await last(2 * SHORT_MS);
    await more(5);
    cluster.proxy(node).delayMs = 0;
  },
  async 'resetting connections'(node, { more }) {
    const proxy = cluster.proxy(node);
    await proxy.set('reset');
    await last(SHORT_MS);
    await more(20);
    expect(proxy.resets).toBeGreaterThan(0);
    await proxy.set('pass');
  },
  async 'refusing connections'(node, { more }) {
    await cluster.proxy(node).set('refuse');
    await givenUp(node);
    await last(SHORT_MS);
    await more(20);
    await cluster.proxy(node).set('pass');
  },
  async 'cut off silently'(node, { more }) {
    await cluster.proxy(node).set('silent');
    await givenUp(node);
    await last(LASTING_MS);
    await more(20);
    await cluster.proxy(node).set('pass');
  },
};

/** What a replica shares with a primary, the suite tests with the primary. */
const faultsOf = (role: 'primary' | 'replica'): string[] =>
  role === 'primary' || chaos ? Object.keys(FAULTS) : ['killed', 'frozen', 'cut off silently'];

describe.each(['primary', 'replica'] as const)('the %s', (role) => {
  test.each(faultsOf(role))('fails no request when it is %s', async (fault) => {
    const node = await target(role);
    const name = `${role}-${fault.split(' ')[0]}`;
    const result = await underLoad(cluster, name, (load) => FAULTS[fault]!(node, load));
    expect(result).toEqual({ faults: [], failedWrites: [], failedReads: [] });
  });

  test('fails no request when it is poisoned: healthy, but responding to all writes with 500', async () => {
    const node = await target(role);
    const bare = cluster.node(node);
    const result = await underLoad(cluster, `${role}-poisoned`, async ({ more }) => {
      // Sent to the node directly; Polychrome would refuse it: docs/chroma-behaviour.md#metadata-keys-that-stop-a-server.
      const id = await bare.create('poison');
      const record = { ids: ['p'], embeddings: [[1]], metadatas: [{ 'chroma:document': 5 }] };
      expect((await bare.records(id, 'upsert', record)).status).toBeGreaterThanOrEqual(500);
      await givenUp(node);
      if (role === 'primary') await moved(node);
      await more(20);
      expect((await bare.call('GET', '/api/v2/healthcheck')).status).toBe(200);
      // Read after the restart, the record would poison the server again.
      expect((await bare.call('DELETE', `${COLLECTIONS}/poison`)).status).toBe(200);
      cluster.local.killNode(node);
    });
    expect(result).toEqual({ faults: [], failedWrites: [], failedReads: [] });
  });
});

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';

const kill = async (id: string): Promise<() => void> => {
  cluster.local.killNode(id);
  return () => undefined;
};
const freeze = async (id: string): Promise<() => void> => {
  cluster.local.pauseNode(id);
  return () => cluster.local.resumeNode(id);
};

const TWO_FAULTS = [
  ['killed', kill, kill],
  ['killed and frozen', kill, freeze],
  ['frozen', freeze, freeze],
] as const;

test.each(TWO_FAULTS.slice(0, chaos ? 3 : 2))(
  'fails no request when the primary and a replica are %s at once',
  async (name, first, second) => {
    const [primary, replica] = [await target('primary'), await target('replica')];
    const result = await underLoad(cluster, `two-${name.replaceAll(' ', '-')}`, async ({ more }) => {
      const over = [await first(primary), await second(replica)];
      await moved(primary);
      await last(LASTING_MS);
      await more(20);
      for (const each of over) each();
    });
    expect(result).toEqual({ faults: [], failedWrites: [], failedReads: [] });
  },
);

test('accepts writes at level log and refuses reads with 503 when no node runs, and recovers by itself', async () => {
  // A read waits for a node for as long as this.
  await cluster.stopGateway();
  await cluster.startGateway({ READ_TIMEOUT_MS: '2000' });
  await cluster.allServe();
  const { api } = cluster;
  const id = await api.create('all-away');
  const put = (n: number, level: string): ReturnType<typeof api.records> =>
    api.records(
      id,
      'upsert',
      { ids: [`r${n}`], embeddings: [[n, 1]], documents: [`${n}`] },
      { 'x-polychrome-ack': level },
    );
  await put(0, 'primary');
  for (const node of NODES) await cluster.proxy(node).set('refuse');
  for (const node of NODES) await givenUp(node);
  const waiting = put(1, 'primary');
  for (let n = 2; n < 30; n++) expect((await put(n, 'log')).status).toBe(200);
  const read = await api.records(id, 'get', { ids: ['r0'] });
  expect(read.status).toBe(503);
  expect(read.headers.get('retry-after')).not.toBeNull();
  for (const node of NODES) await cluster.proxy(node).set('pass');
  expect((await waiting).status).toBe(200);
  await cluster.allServe();
  expect((await api.records(id, 'count')).text).toBe('30');
  const contents = [...(await cluster.contents()).values()];
  expect(new Set(contents).size).toBe(1);
  for (let n = 0; n < 30; n++) expect(contents[0]).toContain(`["r${n}","${n}"`);
});

// Faults of single gateways and of their links, under clients of both: what was acknowledged is kept and read back, nothing
// that exists is called missing, and the gateway that works refuses nothing.

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { GatewayClient } from '../support/gateway-client.ts';
import { LinkedGateway } from '../support/linked-gateway.ts';
import { freezePostgres, sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

// `npm run chaos -- --long` tests the default settings, and a freeze of real length.
const isLong = process.env['CHAOS'] === '1';
const LEASE_MS = isLong ? 5_000 : 2_500;
/** A gateway that was not seen for three leases counts no more, and has to register again. */
const LONG_MS = 3.5 * LEASE_MS;

const FROZEN_MS = isLong ? 35_000 : LONG_MS;
/** Within which writes succeed once PostgreSQL responds again; the machine of the suite may be busy. */
const RECOVERY_MS = isLong ? 10_000 : 60_000;

// A write that PostgreSQL does not respond to is refused soon.
const SETTINGS: Record<string, string> = isLong ? {} : { LEASE_MS: String(LEASE_MS), LOG_TIMEOUT_MS: '2000' };

let cluster: TestCluster;
let gateways: LinkedGateway[];
let collection: string;
beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 2, settings: SETTINGS });
  await cluster.stopGateway();
  gateways = [await LinkedGateway.start(cluster), await LinkedGateway.start(cluster)];
  collection = await gateways[0]!.process.api.create('drills');
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await cluster.stop();
});

async function leading(): Promise<LinkedGateway> {
  let found: LinkedGateway | undefined;
  await until(async () => {
    for (const gateway of gateways) if (await gateway.process.leads()) found = gateway;
    return found !== undefined;
  }, 'a gateway leads');
  return found!;
}

const otherThan = (gateway: LinkedGateway): LinkedGateway => gateways.find((each) => each !== gateway)!;

interface Drilled {
  /** Of the gateway that the fault strikes, and of the other one. */
  readonly struck: GatewayClient;
  readonly working: GatewayClient;
  /** Reads at level eventual through the gateway that works. */
  readonly eventual: GatewayClient;
}

let drills = 0;

/** Runs a fault of one gateway under traffic through both; resolves when both serve again and everything is checked. */
async function drill(struck: LinkedGateway, fault: (clients: Drilled) => Promise<void>): Promise<Drilled> {
  const name = `drill-${drills++}`;
  const client = (gateway: LinkedGateway, role: string, options = {}): GatewayClient =>
    new GatewayClient(collection, { api: gateway.process.api, name: `${name} ${role}`, ...options });
  const working = otherThan(struck);
  const clients: Drilled = {
    struck: client(struck, 'struck'),
    working: client(working, 'working'),
    eventual: client(working, 'eventual', { level: 'eventual', readsRecords: true }),
  };
  const all = [clients.struck, clients.working, clients.eventual];
  clients.struck.mayRefuse = true;
  const stop = new AbortController();
  const running = Promise.all(all.map((each) => each.run(stop.signal)));
  await until(async () => all.every(({ succeeded }) => succeeded > 10), 'clients send requests');
  await fault(clients);
  for (const each of all) each.succeeded = 0;
  await Promise.all(gateways.map(({ process }) => process.ready()));
  await until(async () => all.every(({ succeeded }) => succeeded > 10), 'both gateways serve again');
  stop.abort();
  await running;
  for (const each of all) expect(each.faults).toEqual([]);
  for (const gateway of gateways)
    for (const role of ['struck', 'working'] as const) {
      const body = { ids: [`record of ${name} ${role}`] };
      let text = '';
      await until(async () => {
        const response = await gateway.process.api.records(collection, 'get', body);
        text = response.text;
        return response.status === 200;
      }, 'the gateway reads');
      const [document = ''] = (JSON.parse(text) as { documents: string[] }).documents;
      expect(clients[role].isKept(document), `${role}: ${document}`).toBe(true);
    }
  const { longestMs } = clients.working;
  console.log(
    `${expect.getState().currentTestName}: longest request of the other ${Math.round(longestMs)} ms`,
  );
  return clients;
}

test('a gateway that follows and cannot reach PostgreSQL refuses, and the other goes on', async () => {
  const leader = await leading();
  const follower = otherThan(leader);
  await drill(follower, async ({ struck }) => {
    await follower.postgres.set('silent');
    await until(async () => struck.refused > 0, 'the gateway refuses requests');
    await pause(LONG_MS);
    await follower.postgres.set('pass');
  });
  expect(await leader.process.leads()).toBe(true);
});

test('a leader that cannot reach PostgreSQL is succeeded by the other gateway', async () => {
  const leader = await leading();
  const successor = otherThan(leader);
  await drill(leader, async () => {
    await leader.postgres.set('silent');
    await until(() => successor.process.leads(), 'the other gateway leads');
    await leader.postgres.set('pass');
  });
});

test('a gateway that follows and cannot reach the nodes leaves the other as it was', async () => {
  const leader = await leading();
  const follower = otherThan(leader);
  await drill(follower, async () => {
    await follower.setNodes('silent');
    await pause(LONG_MS);
    await follower.setNodes('pass');
  });
  expect(await leader.process.leads()).toBe(true);
});

test('R18: a leader that cannot reach the nodes gives up the lease to the other gateway', async () => {
  const leader = await leading();
  const successor = otherThan(leader);
  await drill(leader, async () => {
    await leader.setNodes('silent');
    await until(() => successor.process.leads(), 'the other gateway leads');
    await leader.setNodes('pass');
  });
});

test('a gateway that is frozen and goes on responds from nothing outdated', async () => {
  const follower = otherThan(await leading());
  await drill(follower, async () => {
    follower.process.signal('SIGSTOP');
    await pause(LONG_MS);
    follower.process.signal('SIGCONT');
  });
});

test('a leader whose link to PostgreSQL comes and goes loses nothing', async () => {
  const leader = await leading();
  await drill(leader, async () => {
    for (let n = 0; n < 6; n++) {
      await leader.postgres.set(n % 2 === 0 ? 'silent' : 'pass');
      await pause(LEASE_MS / 2);
    }
  });
});

async function frozen(working: GatewayClient): Promise<void> {
  const thaw = freezePostgres(cluster);
  await until(async () => working.refused > 0, 'requests are refused');
  await pause(FROZEN_MS);
  thaw();
}

async function restarted(): Promise<void> {
  const { postgres } = cluster.local;
  const pid = postgres.pid();
  postgres.signal('SIGKILL');
  await until(async () => ![pid, null].includes(postgres.pid()), 'PostgreSQL runs again');
}

test.each([
  ['frozen', frozen],
  ['restarted', restarted],
])('while PostgreSQL is %s, reads of any state go on; when it is back, so do writes', async (_, fault) => {
  await drill(await leading(), async ({ working, struck }) => {
    working.mayRefuse = true;
    await fault(working);
    const written = [working.acknowledged, struck.acknowledged];
    const haveWritten = async (): Promise<boolean> =>
      [working, struck].every(({ acknowledged }, n) => acknowledged > written[n]!);
    await until(haveWritten, 'writes succeed again', RECOVERY_MS);
  });
});

test('a gateway that starts amid a long entry serves everything else at once', async () => {
  const released = Promise.withResolvers<void>();
  const holds = (chunk: Buffer): Promise<void> | null =>
    chunk.includes('"held-0"') ? released.promise : null;
  for (const gateway of gateways) gateway.holdRequests(holds);
  const { api } = gateways[0]!.process;
  const held = await api.create('held');
  // As many collections as are read from one node's list.
  await Promise.all(Array.from({ length: 9 }, (_, n) => api.create(`listed-${n}`)));
  await api.records(collection, 'upsert', { ids: ['kept'], embeddings: [[1, 1]] });
  // Long enough for a call that may take half a minute.
  const ids = Array.from({ length: 20 }, (_, n) => `held-${n}`);
  const documents = ids.map((id) => `${id} ${'long '.repeat(20_000)}`);
  const body = { ids, embeddings: ids.map((_, n) => [n, 1]), documents };
  const written = await api.records(held, 'upsert', body, { 'x-polychrome-ack': 'log' });
  expect(written.status).toBe(200);
  await Promise.all(gateways.map((gateway) => gateway.stop()));

  gateways = [await LinkedGateway.start(cluster, holds)];
  const { api: again } = gateways[0]!.process;
  expect((await again.records(collection, 'get', { ids: ['kept'] })).text).toContain('"kept"');
  const path = '/api/v2/tenants/default_tenant/databases/default_database/collections/drills';
  expect((await again.call('GET', path)).status).toBe(200);
  // The entry that no node has applied fixes the dimension.
  const listed = JSON.parse((await again.collections()).text) as { name: string; dimension: number }[];
  expect(listed.find(({ name }) => name === 'held')).toMatchObject({ id: held, dimension: 2 });
  expect(listed).toHaveLength(11);
  const rows = await sql<{ checkpoint: string }>(cluster, 'select checkpoint from polychrome.node');
  const lsn = Number(written.headers.get('x-polychrome-lsn'));
  for (const { checkpoint } of rows) expect(Number(checkpoint)).toBeLessThan(lsn);
  released.resolve();
  await until(async () => (await again.records(held, 'count')).text === '20', 'the entry is applied');
});

// Several gateways on one PostgreSQL: all of them serve, one of them drives the nodes, and none responds from what is outdated.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChromaHttp } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { sql } from '../support/postgres-faults.ts';
import { startRoundRobin, type RoundRobin } from '../support/round-robin.ts';
import { until } from '../support/until.ts';

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';

let cluster: TestCluster;
/** The first leads until a test ends that. */
let gateways: GatewayProcess[];
beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 2 });
  await cluster.stopGateway();
  const first = await startOne();
  await until(() => first.leads(), 'the first gateway leads');
  gateways = [first, await startOne()];
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop('SIGKILL')));
  await cluster.stop();
});

// Several times as long as the balancer takes to learn that a gateway stops.
const startOne = (): Promise<GatewayProcess> =>
  GatewayProcess.start({ ...cluster.environment(), STOP_DELAY_MS: '1500' });
const other = (gateway: GatewayProcess): GatewayProcess => gateways.find((each) => each !== gateway)!;
const status = async (gateway: GatewayProcess, path: string): Promise<number> =>
  (await fetch(gateway.url + path)).status;

async function leading(): Promise<GatewayProcess> {
  let found: GatewayProcess | undefined;
  await until(async () => {
    for (const gateway of gateways) if (await gateway.leads()) found = gateway;
    return found !== undefined;
  }, 'a gateway leads');
  return found!;
}

const upsert = (api: ChromaHttp, id: string, record: string, n: number) =>
  api.records(id, 'upsert', { ids: [record], embeddings: [[n, 1]], documents: [`v${n}`] });
const documentOf = async (api: ChromaHttp, id: string, record: string): Promise<string> =>
  (await api.records(id, 'get', { ids: [record] })).text;

/** Writes and reads one record until `end` resolves; throws when a request fails. Returns the longest write, ms. */
async function trafficUntil(
  end: Promise<unknown>,
  api: ChromaHttp,
  id: string,
  record: string,
): Promise<number> {
  let isOver = false;
  void end.finally(() => (isOver = true));
  let longestMs = 0;
  for (let n = 1; !isOver; n++) {
    const since = performance.now();
    const written = await upsert(api, id, record, n);
    longestMs = Math.max(longestMs, performance.now() - since);
    if (written.status !== 200) throw new Error(`write ${n}: ${written.status} ${written.text}`);
    const read = await documentOf(api, id, record);
    if (!read.includes(`"v${n}"`)) throw new Error(`read after write ${n}: ${read}`);
  }
  await end;
  return longestMs;
}

describe('two gateways', () => {
  test('both serve: what one creates and writes, the other has at once', async () => {
    for (let n = 0; n < 20; n++) {
      const [writer, reader] = [gateways[n % 2]!, gateways[(n + 1) % 2]!];
      const id = await writer.api.create(`both-${n}`);
      expect((await reader.api.collections()).text).toContain(id);
      expect(await status(reader, `${COLLECTIONS}/both-${n}`)).toBe(200);
      expect((await upsert(writer.api, id, 'a', n)).status).toBe(200);
      expect(await documentOf(reader.api, id, 'a')).toContain(`"v${n}"`);
      expect((await upsert(reader.api, id, 'a', n + 100)).status).toBe(200);
      expect(await documentOf(writer.api, id, 'a')).toContain(`"v${n + 100}"`);
      expect((await reader.api.call('DELETE', `${COLLECTIONS}/both-${n}`)).status).toBe(200);
      expect(await status(writer, `${COLLECTIONS}/both-${n}`)).toBe(404);
    }
  });

  test('a client behind a balancer, which sends no LSN, reads its own writes', async () => {
    const balancer: RoundRobin = await startRoundRobin(gateways.map(({ url }) => url));
    const api = new ChromaHttp(balancer.url);
    const id = await api.create('balanced');
    // More requests at one time than connections in use, so that the client opens further ones.
    const clients = Array.from({ length: 8 }, async (_, client) => {
      for (let n = 0; n < 25; n++) {
        expect((await upsert(api, id, `r${client}`, n)).status).toBe(200);
        expect(await documentOf(api, id, `r${client}`)).toContain(`"v${n}"`);
      }
    });
    await Promise.all(clients);
    expect(Math.min(...balancer.connections)).toBeGreaterThan(0);
    await balancer.stop();
  });

  test('a leader that was frozen past its lease never calls missing what its successor created', async () => {
    const frozen = await leading();
    const successor = other(frozen);
    frozen.signal('SIGSTOP');
    await until(() => successor.leads(), 'the other gateway leads');
    const id = await successor.api.create('newer');
    expect((await upsert(successor.api, id, 'a', 1)).status).toBe(200);
    frozen.signal('SIGCONT');
    await until(async () => {
      const statuses = [
        await status(frozen, `${COLLECTIONS}/newer`),
        await status(frozen, `${COLLECTIONS}/${id}/count`),
      ];
      for (const each of statuses) expect([200, 503]).toContain(each);
      return statuses.every((each) => each === 200);
    }, 'the gateway that was frozen serves');
    expect(await documentOf(frozen.api, id, 'a')).toContain('"v1"');
    expect((await upsert(frozen.api, id, 'a', 2)).status).toBe(200);
    expect(await documentOf(successor.api, id, 'a')).toContain('"v2"');
    expect(await frozen.leads()).toBe(false);
  });

  test.each([
    ['leader', 'SIGTERM'],
    ['leader', 'SIGKILL'],
    ['follower', 'SIGKILL'],
  ] as const)('no request through the survivor fails when the %s ends by %s', async (role, signal) => {
    const leader = await leading();
    const ended = role === 'leader' ? leader : other(leader);
    const survivor = other(ended);
    const id = await survivor.api.create(`${role}-${signal}`);
    const end = (async () => {
      await ended.stop(signal);
      await until(() => survivor.leads(), 'the survivor leads');
    })();
    const longestMs = await trafficUntil(end, survivor.api, id, 'a');
    // One that stops in order removes its row; one that was killed counts for three leases.
    const rows = await sql(cluster, 'select id from polychrome.gateway');
    if (signal === 'SIGTERM') expect(rows).toHaveLength(1);
    console.log(`longest write while the ${role} ended by ${signal}: ${Math.round(longestMs)} ms`);
    gateways = [survivor, await startOne()];
    expect(await documentOf(gateways[1]!.api, id, 'a')).toBe(await documentOf(survivor.api, id, 'a'));
  });

  test('behind a balancer are restarted one after the other without one failed request', async () => {
    const balancer: RoundRobin = await startRoundRobin(gateways.map(({ url }) => url));
    const api = new ChromaHttp(balancer.url);
    const id = await api.create('restarted');
    const end = (async () => {
      for (const before of gateways) {
        const after = await startOne();
        balancer.add(after.url);
        await before.stop();
        gateways = [...gateways.filter((each) => each !== before), after];
      }
    })();
    const clients = Array.from({ length: 4 }, (_, client) => trafficUntil(end, api, id, `r${client}`));
    const longestMs = Math.max(...(await Promise.all(clients)));
    console.log(`longest write while all gateways were restarted: ${Math.round(longestMs)} ms`);
    await balancer.stop();
  });
});

// Two gateways on one PostgreSQL: the one that does not lead never responds from knowledge that may be outdated.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGateway, type Gateway } from '../../src/app/gateway.ts';
import { loadConfig } from '../../src/config/config.ts';
import { findFreePort } from '../../src/local/port.ts';
import { ChromaHttp } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';
const STATE = [
  COLLECTIONS,
  `${COLLECTIONS}_count`,
  `${COLLECTIONS}/notes`,
  `${COLLECTIONS}/absent`,
  '/api/v1/collections',
  '/api/v2/heartbeat',
  '/api/v2/healthcheck',
];

let cluster: TestCluster;
let standby: Gateway;
beforeAll(async () => {
  // The leading gateway in a process of its own, so that it can be frozen.
  cluster = await TestCluster.start({ nodes: 2, ownProcess: {} });
  const env = { ...cluster.environment(), PORT: String(await findFreePort()) };
  standby = await startGateway(loadConfig(env));
});
afterAll(async () => {
  await standby.stop();
  await cluster.stop();
});

const get = (url: string, path: string): Promise<Response> => fetch(`${url}${path}`);
const statuses = (url: string): Promise<number[]> =>
  Promise.all(STATE.map(async (path) => (await get(url, path)).status));

describe('beside a gateway that leads', () => {
  test('responds with 503 to everything that depends on the state', async () => {
    const id = await cluster.api.create('notes');
    await cluster.api.records(id, 'add', { ids: ['a'], embeddings: [[1, 2]] });
    expect(await statuses(standby.url)).toEqual(STATE.map(() => 503));
    expect((await get(standby.url, `${COLLECTIONS}/${id}/count`)).status).toBe(503);
    expect((await get(standby.url, '/api/v2/version')).status).toBe(200);
    const { error, message } = (await (await get(standby.url, COLLECTIONS)).json()) as Record<string, string>;
    expect([error, message]).toEqual([
      'ChromaError',
      expect.stringMatching(/stands by.*Nothing was changed/),
    ]);
    expect(await statuses(cluster.url)).toEqual([200, 200, 200, 404, 200, 200, 200]);
  });

  test('takes over from a frozen leader, which serves nothing when it continues', async () => {
    cluster.process.kill('SIGSTOP');
    await standby.ready();
    const api = new ChromaHttp(standby.url);
    const newer = await api.create('newer');
    await api.records(newer, 'add', { ids: ['b'], embeddings: [[3, 4]] });
    expect((await get(standby.url, `${COLLECTIONS}/newer`)).status).toBe(200);
    cluster.process.kill('SIGCONT');
    // From its first response on: it never says that the collection does not exist.
    for (let n = 0; n < 20; n++) {
      expect((await get(cluster.url, `${COLLECTIONS}/newer`)).status).toBe(503);
      expect((await get(cluster.url, `${COLLECTIONS}/${newer}/count`)).status).toBe(503);
    }
    await standby.stop();
    await until(
      async () => (await get(cluster.url, `${COLLECTIONS}/newer`)).status === 200,
      'the first gateway leads again and knows the collection',
    );
  });
});

// Collections that end or hang a server: shown on a bare server, refused by Polychrome.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChromaHttp } from '../support/chroma-http.ts';
import { capabilitiesOf, startBareServer } from '../support/chroma-server.ts';
import { TestCluster } from '../support/cluster.ts';

const C = '/api/v2/tenants/default_tenant/databases/default_database/collections';
const RECORDS = '{"ids":["a","b","c"],"embeddings":[[1,2],[3,4],[5,6]]}';

interface Hazard {
  readonly create?: string;
  readonly modify?: string;
  /** Whether only releases from 1.3 on are harmed. */
  readonly newestOnly?: boolean;
}

const schemaOf = (hnsw: string): string =>
  `"schema":{"defaults":{},"keys":{"#embedding":{"float_list":{"vector_index":{"enabled":true,"config":{"hnsw":${hnsw}}}}}}}`;

const WITHOUT_NEIGHBORS: readonly Hazard[] = [
  { create: '"configuration":{"hnsw":{"space":"l2","max_neighbors":0}}' },
  { create: '"metadata":{"a":1,"hnsw:M":0}' },
  { create: schemaOf('{"max_neighbors":0}'), newestOnly: true },
  { modify: '"new_configuration":{"hnsw":{"max_neighbors":0}}' },
];
const UNSTORABLE: readonly Hazard[] = [
  { create: '"metadata":{"a":[1]}' },
  { create: '"metadata":{"a":[]}' },
  { create: '"metadata":{"a":{"indices":[1],"values":[1.0]}}' },
  { modify: '"new_metadata":{"a":1,"b":["x"]}' },
];

const created = ({ create = '"get_or_create":false' }: Hazard): string => `{"name":"subject",${create}}`;

/** The status of a call; 0 when the connection ended without a response. */
async function statusOf(http: ChromaHttp, method: string, path: string, body: string): Promise<number> {
  return http.call(method, path, body).then(
    ({ status }) => status,
    () => 0,
  );
}

const asked = await startBareServer();
const { schema: isNew } = await capabilitiesOf(asked);
await asked.stop();

describe('on a bare server', () => {
  test.each(WITHOUT_NEIGHBORS.filter(({ newestOnly }) => isNew || newestOnly !== true))(
    'exits at the first records of a collection with $create $modify',
    async (hazard) => {
      const server = await startBareServer();
      try {
        const http = new ChromaHttp(server.url);
        const { text } = await http.call('POST', C, created(hazard));
        const { id } = JSON.parse(text) as { id: string };
        if (hazard.modify !== undefined) await http.call('PUT', `${C}/${id}`, `{${hazard.modify}}`);
        expect(await statusOf(http, 'POST', `${C}/${id}/add`, RECORDS)).toBe(0);
        await expect(fetch(`${server.url}/api/v2/heartbeat`)).rejects.toThrow('fetch failed');
      } finally {
        await server.stop();
      }
    },
  );

  test.skipIf(!isNew).each(UNSTORABLE)('never responds to $create $modify', async (hazard) => {
    const server = await startBareServer();
    try {
      const http = new ChromaHttp(server.url);
      if (hazard.modify === undefined) expect(await statusOf(http, 'POST', C, created(hazard))).toBe(0);
      else {
        const id = await http.create('subject');
        expect(await statusOf(http, 'PUT', `${C}/${id}`, `{${hazard.modify}}`)).toBe(0);
      }
      expect((await fetch(`${server.url}/api/v2/heartbeat`)).status).toBe(200);
    } finally {
      await server.stop();
    }
  });
});

describe('Polychrome refuses', () => {
  let cluster: TestCluster;
  let http: ChromaHttp;
  let id: string;

  beforeAll(async () => {
    cluster = await TestCluster.start({ nodes: 1 });
    http = new ChromaHttp(cluster.url);
    id = await http.create('other');
  });
  afterAll(() => cluster?.stop());

  async function refusalOf(hazard: Hazard): Promise<{ status: number; text: string }> {
    const { modify } = hazard;
    return modify === undefined
      ? http.call('POST', C, created(hazard))
      : http.call('PUT', `${C}/${id}`, `{${modify}}`);
  }

  // A server before 1.3 ignores a schema; Polychrome refuses one that harms later releases.
  test.each(WITHOUT_NEIGHBORS)('$create $modify', async (hazard) => {
    const { status, text } = await refusalOf(hazard);
    expect(status).toBe(400);
    expect(text).toContain('max_neighbors must be from 2 to 10000');
  });

  test.each([1, 10_001, 2 ** 32])('%i neighbors, to which a server may never respond', async (neighbors) => {
    const hazard = { create: `"configuration":{"hnsw":{"max_neighbors":${neighbors}}}` };
    expect((await refusalOf(hazard)).status).toBe(400);
  });

  test.each(UNSTORABLE)('$create $modify as unsupported, or as malformed', async (hazard) => {
    const { status, text } = await refusalOf(hazard);
    expect(status).toBe(isNew ? 501 : 422);
    expect(text).toContain(
      isNew ? 'Lists and sparse vectors in the metadata of a collection' : 'did not match any',
    );
  });

  test('refused calls without a trace, and serves other collections', async () => {
    expect(JSON.parse((await http.collections()).text)).toHaveLength(1);
    expect((await http.records(id, 'add', RECORDS)).status).toBe(201);
  });
});

import { expect, test } from 'vitest';
import type { Collection } from '../../catalog/catalog.ts';
import { DEFAULT_FILTER_LIMITS } from '../../chroma/parse/filter-limits.ts';
import { LargeScanner } from '../../chroma/parse/large-scanner.ts';
import type { ClientRequest } from '../../http/router.ts';
import type { WholeResponse } from '../../http/response.ts';
import type { NodeReadResult } from '../../read/each-node.ts';
import { adminRouter } from '../admin/routes.ts';
import { recordRoutes } from './record-routes.ts';

const ID = '0a1b2c3d-0000-4000-8000-000000000001';
const collection = {
  id: ID,
  tenant: 't',
  database: 'd',
  name: 'docs',
  state: 'ready',
} as unknown as Collection;

function setUp(results: readonly NodeReadResult[] = []) {
  const requests: ClientRequest[] = [];
  let asked = 0;
  const handler = async (request: ClientRequest) => {
    requests.push(request);
    return { status: 200, body: '{}' };
  };
  const router = adminRouter(
    recordRoutes({
      catalog: { collection: (id) => (id === ID ? collection : null) },
      handlers: { get: handler, query: handler, count: handler },
      eachNode: async () => {
        asked += 1;
        return results;
      },
      scanner: new LargeScanner(),
      filterLimits: { ...DEFAULT_FILTER_LIMITS, conditionsMax: 2 },
    }),
  );
  const post = async (path: string, body: string): Promise<WholeResponse> => {
    const match = router.match('POST', path);
    if (typeof match === 'string') throw new Error(match);
    expect(match.readsBody).toBe(true);
    const { signal } = new AbortController();
    const request = { params: match.params, body: Buffer.from(body), signal, headers: { cookie: 'x' } };
    return (await match.handle(request as unknown as ClientRequest)) as WholeResponse;
  };
  return { requests, post, asked: () => asked };
}

test('a get is that of the API, by the names of the collection and with the body as it came', async () => {
  const { requests, post } = setUp();
  await post(`/ui/collections/${ID}/get`, '{"where":{"n":9007199254740993}}');
  const [request] = requests;
  expect(request?.params).toEqual({ tenant: 't', database: 'd', collection: ID });
  expect(request?.headers).toEqual({});
  expect(String(request?.body)).toBe('{"where":{"n":9007199254740993}}');
});

test('a collection that was deleted is not found', async () => {
  const { post } = setUp();
  const other = ID.replace('1', '9');
  for (const path of [`/ui/collections/${other}/get`, `/ui/collections/${other}/nodes/query`])
    await expect(post(path, '{}')).rejects.toMatchObject({ code: 'not_found' });
});

test('bodies of nodes are passed on as they are, other texts as text', async () => {
  const result = { isPrimary: false, applied: 3, reason: null };
  const { post } = setUp([
    { ...result, node: 'a', response: { status: 200, body: Buffer.from('{"n":1.0}'), ms: 2 } },
    { ...result, node: 'b', response: { status: 500, body: Buffer.from('a "quoted" error'), ms: 2 } },
    { ...result, node: 'c', response: null, reason: 'not asked' },
  ]);
  const { body } = await post(`/ui/collections/${ID}/nodes/get`, '{}');
  expect(String(body)).toContain('"body":{"n":1.0}');
  const { nodes } = JSON.parse(String(body)) as { nodes: { status: number | null; body: unknown }[] };
  expect(nodes.map(({ status, body: content }) => [status, content])).toEqual([
    [200, { n: 1 }],
    [500, 'a "quoted" error'],
    [null, null],
  ]);
});

test('a filter beyond the limits reaches no node', async () => {
  const { post, asked } = setUp();
  const where = JSON.stringify({ where: { $or: [{ a: 1 }, { a: 2 }, { a: 3 }] } });
  await expect(post(`/ui/collections/${ID}/nodes/get`, where)).rejects.toMatchObject({
    code: 'invalid_argument',
  });
  expect(asked()).toBe(0);
});

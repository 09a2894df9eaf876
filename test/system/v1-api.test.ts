// The v1 API as curl and scripts use it: names in place of ids, selections, shapes by client, and the rules that hold for
// every write.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 3 });
});
afterAll(() => cluster?.stop());

interface Reply {
  readonly status: number;
  readonly body: unknown;
}

async function call(
  method: string,
  path: string,
  body?: object | string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const response = await fetch(cluster.url + path, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text) };
}

const v1 = (method: string, path: string, body?: object | string, headers?: Record<string, string>) =>
  call(method, `/api/v1/${path}`, body, headers);

/** The ids on each node, asked without the gateway. */
async function idsOnNodes(name: string): Promise<string[][]> {
  return Promise.all(
    cluster.local.nodes.map(async ({ url }) => {
      const collections = `${url}/api/v2/tenants/default_tenant/databases/default_database/collections`;
      const { id } = (await (await fetch(`${collections}/${name}`)).json()) as { id: string };
      const get = await fetch(`${collections}/${id}/get`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"include":[]}',
      });
      return ((await get.json()) as { ids: string[] }).ids;
    }),
  );
}

const vectors = (count: number): number[][] => Array.from({ length: count }, (_, n) => [n, 1]);

test('reads and deletes by the name of a collection, and one of three chunks leaves two on every node', async () => {
  expect(await v1('POST', 'collections', { name: 'global' })).toMatchObject({ status: 200 });
  const ids = ['doc1_chunk_0', 'doc1_chunk_1', 'doc1_chunk_2'];
  const added = await v1('POST', 'collections/global/add', {
    ids,
    embeddings: vectors(3),
    metadatas: ids.map((_, chunk) => ({ document_id: 'doc1', chunk })),
  });
  expect(added).toEqual({ status: 201, body: true });
  const deleted = await v1('POST', 'collections/global/delete', { ids: ['doc1_chunk_1'] });
  expect(deleted).toEqual({ status: 200, body: ['doc1_chunk_1'] });
  const left = ['doc1_chunk_0', 'doc1_chunk_2'];
  expect(await v1('GET', 'collections/global/get')).toMatchObject({ status: 200, body: { ids: left } });
  await until(async () => {
    expect(await idsOnNodes('global')).toEqual([left, left, left]);
    return true;
  }, 'every node has the two that are left');
});

test('returns what a filter selected, and never widens a delete', async () => {
  await v1('POST', 'collections', { name: 'filtered' });
  await v1('POST', 'collections/filtered/add', {
    ids: ['a', 'b', 'c'],
    embeddings: vectors(3),
    metadatas: [{ n: 1 }, { n: 2 }, { n: 2 }],
  });
  const empty = { where: {}, where_document: {} };
  expect(await v1('POST', 'collections/filtered/delete', empty)).toMatchObject({ status: 400 });
  expect(await v1('POST', 'collections/filtered/delete', { ids: null, ...empty })).toMatchObject({
    status: 400,
  });
  expect(await v1('POST', 'collections/filtered/delete', { ids: [], ...empty })).toMatchObject({
    status: 400,
  });
  expect(await v1('POST', 'collections/filtered/delete', { ids: ['a'], where: { n: 2 } })).toEqual({
    status: 200,
    body: [],
  });
  expect(await v1('GET', 'collections/filtered/count')).toEqual({ status: 200, body: 3 });
  const selected = await v1('POST', 'collections/filtered/delete', { where: { n: 2 }, where_document: {} });
  expect(selected).toEqual({ status: 200, body: ['b', 'c'] });
  expect(await v1('GET', 'collections/filtered/get?include=metadatas&limit=5')).toMatchObject({
    body: { ids: ['a'], metadatas: [{ n: 1 }], included: ['metadatas'] },
  });
});

test('removes empty filters from bodies of megabytes as well', async () => {
  await v1('POST', 'collections', { name: 'many' });
  await v1('POST', 'collections/many/add', { ids: ['kept', 'gone'], embeddings: vectors(2) });
  const ids = [...Array.from({ length: 30_000 }, (_, n) => `${'x'.repeat(80)}${n}`), 'gone'];
  const deleted = await v1('POST', 'collections/many/delete', { where: {}, ids, where_document: {} });
  expect(deleted).toEqual({ status: 200, body: ids });
  expect(await v1('GET', 'collections/many/get')).toMatchObject({ body: { ids: ['kept'] } });
});

test('shapes collections by the client', async () => {
  await v1('POST', 'collections', { name: 'shaped' });
  const keysOf = async (path: string, agent: string): Promise<string[]> => {
    const { body } = await call('GET', path, undefined, { 'user-agent': agent });
    return Object.keys((body as object[])[0]!);
  };
  const whole = [
    'id',
    'name',
    'metadata',
    'tenant',
    'database',
    'dimension',
    'version',
    'configuration_json',
  ];
  expect(await keysOf('/api/v1/collections', 'python-requests/2.31.0')).toEqual(['id', 'name', 'metadata']);
  expect(await keysOf('/api/v1/collections', 'python-httpx/0.27.0')).toEqual(whole);
  expect(await keysOf('/api/v1/collections', 'curl/8.0')).toEqual(whole);
  const v2 = '/api/v2/tenants/default_tenant/databases/default_database/collections';
  expect(await keysOf(v2, 'python-httpx/0.27.0')).toEqual(whole);
  expect(await keysOf(v2, 'Chroma Python Client v1.5.9')).toContain('log_position');
});

test('applies every rule of the v2 API', async () => {
  await v1('POST', 'collections', { name: 'ruled' });
  const record = { ids: ['a'], embeddings: [[1, 2]] };
  // It would end the log reader of every server that applies it.
  const hazard = { ...record, metadatas: [{ 'chroma:document': 1 }] };
  expect(await v1('POST', 'collections/ruled/add', hazard)).toMatchObject({ status: 400 });
  expect(await v1('POST', 'collections/ruled/add', record)).toMatchObject({ status: 201 });
  expect(await v1('POST', 'collections/ruled/add', { ids: ['b'], embeddings: [[1]] })).toMatchObject({
    status: 400,
    body: { error: 'InvalidDimension' },
  });
  expect(await v1('POST', 'collections?tenant=polychrome', { name: 'mine' })).toMatchObject({ status: 403 });
  expect(await v1('POST', 'reset')).toMatchObject({ status: 403 });
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  expect(await v1('POST', 'collections/ruled/delete', record, form)).toMatchObject({ status: 415 });
  expect(await v1('POST', 'collections/none/get', {})).toMatchObject({
    body: { error: 'InvalidCollection' },
  });
  expect(await v1('GET', 'raw_sql')).toMatchObject({ status: 410 });
  expect(await v1('GET', 'collections/ruled/count')).toEqual({ status: 200, body: 1 });
});

test('finds a collection by name in the database that the query names', async () => {
  await v1('POST', 'tenants', { name: 'other' });
  await v1('POST', 'databases?tenant=other', { name: 'books' });
  const place = '?tenant=other&database=books';
  const { body } = await v1('POST', `collections${place}`, { name: 'there' });
  const { id } = body as { id: string };
  const record = { ids: ['a'], embeddings: [[1, 2]] };
  expect(await v1('POST', `collections/there/add${place}`, record)).toMatchObject({ status: 201 });
  expect(await v1('GET', `collections/${id}/count`)).toEqual({ status: 200, body: 1 });
  expect(await v1('GET', 'collections/there/count')).toMatchObject({ status: 400 });
  expect(await v1('PUT', `collections/${id}`, { new_name: 'moved' })).toEqual({ status: 200, body: null });
  expect(await v1('DELETE', `collections/moved${place}`)).toEqual({ status: 200, body: null });
});

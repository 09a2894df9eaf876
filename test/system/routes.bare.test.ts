// Routes that a single server refuses, and those that need no data: the same requests to Polychrome and to a bare server
// of the same release get the same status, content type and body, up to the collection's id.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChromaHttp } from '../support/chroma-http.ts';
import { startBareServer, type BareServer } from '../support/chroma-server.ts';
import { TestCluster } from '../support/cluster.ts';

const TENANT = '/api/v2/tenants/default_tenant';
const C = `${TENANT}/databases/default_database/collections`;
const NOWHERE = '00000000-0000-4000-8000-000000000000';
const FUNCTION = '{"name":"n","function_id":"f","output_collection":"o","params":{}}';

type Request = readonly [method: string, path: string, body?: string];

const REQUESTS: readonly Request[] = [
  ...[
    '{"resource_name":"x"}',
    '{}',
    '{"resource_name":5}',
    '{"resource_name":null}',
    '{"resource_name":[]}',
    '',
  ].map((body): Request => ['PATCH', TENANT, body]),
  ['PATCH', '/api/v2/tenants/nonesuch', '{"resource_name":"x"}'],
  ['GET', TENANT],
  // Metadata and schema keys come in any order: what a collection looks like is compared by the clients' tests.
  ...[NOWHERE, 'x', NOWHERE.toUpperCase()].map((id): Request => ['GET', `${C}/by-id/${id}`]),
  ['GET', `${TENANT}/databases/other/collections/by-id/{id}`],
  ['GET', `/api/v2/tenants/other/databases/default_database/collections/by-id/{id}`],
  ...['{id}', NOWHERE, 'x'].flatMap((id): Request[] => [
    ['POST', `${C}/${id}/search`, '{"searches":[]}'],
    ['POST', `${C}/${id}/search`, '{"searches":[{"rank":{"$knn":{"query":[1,2]}},"limit":{"limit":3}}]}'],
    ['POST', `${C}/${id}/search`, '{}'],
    ['POST', `${C}/${id}/search`, '{'],
    ['POST', `${C}/${id}/fork`, '{"new_name":"forked"}'],
    ['POST', `${C}/${id}/fork`, '{}'],
    ['POST', `${C}/${id}/fork`, '{"new_name":5}'],
    ['POST', `${C}/${id}/fork`, '{"new_name":1.5}'],
    ['POST', `${C}/${id}/fork`, '{"new_name":{}}'],
    ['POST', `${C}/${id}/fork`, '{"new_name":true}'],
    ['GET', `${C}/${id}/fork_count`],
    ['GET', `${C}/${id}/indexing_status`],
    ['POST', `${C}/${id}/functions/attach`, FUNCTION],
    ['POST', `${C}/${id}/functions/attach`, '{"name":"n"}'],
    ['POST', `${C}/${id}/functions/attach`, '{}'],
    ['GET', `${C}/${id}/functions/f`],
    ['POST', `${C}/${id}/attached_functions/f/detach`, '{}'],
    ['POST', `${C}/${id}/attached_functions/f/detach`, '{"delete_output":true}'],
    ['POST', `${C}/${id}/attached_functions/f/detach`, '{"delete_output":5}'],
    ['POST', `${C}/${id}/attached_functions/f/detach`, '{"delete_output":null}'],
  ]),
  ['POST', `${C}/{id}/search`, '{"searches":[{"limit":{"limit":"x"}}]}'],
  ['POST', `${C}/{id}/search`, '{"searches":[],"read_level":"x"}'],
  ...['x', 'a:b', 'a:b:c:d', 'a::c', '::'].map((crn): Request => ['GET', `/api/v2/collections/${crn}`]),
  ['GET', '/docs/'],
  ['GET', '/docs/swagger-ui.css'],
  ['GET', '/docs/nothing'],
  ['GET', '/openapi.json'],
  ['POST', '/api/v2/reset'],
];

// Names that some release refuses; a database that is created is created on both.
const NAMES = [
  'no',
  'é',
  'éa',
  'no ok',
  '-abc',
  'größe',
  'a..b',
  '127.0.0.1',
  'abc+def',
  'a+def',
  'abc+d',
  'a+b+c',
];
const DATABASES: readonly Request[] = NAMES.flatMap((name): Request[] => {
  const database = `${TENANT}/databases/${encodeURIComponent(name)}`;
  return [
    ['POST', `${TENANT}/databases`, JSON.stringify({ name })],
    ['GET', `${database}/collections`],
    ['GET', `${database}/collections_count`],
    ['GET', `${database}/collections/by-id/${NOWHERE}`],
    ['GET', `${database}/collections/abc`],
    ['DELETE', `${database}/collections/abc`],
    ['PUT', `${database}/collections/${NOWHERE}`, '{"new_name":"abd"}'],
    ['GET', `${database}/collections/${NOWHERE}/count`],
    ['POST', `${database}/collections/${NOWHERE}/get`, '{}'],
    ['POST', `${database}/collections/${NOWHERE}/add`, '{"ids":["a"],"embeddings":[[1]]}'],
    ['GET', `${database}/collections/${NOWHERE}/functions/f`],
    ['POST', `${database}/collections/${NOWHERE}/functions/attach`, FUNCTION],
    ['POST', `${database}/collections/${NOWHERE}/attached_functions/f/detach`, '{}'],
    ['GET', `${database}/collections/x/functions/f`],
    ['DELETE', database],
    ['GET', database],
    ['POST', C, JSON.stringify({ name })],
    ['DELETE', `${C}/${encodeURIComponent(name)}`],
    ['PUT', `${C}/{id}`, JSON.stringify({ new_name: name })],
    ['PUT', `${C}/{id}`, '{"new_name":"subject"}'],
  ];
});

class Subject {
  readonly #http: ChromaHttp;
  readonly #id: string;

  private constructor(http: ChromaHttp, id: string) {
    this.#http = http;
    this.#id = id;
  }

  static async of(url: string): Promise<Subject> {
    const http = new ChromaHttp(url);
    return new Subject(http, await http.create('subject'));
  }

  async ask([method, path, body]: Request): Promise<object> {
    const { status, text, headers } = await this.#http.call(method, path.replace('{id}', this.#id), body);
    return { status, type: headers.get('content-type'), body: comparable(text.replaceAll(this.#id, '{id}')) };
  }
}

const UUID = /(?<="id":")[0-9a-f-]{36}/;

// A server writes the keys of a schema in another order each time, and those of a message about a length.
function comparable(text: string): unknown {
  const plain = text
    .replace(UUID, '{new id}')
    .replace(
      /length \[\{(.*), (.*)\}\]/,
      (_all, ...parts: string[]) => `length [${parts.slice(0, 2).sort().join(', ')}]`,
    );
  return /^[{[]/.test(plain) ? JSON.parse(plain) : plain;
}

let cluster: TestCluster;
let bare: BareServer;
let polychrome: Subject;
let chroma: Subject;
beforeAll(async () => {
  [cluster, bare] = await Promise.all([TestCluster.start({ nodes: 2 }), startBareServer()]);
  [polychrome, chroma] = await Promise.all([Subject.of(cluster.url), Subject.of(bare.url)]);
});
afterAll(() => Promise.all([cluster?.stop(), bare?.stop()]));

describe('the response is that of a single server', () => {
  test.each([...REQUESTS, ...DATABASES].map((request) => ({ name: request.join(' '), request })))(
    '$name',
    async ({ request }) => {
      expect(await polychrome.ask(request)).toEqual(await chroma.ask(request));
    },
  );
});

test('/docs redirects to the page as a single server does', async () => {
  const redirect = async (url: string): Promise<object> => {
    const { status, headers } = await fetch(`${url}/docs`, { redirect: 'manual' });
    return { status, location: headers.get('location') };
  };
  expect(await redirect(cluster.url)).toEqual(await redirect(bare.url));
});

test('a well-formed resource name is refused, where a server drops the connection', async () => {
  await expect(fetch(`${bare.url}/api/v2/collections/a:b:c`)).rejects.toThrow('fetch failed');
  expect(await polychrome.ask(['GET', '/api/v2/collections/a:b:c'])).toMatchObject({
    status: 501,
    body: { error: 'ChromaError' },
  });
});

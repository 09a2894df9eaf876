// The comparison proved on broken subjects: the same bare server on both sides, one of them behind a proxy that does
// one thing wrong. What it does to no one's harm must pass, every wrong must be found.

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { findChromaRelease } from '../../src/local/chroma-release.ts';
import { startChroma } from '../../src/local/chroma.ts';
import type { Child } from '../../src/local/child.ts';
import { findFreePort } from '../../src/local/port.ts';
import { systemClock } from '../../src/util/clock.ts';
import { compareSequence, Mismatch, newTally } from './compare.ts';
import { type EndpointResponse, type Endpoint, openEndpoint } from './endpoint.ts';
import type { Operation } from './operation.ts';
import { MAIN } from './schema.ts';

const PEARS = `${MAIN}/collections/{id:pears}`;
const post = (path: string, body: string): Operation => ({ action: 'call', method: 'POST', path, body });

const SEQUENCE: readonly Operation[] = [
  post(`${MAIN}/collections`, '{"name":"pears","metadata":{"weight":1.0}}'),
  post(`${MAIN}/collections`, '{"name":"apples"}'),
  post(
    `${PEARS}/add`,
    '{"ids":["a","b"],"embeddings":[[1,2,3],[4,5,6]],"metadatas":[{"n":1.0,"colour":"red"},{"n":9007199254740993}],"documents":["one","two"]}',
  ),
  post(`${PEARS}/get`, '{"include":["embeddings","metadatas","documents"]}'),
  post(`${PEARS}/query`, '{"query_embeddings":[[1,2,4]],"n_results":2}'),
  { action: 'list', method: 'GET', path: `${MAIN}/collections` },
  { action: 'page', method: 'GET', path: `${MAIN}/collections?limit=1` },
  { action: 'page', method: 'GET', path: `${MAIN}/collections?limit=1&offset=1` },
  { action: 'count', method: 'GET', path: `${PEARS}/count` },
  post(`${PEARS}/add`, '{"ids":["c"],"embeddings":[[1,2]]}'),
  { action: 'missing', method: 'GET', path: `${MAIN}/collections/nonesuch` },
];

type Wrong = (response: EndpointResponse, path: string) => EndpointResponse;

const replaced =
  (part: string, from: string | RegExp, to: string): Wrong =>
  (response, path) =>
    path.endsWith(part)
      ? { ...response, body: Buffer.from(response.body.toString().replace(from, to)) }
      : response;

const WRONGS: Readonly<Record<string, Wrong>> = {
  'a record dropped': replaced('/get', '"ids":["a","b"]', '"ids":["a"]'),
  '1.0 turned into 1': replaced('/get', '"n":1.0', '"n":1'),
  'a large integer rounded': replaced('/get', '9007199254740993', '9007199254740992'),
  '1.0 turned into 1 in the metadata of a collection': replaced('/collections', '"weight":1.0', '"weight":1'),
  'two ids swapped': replaced('/query', '"a","b"', '"b","a"'),
  'a distance changed in its last digit': replaced(
    '/query',
    '"distances":[[1.0,',
    '"distances":[[1.0000001,',
  ),
  'a metadata key lost': replaced('/get', /,?"colour":"red",?/, ''),
  'a document turned into null': replaced('/get', '"one"', 'null'),
  'a collection missing from the list': (response, path) =>
    path.endsWith('/collections') && response.body.includes('[{')
      ? { ...response, body: Buffer.from(response.body.toString().replace(/,\{"id".*\]$/, ']')) }
      : response,
  'two collections with each other’s id': swapIdsInList(),
  'the first page given for every page': firstPageAlways(),
  'another collection in the place of one of a page': replaced('limit=1', /"name":"\w+"/, '"name":"plums"'),
  'a status changed': (response) => (response.status === 404 ? { ...response, status: 400 } : response),
  'created said as ok': (response) => (response.status === 201 ? { ...response, status: 200 } : response),
  'a message changed': replaced('/add', 'dimension of 3', 'dimension of 4'),
  'another content type': (response) => ({ ...response, contentType: 'text/plain' }),
  'an empty body': replaced('/count', /^.*$/, ''),
  'text that is not JSON': replaced('/count', '2', '2}'),
  'a lost response': (response, path) =>
    path.endsWith('/query') ? { status: 0, contentType: '', body: Buffer.alloc(0) } : response,
};

const HARMLESS: Readonly<Record<string, Wrong>> = {
  nothing: (response) => response,
  'the keys of a metadata map in another order': replaced(
    '/get',
    /\{"(n|colour)":([^,}]+),"(n|colour)":([^,}]+)\}/,
    '{"$3":$4,"$1":$2}',
  ),
};

function firstPageAlways(): Wrong {
  let first: EndpointResponse | null = null;
  return (response, path) => (path.includes('?limit=1') ? (first ??= response) : response);
}

function swapIdsInList(): Wrong {
  return (response, path) => {
    if (!path.endsWith('/collections') || !response.body.includes('[{')) return response;
    const [one = '', other = ''] = [...response.body.toString().matchAll(/"id":"([^"]+)"/g)].map(
      (match) => match[1],
    );
    const swapped = response.body
      .toString()
      .replaceAll(/"id":"([^"]+)"/g, (_whole, id) => `"id":"${id === one ? other : one}"`);
    return { ...response, body: Buffer.from(swapped) };
  };
}

let dir: string;
let bare: Child;
let endpoint: Endpoint;
let proxy: Server | undefined;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'polychrome-differ-'));
  const port = await findFreePort();
  bare = await startChroma({
    name: 'the bare server',
    release: await findChromaRelease(process.env['CHROMA_COMMAND']),
    path: join(dir, 'bare'),
    port,
    logFile: join(dir, 'bare.log'),
    clock: systemClock,
  });
  endpoint = openEndpoint(`http://127.0.0.1:${port}`);
});

afterEach(() => proxy?.close());

afterAll(async () => {
  await endpoint?.close();
  await bare?.stop();
  await rm(dir, { recursive: true, force: true });
});

/** A server that forwards all requests to the bare one, in another tenant, and distorts the responses. */
async function broken(wrong: Wrong): Promise<Endpoint> {
  proxy = createServer((request, reply) => {
    void (async () => {
      const chunks = await request.toArray();
      const { method = '', url = '', headers } = request;
      const aside = (text: string): string => text.replaceAll('diff-', 'Diff-');
      const response = await endpoint.send({
        method,
        path: aside(url),
        headers: headers['content-type'] === undefined ? {} : { 'content-type': headers['content-type'] },
        body: chunks.length === 0 ? null : Buffer.from(aside(Buffer.concat(chunks).toString())),
      });
      const body = Buffer.from(response.body.toString().replaceAll('Diff-', 'diff-'));
      const distorted = wrong({ ...response, body }, url);
      if (distorted.status === 0) return void reply.destroy();
      reply.writeHead(distorted.status, { 'content-type': distorted.contentType }).end(distorted.body);
    })();
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return openEndpoint(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
}

async function compareWith(wrong: Wrong): Promise<void> {
  const a = await broken(wrong);
  try {
    await compareSequence({ a, b: endpoint }, SEQUENCE, newTally());
  } finally {
    await a.close();
  }
}

for (const [name, wrong] of Object.entries(WRONGS)) {
  test(`finds ${name}`, async () => {
    await expect(compareWith(wrong)).rejects.toThrow(Mismatch);
  });
}

for (const [name, wrong] of Object.entries(HARMLESS)) {
  test(`lets pass ${name}`, async () => {
    await expect(compareWith(wrong)).resolves.toBeUndefined();
  });
}

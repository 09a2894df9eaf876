// The HTTP front end compared with a bare Chroma server: the same bytes to both, and the same status, body, content type
// and Allow header back. Only requests that reach no handler, so that nothing can be emulated. Intended differences are
// listed with their reasons, and must be there.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findChromaRelease } from '../../src/local/chroma-release.ts';
import { startChroma } from '../../src/local/chroma.ts';
import { findFreePort } from '../../src/local/port.ts';
import { ERROR_RESPONSES } from '../../src/api/v2/error-responses.ts';
import { chromaRouter } from '../../src/api/v2/front-end.ts';
import { allowAll } from '../../src/auth/allow-all.ts';
import { ResponseBudget } from '../../src/http/response-budget.ts';
import { startServer, type RunningServer } from '../../src/http/server.ts';
import { systemClock } from '../../src/util/clock.ts';
import { rawRequest, type RawResponse } from '../support/raw-http.ts';

const MIB = 1024 * 1024;
const MAX_BODY = 40 * MIB;
const C = '/api/v2/tenants/t/databases/d/collections';
const HOST = 'Host: x\r\n';
const JSON_TYPE = 'Content-Type: application/json\r\n';
const GET = `GET /api/v2/version HTTP/1.1\r\n${HOST}`;
const POST = `POST /api/v2/tenants/t/databases HTTP/1.1\r\n${HOST}`;
const CHUNKED = `${POST}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n`;

type Pieces = readonly (string | Buffer)[];

function line(method: string, path: string): Pieces {
  return [`${method} ${path} HTTP/1.1\r\n${HOST}\r\n`];
}

const SAME: Readonly<Record<string, Pieces>> = {
  'unknown path': line('GET', '/'),
  'trailing slash': line('GET', '/api/v2/heartbeat/'),
  'two slashes': line('GET', '//api/v2/heartbeat'),
  dots: line('GET', '/api/v2/../v2/heartbeat'),
  'upper case': line('GET', '/API/v2/heartbeat'),
  'escaped fixed segment': line('GET', '/api/v2/%68eartbeat'),
  'unknown mutation': line('POST', '/api/v2/nothing'),
  'unknown mutation of a collection': line('POST', `${C}/x/nothing`),
  'conditional commit, in no release yet': line('POST', `${C}/x/conditional/commit`),
  'nothing below by-id': line('GET', `${C}/by-id/x/y`),
  'wrong method': line('POST', '/api/v2/heartbeat'),
  'wrong method, HEAD': line('HEAD', '/api/v2/reset'),
  'wrong method, tenants': line('GET', '/api/v2/tenants'),
  'wrong method, tenant': line('PUT', '/api/v2/tenants/x'),
  'wrong method, databases': line('PUT', '/api/v2/tenants/x/databases'),
  'wrong method, database': line('PUT', '/api/v2/tenants/x/databases/y'),
  'wrong method, collections': line('PUT', C),
  'wrong method, collection': line('POST', `${C}/x`),
  'wrong method, add': line('GET', `${C}/x/add`),
  'wrong method, crn': line('POST', '/api/v2/collections/x'),
  'wrong method, docs': line('POST', '/docs/'),
  'wrong method, openapi': line('POST', '/openapi.json'),
  'OPTIONS without CORS': line('OPTIONS', '/api/v2/tenants'),
  'OPTIONS *': line('OPTIONS', '*'),
  v1: line('GET', '/api/v1/heartbeat'),
  'v1 HEAD': line('HEAD', '/api/v1/heartbeat'),
  'v1 OPTIONS': line('OPTIONS', '/api/v1/a/b'),
  'v1 POST': line('POST', '/api/v1/collections'),
  'v1 itself': line('GET', '/api/v1'),
  'v1, not UTF-8': line('GET', '/api/v1/%ff'),
  'not UTF-8, tenant': line('GET', '/api/v2/tenants/%ff'),
  'not UTF-8, tenant of databases': line('GET', '/api/v2/tenants/%ff/databases?limit=abc'),
  'not UTF-8, database': line('GET', '/api/v2/tenants/x/databases/%ff'),
  'not UTF-8, collection': line('GET', `${C}/%ff/count`),
  'not UTF-8, by-id': line('GET', `${C}/by-id/%ff`),
  'not UTF-8, crn': line('GET', '/api/v2/collections/%ff'),
  'not UTF-8, wrong method': line('POST', '/api/v2/tenants/%ff'),

  'form type': [`${POST}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n\r\n{}`],
  'text type': [`${POST}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`],
  'empty type': [`${POST}Content-Type: \r\nContent-Length: 2\r\n\r\n{}`],
  'malformed parameter': [`${POST}Content-Type: application/json; x\r\nContent-Length: 2\r\n\r\n{}`],
  'first of two types': [`${POST}Content-Type: text/plain\r\n${JSON_TYPE}Content-Length: 2\r\n\r\n{}`],
  'wrong type, expecting': [`${POST}Content-Type: a/b\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`],
  'too large': [
    `${POST}${JSON_TYPE}Content-Length: ${MAX_BODY + 1}\r\n\r\n`,
    Buffer.alloc(MAX_BODY + 1, 0x20),
  ],
  'too large in chunks': [
    `${CHUNKED}${(MAX_BODY + 1).toString(16)}\r\n`,
    Buffer.alloc(MAX_BODY + 1, 0x20),
    '\r\n0\r\n\r\n',
  ],
  'too large, for an unknown path': [
    `POST /nothing HTTP/1.1\r\n${HOST}Content-Length: ${MAX_BODY + 1}\r\n\r\n`,
  ],
  'malformed chunk size': [`${CHUNKED}zz\r\n{}\r\n0\r\n\r\n`],
  'overflowing chunk size': [`${CHUNKED}fffffffffffffffff\r\n{}\r\n0\r\n\r\n`],
  'malformed chunk end': [`${CHUNKED}2\r\n{}xx0\r\n\r\n`],

  'no host': ['GET /api/v2/version HTTP/1.1\r\n\r\n'],
  'HTTP/1.0': ['GET /api/v2/version HTTP/1.0\r\n\r\n'],
  'HTTP/1.0 in chunks': [CHUNKED.replace('1.1', '1.0'), '0\r\n\r\n'],
  'HTTP/2.0 by name': [`GET /api/v2/version HTTP/2.0\r\n${HOST}\r\n`],
  'HTTP/1.2': [`GET /api/v2/version HTTP/1.2\r\n${HOST}\r\n`],
  'no version': ['GET /api/v2/version\r\n\r\n'],
  'absolute form': line('GET', 'http://elsewhere/api/v2/version'),
  'absolute form without path': line('GET', 'http://elsewhere'),
  fragment: line('GET', '/api/v2/version#x'),
  'no slash': line('GET', 'api/v2/version'),
  backslash: line('GET', '\\api\\v2\\version'),
  caret: line('GET', '/api/v2/^'),
  'space in path': line('GET', '/api/v2/tenants/a b'),
  'control character in path': line('GET', '/api/v2/tenants/a\x01'),
  'NUL in path': line('GET', '/api/v2/ver\0sion'),
  'long target': line('GET', `/${'a'.repeat(70_000)}`),
  'unknown expectation': [`${GET}Expect: miracles\r\n\r\n`],
  upgrade: [`${GET}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`],
  'body on GET': [`${GET}Content-Length: 2\r\n\r\n{}`],
  'leading empty lines': [`\r\n\r\n${GET}\r\n`],
  'two lengths that differ': [`${POST}${JSON_TYPE}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`],
  'list of lengths': [`${POST}${JSON_TYPE}Content-Length: 2, 2\r\n\r\n{}`],
  'signed length': [`${POST}${JSON_TYPE}Content-Length: +2\r\n\r\n{}`],
  'negative length': [`${POST}${JSON_TYPE}Content-Length: -1\r\n\r\n{}`],
  'endless length': [`${POST}${JSON_TYPE}Content-Length: 99999999999999999999999\r\n\r\n{}`],
  'identity coding': [`${POST}${JSON_TYPE}Transfer-Encoding: identity\r\n\r\n{}`],
  'coding after chunked': [`${POST}${JSON_TYPE}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`],
  'coding like chunked': [`${POST}${JSON_TYPE}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  'space before colon': [`${GET}Foo : x\r\n\r\n`],
  'bad header name': [`${GET}Fo(o: x\r\n\r\n`],
  'empty header name': [`${GET}: x\r\n\r\n`],
  'no colon': [`${GET}Foo\r\n\r\n`],
  'folded header': [`${GET}Foo: a\r\n b\r\n\r\n`],
  'NUL in header': [`${GET}Foo: a\0b\r\n\r\n`],
  'bare carriage return': [`${GET}Foo: a\rb\r\n\r\n`],
  'control character in header': [`${GET}Foo: a\x01b\r\n\r\n`],
  'Latin-1 in header': [`${GET}Foo: \xe9\r\n\r\n`],
  'a hundred headers': [`${GET}${'X: 1\r\n'.repeat(99)}\r\n`],
  'a hundred and one headers': [`${GET}${'X: 1\r\n'.repeat(100)}\r\n`],
  'not HTTP': ['\x16\x03\x01\x02\x00\r\n\r\n'],
};

interface Difference {
  readonly pieces: Pieces;
  /** Status of each. */
  readonly ours: string;
  readonly chromas: string;
  readonly why: string;
}

const BAD = '400 Bad Request';
const DIFFERENT: Readonly<Record<string, Difference>> = {
  'length and chunks': {
    pieces: [`${GET}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ours: BAD,
    chromas: '200 OK',
    why: 'Two ways to tell where a body ends allow request smuggling past a proxy.',
  },
  'the same length twice': {
    pieces: [`${GET}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`],
    ours: BAD,
    chromas: '200 OK',
    why: 'As above.',
  },
  'bare line feeds': {
    pieces: ['GET /api/v2/version HTTP/1.1\nHost: x\n\n'],
    ours: BAD,
    chromas: '200 OK',
    why: 'As above: other servers see other line ends.',
  },
  'unknown method': {
    pieces: line('BREW', '/api/v2/version'),
    ours: BAD,
    chromas: '405 Method Not Allowed',
    why: 'The parser knows the registered methods only.',
  },
  'two spaces in the request line': {
    pieces: line('GET', ' /api/v2/version'),
    ours: '200 OK',
    chromas: BAD,
    why: 'The parser skips them.',
  },
  'a head of 300 KiB': {
    pieces: [`${GET}X: ${'a'.repeat(300 * 1024)}\r\n\r\n`],
    ours: '431 Request Header Fields Too Large',
    chromas: '200 OK',
    why: 'Heads are held per connection; 128 KiB is far above what any client sends.',
  },
  'too large, announced': {
    pieces: [`${POST}${JSON_TYPE}Expect: 100-continue\r\nContent-Length: ${MAX_BODY + 1}\r\n\r\n`],
    ours: '413 Payload Too Large',
    chromas: '100 Continue',
    why: 'Saying so at once saves the client 40 MiB.',
  },
  'an empty tenant': {
    pieces: [`POST /api/v2/tenants//databases HTTP/1.1\r\n${HOST}${JSON_TYPE}Content-Length: 2\r\n\r\n{}`],
    ours: '404 Not Found',
    chromas: '422 Unprocessable Entity',
    why: 'Chroma makes databases in tenants that do not exist; no tenant can have an empty name.',
  },
};

let server: RunningServer;
let chroma: { port: number; stop: () => Promise<void> };

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'polychrome-http-'));
  const release = await findChromaRelease();
  const port = await findFreePort();
  const path = join(folder, 'data');
  const logFile = join(folder, 'chroma.log');
  const child = await startChroma({ name: 'bare', release, path, port, logFile, clock: systemClock });
  const stop = async (): Promise<void> => {
    await child.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  chroma = { port, stop };
  server = await startServer({
    host: '127.0.0.1',
    port: 0,
    // A body to request where the test is about the request.
    router: chromaRouter({
      handlers: { version: () => Promise.resolve({ status: 200, body: '"1.0.0"' }) },
      capabilities: () => ({ schema: release.name !== 'Chroma 1.0.5' }),
      authorizer: allowAll,
    }),
    errors: ERROR_RESPONSES,
    clock: systemClock,
    logger: { error: () => undefined },
    maxBodyBytes: MAX_BODY,
    bodyBudgetBytes: 2 * MAX_BODY,
    responseBudget: new ResponseBudget({ clock: systemClock }),
    requests: { observe: () => undefined },
    corsAllowOrigins: [],
  });
});

afterAll(async () => {
  await server.stop(1_000);
  await chroma.stop();
});

/** What must be equal: all that a client could notice but the names of other headers and dates. */
function essence(response: RawResponse | null): object | null {
  if (response === null) return null;
  const { status, headers, body } = response;
  const header = (name: string): string | null => headers.get(name) ?? null;
  return {
    status,
    body,
    type: header('content-type'),
    length: header('content-length'),
    allow: header('allow'),
    trace: header('chroma-trace-id'),
  };
}

function methodOf([first = '']: Pieces): string {
  return first.toString().split(' ', 1)[0] ?? '';
}

describe('the response is that of a bare server', () => {
  test.each(Object.entries(SAME))('%s', async (_name, pieces) => {
    const theirs = await rawRequest(chroma.port, pieces, methodOf(pieces));
    const ours = await rawRequest(server.port, pieces, methodOf(pieces));
    expect(theirs).not.toBeNull();
    expect(essence(ours)).toEqual(essence(theirs));
  });
});

describe('the response differs as intended', () => {
  test.each(Object.entries(DIFFERENT))('%s', async (_name, { pieces, ours, chromas }) => {
    expect((await rawRequest(chroma.port, pieces))?.status).toBe(chromas);
    expect((await rawRequest(server.port, pieces))?.status).toBe(ours);
  });
});

test('the comparison notices a difference', () => {
  const response = { status: '404 Not Found', headers: new Map([['content-length', '0']]), body: '' };
  expect(essence({ ...response, body: '{}' })).not.toEqual(essence(response));
  expect(essence({ ...response, headers: new Map() })).not.toEqual(essence(response));
});

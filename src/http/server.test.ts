import { afterEach, describe, expect, test } from 'vitest';
import {
  BODY_BYTES_MAX as MAX_BODY,
  startTestServer,
  stopTestServer,
  testRouter,
  type TestRoutes,
  type TestServer,
} from '../../test/support/http-server.ts';
import { RawConnection, rawRequest, type RawResponse } from '../../test/support/raw-http.ts';
import { until } from '../../test/support/until.ts';
import { PolychromeError } from '../errors.ts';
import type { HttpResponse, ResponseWriter, WholeResponse } from './response.ts';
import { joinRouters, type ClientRequest, type Handler } from './router.ts';
import type { RunningServer, ServerOptions } from './server.ts';

const KIB = 1024;
const HOST = 'Host: x\r\n';
const GET = `GET /a HTTP/1.1\r\n${HOST}`;
const GET_OTHER = `GET /b HTTP/1.1\r\n${HOST}`;
const POST = `POST /body HTTP/1.1\r\n${HOST}`;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function serve(routes: TestRoutes, options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const subject = await startTestServer(routes, options);
  cleanups.push(() => stopTestServer(subject));
  return subject;
}

async function open(server: RunningServer): Promise<RawConnection> {
  const connection = await RawConnection.open(server.port);
  cleanups.push(() => connection.destroy());
  return connection;
}

const say =
  (text: string): Handler =>
  () =>
    Promise.resolve({ status: 200, body: text });
const length: Handler = ({ body }) => Promise.resolve({ status: 200, body: String(body.length) });

/** A handler that responds when `respond` is called. */
function held(): { handler: Handler; requests: ClientRequest[]; respond: (response: HttpResponse) => void } {
  const waiting: ((response: HttpResponse) => void)[] = [];
  const requests: ClientRequest[] = [];
  return {
    requests,
    handler: (request) => {
      requests.push(request);
      return new Promise((resolve) => waiting.push(resolve));
    },
    respond: (response) => waiting.shift()?.(response),
  };
}

describe('responses', () => {
  test('have a content length, and are JSON unless the handler says otherwise', async () => {
    const { server } = await serve({ 'GET /a': say('"1.0.0"') });
    const response = await rawRequest(server.port, [`${GET}\r\n`]);
    expect(response?.body).toBe('"1.0.0"');
    expect([...(response?.headers ?? [])].slice(0, 2)).toEqual([
      ['content-type', 'application/json'],
      ['content-length', '7'],
    ]);
    expect(response?.headers.has('connection')).toBe(false);
    const head = await rawRequest(server.port, [`HEAD /a HTTP/1.1\r\n${HOST}\r\n`], 'HEAD');
    expect(head?.headers.get('content-length')).toBe('7');
  });

  test('to an expected error have its status, the shape of Chroma and Retry-After', async () => {
    const { server } = await serve({
      'GET /a': () => Promise.reject(new PolychromeError('no_node', 'No node "there" \ud800.')),
    });
    const response = await rawRequest(server.port, [`${GET}\r\n`]);
    expect(response?.status).toBe('503 Service Unavailable');
    expect(response?.body).toBe('{"error":"ChromaError","message":"No node \\"there\\" \ufffd."}');
    expect(response?.headers.get('retry-after')).toBe('1');
    expect(response?.headers.get('chroma-trace-id')).toBe('0'.repeat(32));
  });

  test('to any other error do not show its cause, which is logged', async () => {
    const { server, logged } = await serve({
      'GET /a': () => Promise.reject(new Error('password in postgres://…')),
      'GET /b': () => {
        throw new Error('thrown before a promise');
      },
    });
    const response = await rawRequest(server.port, [`${GET}\r\n`]);
    expect(response?.status).toBe('500 Internal Server Error');
    expect(response?.body).not.toContain('password');
    const other = await rawRequest(server.port, [`${GET_OTHER}\r\n`]);
    expect(other?.status).toBe('500 Internal Server Error');
    expect(logged).toHaveLength(2);
  });

  test('are streamed at the pace of the client', async () => {
    const chunk = Buffer.alloc(256 * KIB, 'x');
    const chunks = 80; // 20 MiB: more than the sockets of both sides hold
    let written = 0;
    const stream = async (response: ResponseWriter): Promise<void> => {
      response.head(200, { 'content-type': 'text/plain', 'content-length': String(chunks * chunk.length) });
      for (; written < chunks; written++) {
        await response.write(chunk);
      }
    };
    const { server } = await serve({ 'GET /a': () => Promise.resolve(stream) });
    const connection = await open(server);
    connection.socket.pause();
    connection.send(`${GET}\r\n`);
    let before = -1;
    await until(() => {
      const still = written === before && written > 0;
      before = written;
      return Promise.resolve(still);
    }, 'writing stops');
    expect(written).toBeLessThan(chunks);
    connection.socket.resume();
    expect((await connection.response())?.body.length).toBe(chunks * chunk.length);
  });

  test('are aborted when their stream fails or is shorter than its content-length', async () => {
    const { server, logged } = await serve({
      'GET /a': () =>
        Promise.resolve(async (response: ResponseWriter) => {
          await response.write('half');
          throw new Error('the node is gone');
        }),
      'GET /b': () =>
        Promise.resolve((response: ResponseWriter) => {
          response.head(200, { 'content-length': '10' });
          return response.write('half');
        }),
    });
    expect(await rawRequest(server.port, [`${GET}\r\n`])).toBeNull();
    expect(await rawRequest(server.port, [`${GET_OTHER}\r\n`])).toBeNull();
    expect(logged).toHaveLength(2);
  });

  test('abort the signal of the handler when the client disconnects', async () => {
    const { handler, requests } = held();
    const { server } = await serve({ 'GET /a': handler });
    const connection = await open(server);
    connection.send(`${GET}\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    const signal = requests[0]?.signal;
    expect(signal?.aborted).toBe(false);
    connection.destroy();
    await until(() => Promise.resolve(signal?.aborted === true), 'the signal aborts');
  });
});

describe('routes', () => {
  test('of several routers share a listener; a path belongs to the first that has it', async () => {
    const first = testRouter({ 'GET /a': say('first') });
    const second = testRouter({ 'GET /a': say('second'), 'POST /a': say('second'), 'GET /b': say('second') });
    const { server } = await serve({}, { router: joinRouters(first, second) });
    expect((await rawRequest(server.port, [`${GET}\r\n`]))?.body).toBe('first');
    expect((await rawRequest(server.port, [`${GET_OTHER}\r\n`]))?.body).toBe('second');
    const other = await rawRequest(server.port, [`POST /a HTTP/1.1\r\n${HOST}\r\n`]);
    expect([other?.status, other?.headers.get('allow')]).toEqual(['405 Method Not Allowed', 'GET']);
    const unknown = await rawRequest(server.port, [`GET /no HTTP/1.1\r\n${HOST}\r\n`]);
    expect([unknown?.status, unknown?.body]).toEqual(['404 Not Found', '']);
  });

  test.each<[string, () => Promise<WholeResponse | null> | WholeResponse]>([
    ['at once', () => ({ status: 403, body: 'no' })],
    ['later', () => Promise.resolve({ status: 403, body: 'no' })],
    ['with an error', () => Promise.reject(new PolychromeError('reserved', 'no'))],
  ])('refuse a request %s before its body is read', async (_when, admit) => {
    const { handler, requests } = held();
    const { server } = await serve({}, { router: testRouter({ 'POST /body': handler }, admit) });
    const connection = await open(server);
    connection.send(`${POST}Expect: 100-continue\r\nContent-Length: ${MAX_BODY}\r\n\r\n`);
    const response = await connection.response();
    expect(response?.status).toBe('403 Forbidden');
    expect(requests).toEqual([]);
  });

  test('that admit a request later get its whole body', async () => {
    const router = testRouter({ 'POST /body': length }, () => Promise.resolve(null));
    const { server } = await serve({}, { router });
    const response = await rawRequest(server.port, [`${POST}Content-Length: 5\r\n\r\n12345`]);
    expect(response?.body).toBe('5');
  });
});

describe('connections', () => {
  test('serve pipelined requests one after the other, in order', async () => {
    const { handler, requests, respond } = held();
    const { server } = await serve({ 'GET /a': handler, 'POST /body': length });
    const connection = await open(server);
    connection.send(`${GET}\r\n${POST}Content-Length: 2\r\n\r\n{}GET /no HTTP/1.1\r\n${HOST}\r\n${GET}\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the first request is there');
    respond({ status: 200, body: 'first' });
    expect((await connection.response())?.body).toBe('first');
    expect((await connection.response())?.body).toBe('2');
    expect((await connection.response())?.status).toBe('404 Not Found');
    await until(() => Promise.resolve(requests.length === 2), 'the last request is there');
    expect(server.load()).toMatchObject({ connections: 1, requests: 1 });
    respond({ status: 200, body: 'last' });
    expect((await connection.response())?.body).toBe('last');
    await until(() => Promise.resolve(server.load().requests === 0), 'no request is being served');
  });

  test('refuse malformed bytes behind a request after its response', async () => {
    const { handler, requests, respond } = held();
    const { server } = await serve({ 'GET /a': handler });
    const connection = await open(server);
    connection.send(`${GET}\r\nnonsense\r\n\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    respond({ status: 200, body: 'first' });
    expect((await connection.response())?.body).toBe('first');
    expect((await connection.response())?.status).toBe('400 Bad Request');
    await connection.ended;
  });

  test('close when a client pipelines too many requests', async () => {
    const { handler } = held();
    const { server } = await serve({ 'GET /a': handler });
    const connection = await open(server);
    connection.send(`${GET}\r\n`.repeat(300));
    await connection.ended;
  });

  test('serve no request behind one with "connection: close"', async () => {
    const { server } = await serve({ 'GET /a': say('1') });
    const connection = await open(server);
    connection.send(`${GET}Connection: close\r\n\r\n${GET}\r\n`);
    expect((await connection.response())?.headers.get('connection')).toBe('close');
    expect(await connection.response()).toBeNull();
    await until(() => Promise.resolve(server.load().connections === 0), 'the connection is gone');
    expect(server.load().requests).toBe(0);
  });

  test('stay open after HTTP/1.0 only on request', async () => {
    const { server } = await serve({ 'GET /a': say('1') });
    const connection = await open(server);
    connection.send(`GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`);
    expect((await connection.response())?.headers.get('connection')).toBe('keep-alive');
    connection.send(`GET /a HTTP/1.0\r\n\r\n`);
    expect((await connection.response())?.body).toBe('1');
    await connection.ended;
  });

  test('are refused above the limit', async () => {
    const { server } = await serve({ 'GET /a': say('1') }, { limits: { connectionsMax: 1 } });
    const first = await open(server);
    await first.send(`${GET}\r\n`).response();
    const second = await open(server);
    await second.ended;
    expect(server.load().connectionsRefused).toBe(1);
    expect((await first.send(`${GET}\r\n`).response())?.body).toBe('1');
  });

  test('end with 408 when a head does not arrive in time', async () => {
    const { server } = await serve({}, { limits: { headersTimeoutMs: 50 } });
    const connection = await open(server);
    expect((await connection.send('GET / HTTP/1.1\r\nX: ').response())?.status).toBe('408 Request Timeout');
    await connection.ended;
  });
});

describe('bodies', () => {
  test('arrive complete with a content length and in chunks', async () => {
    const { server } = await serve({ 'POST /body': length });
    const connection = await open(server);
    const ask = async (...pieces: string[]): Promise<RawResponse | null> =>
      connection.send(...pieces).response();
    expect((await ask(`${POST}Content-Length: 2\r\n\r\n{}`))?.body).toBe('2');
    expect((await ask(`${POST}Content-Length: 0\r\n\r\n`))?.body).toBe('0');
    expect((await ask(`${POST}\r\n`))?.body).toBe('0');
    expect((await ask(`${POST}Content-Length: ${MAX_BODY}\r\n\r\n`, 'x'.repeat(MAX_BODY)))?.body).toBe(
      `${MAX_BODY}`,
    );
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
    expect((await ask(`${POST}Transfer-Encoding: chunked\r\n\r\n5\r\n12`, '345\r\n0\r\n\r\n'))?.body).toBe(
      '5',
    );
    expect(
      (await ask(`${POST}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(4)}0\r\nT: x\r\n\r\n`))?.body,
    ).toBe(`${MAX_BODY}`);
    await until(() => Promise.resolve(server.load().bodyBytes === 0), 'the budget is free');
  });

  test('count against the budget until the response is sent', async () => {
    const { handler, requests, respond } = held();
    const { server } = await serve({ 'POST /body': handler });
    const connection = await open(server);
    connection.send(`${POST}Content-Length: 1000\r\n\r\n`, 'x'.repeat(1000));
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    expect(server.load().bodyBytes).toBe(1000);
    respond({ status: 200 });
    await connection.response();
    await until(() => Promise.resolve(server.load().bodyBytes === 0), 'the budget is free');
  });

  test('are asked for with "100 Continue" once there is room, unless they would be refused', async () => {
    const { handler, requests, respond } = held();
    const { server } = await serve({ 'POST /body': handler }, { bodyBudgetBytes: MAX_BODY });
    const first = await open(server);
    first.send(`${POST}Content-Length: ${MAX_BODY}\r\n\r\n`, 'x'.repeat(MAX_BODY));
    await until(() => Promise.resolve(requests.length === 1), 'the budget is full');
    const second = await open(server);
    second.send(`${POST}Expect: 100-continue\r\nContent-Length: ${MAX_BODY}\r\n\r\n`);
    await until(() => Promise.resolve(server.load().bodiesWaiting === 1), 'the second waits');
    expect(second.socket.bytesRead).toBe(0);
    respond({ status: 200 });
    expect((await second.response())?.status).toBe('100 Continue');
    second.send('x'.repeat(MAX_BODY));
    await until(() => Promise.resolve(requests.length === 2), 'the second is there');
    respond({ status: 201 });
    expect((await second.response())?.status).toBe('201 Created');

    const third = await open(server);
    third.send(`${POST}Expect: 100-continue\r\nContent-Length: ${MAX_BODY + 1}\r\n\r\n`);
    expect((await third.response())?.status).toBe('413 Payload Too Large');
    await third.ended;
  });

  test('are refused with Retry-After when they wait too long for room', async () => {
    const { handler, requests } = held();
    const { server, clock } = await serve({ 'POST /body': handler }, { bodyBudgetBytes: MAX_BODY });
    const first = await open(server);
    first.send(`${POST}Content-Length: ${MAX_BODY}\r\n\r\n`, 'x'.repeat(MAX_BODY));
    await until(() => Promise.resolve(requests.length === 1), 'the budget is full');
    const second = await open(server);
    second.send(`${POST}Content-Length: ${MAX_BODY}\r\n\r\n`, 'x'.repeat(1000));
    await until(() => Promise.resolve(server.load().bodiesWaiting === 1), 'the second waits');
    clock.advance(5_000);
    const refused = await second.response();
    expect(refused?.status).toBe('503 Service Unavailable');
    expect(refused?.headers.get('retry-after')).toBe('1');
  });

  test('that are aborted release their bytes and reach no handler', async () => {
    const { handler, requests } = held();
    const { server } = await serve({ 'POST /body': handler });
    for (const framing of ['Content-Length: 100000', 'Transfer-Encoding: chunked']) {
      const connection = await open(server);
      connection.send(`${POST}${framing}\r\n\r\n5\r\nabcde\r\n`);
      await until(() => Promise.resolve(server.load().bodyBytes > 0), 'the body is being read');
      connection.destroy();
      await until(() => Promise.resolve(server.load().bodyBytes === 0), 'the budget is free');
    }
    expect(requests).toHaveLength(0);
  });

  test('end with 408 without progress, and at the deadline even with progress', async () => {
    const { server, clock } = await serve({ 'POST /body': length }, { limits: { bodyTimeoutMs: 60_000 } });
    const stuck = await open(server);
    stuck.send(`${POST}Content-Length: 1000\r\n\r\n`, 'x');
    await until(() => Promise.resolve(server.load().bodyBytes === 1000), 'the first body is being read');
    clock.advance(11_000);
    expect((await stuck.response())?.status).toBe('408 Request Timeout');
    expect(server.load().bodyBytes).toBe(0);

    const slow = await open(server);
    slow.send(`${POST}Content-Length: ${MAX_BODY}\r\n\r\n`);
    await until(() => Promise.resolve(server.load().bodyBytes === MAX_BODY), 'the second body is being read');
    for (let sent = 0; sent < 5; sent++) {
      slow.send('x'.repeat(12 * KIB));
      await roundTrip(server);
      clock.advance(11_000);
      expect(server.load().bodyBytes).toBe(MAX_BODY);
    }
    slow.send('x'.repeat(12 * KIB));
    await roundTrip(server);
    clock.advance(11_000);
    expect((await slow.response())?.status).toBe('408 Request Timeout');
  });

  test('that are too large get a 413 that the client can read while it is still sending', async () => {
    const { server } = await serve({ 'POST /body': length });
    const connection = await open(server);
    connection.send(`${POST}Content-Length: ${64 * MAX_BODY}\r\n\r\n`, Buffer.alloc(64 * MAX_BODY));
    expect((await connection.response())?.status).toBe('413 Payload Too Large');
    await connection.ended;
  });
});

// What was sent on one connection before a request on another is answered has been read.
async function roundTrip(server: RunningServer): Promise<void> {
  for (let times = 0; times < 3; times++) await rawRequest(server.port, [`GET /no HTTP/1.1\r\n${HOST}\r\n`]);
}

function fromOrigin(server: RunningServer, line: string, origin: string): Promise<RawResponse | null> {
  return rawRequest(server.port, [`${line} HTTP/1.1\r\n${HOST}Origin: ${origin}\r\n\r\n`]);
}

describe('cross-origin', () => {
  const VARY = 'origin, access-control-request-method, access-control-request-headers';

  test('headers are sent as configured, and preflights for every path', async () => {
    const { server } = await serve(
      { 'GET /a': say('1'), 'POST /body': length },
      { corsAllowOrigins: ['http://a.example'] },
    );
    const allowed = await fromOrigin(server, 'GET /a', 'http://a.example');
    expect(allowed?.headers.get('access-control-allow-origin')).toBe('http://a.example');
    expect(allowed?.headers.get('vary')).toBe(VARY);
    const other = await fromOrigin(server, 'GET /a', 'http://b.example');
    expect(other?.status).toBe('200 OK');
    expect(other?.headers.has('access-control-allow-origin')).toBe(false);
    const lost = await fromOrigin(server, 'GET /no', 'http://a.example');
    expect(lost?.headers.get('access-control-allow-origin')).toBe('http://a.example');
    const preflight = await fromOrigin(server, 'OPTIONS /body', 'http://a.example');
    expect(preflight?.status).toBe('200 OK');
    expect(preflight?.headers.get('access-control-allow-methods')).toBe('*');
    expect(preflight?.headers.get('access-control-allow-headers')).toBe('*');
    expect(preflight?.headers.get('allow')).toBe('POST');
  });

  test('requests of every origin are allowed by a star', async () => {
    const { server } = await serve({ 'GET /a': say('1') }, { corsAllowOrigins: ['*'] });
    const response = await fromOrigin(server, 'GET /a', 'null');
    expect(response?.headers.get('access-control-allow-origin')).toBe('*');
  });
});

describe('starting and stopping', () => {
  test('rejects with the port when it is taken', async () => {
    const { server } = await serve({});
    await expect(serve({}, { port: server.port })).rejects.toThrow(
      `Port ${server.port} on 127.0.0.1 is in use`,
    );
  });

  test('completes requests in progress, refuses later ones, then closes', async () => {
    const { handler, requests, respond } = held();
    const { server } = await serve({ 'GET /a': handler, 'GET /b': say('1') });
    const busy = await open(server);
    const idle = await open(server);
    await idle.send(`${GET_OTHER}\r\n`).response();
    busy.send(`${GET}\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    const stopped = server.stop(60_000);
    await expect(RawConnection.open(server.port)).rejects.toThrow('ECONNREFUSED');
    const refused = await idle.send(`${GET}\r\n`).response();
    expect(refused?.status).toBe('503 Service Unavailable');
    expect(refused?.headers.get('connection')).toBe('close');
    await idle.ended;
    respond({ status: 200, body: 'done' });
    const last = await busy.response();
    expect(last?.body).toBe('done');
    expect(last?.headers.get('connection')).toBe('close');
    await stopped;
    expect(server.load().connections).toBe(0);
  });

  test('aborts what still runs at the deadline', async () => {
    const { handler, requests } = held();
    const { server, clock } = await serve({ 'GET /a': handler });
    const connection = await open(server);
    connection.send(`${GET}\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    const signal = requests[0]?.signal;
    const stopped = server.stop(1_000);
    clock.advance(1_000);
    await stopped;
    expect(signal?.aborted).toBe(true);
    expect(await connection.response()).toBeNull();
  });
});

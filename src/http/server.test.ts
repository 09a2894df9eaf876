import { afterEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { RawConnection, rawRequest, type RawResponse } from '../../test/support/raw-http.ts';
import { until } from '../../test/support/until.ts';
import { PolychromeError } from '../errors.ts';
import type { RouteName } from '../api/v2/routes.ts';
import { ResponseBudget } from './response-budget.ts';
import type {
  HttpResponse,
  ResponseWriter,
  ClientRequest,
  RunningServer,
  Handler,
  ServerOptions,
} from './server.ts';
import { startServer } from './server.ts';

const KIB = 1024;
const MAX_BODY = 256 * KIB;
const HOST = 'Host: x\r\n';
const GET = `GET /api/v2/version HTTP/1.1\r\n${HOST}`;
const POST = `POST /api/v2/tenants/t/databases HTTP/1.1\r\n${HOST}`;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Subject {
  readonly door: RunningServer;
  readonly clock: ManualClock;
  readonly logged: object[];
}

async function serve(
  handlers: Partial<Record<RouteName, Handler>>,
  options: Partial<ServerOptions> = {},
): Promise<Subject> {
  const clock = new ManualClock();
  const logged: object[] = [];
  const door = await startServer({
    host: '127.0.0.1',
    port: 0,
    handlers,
    clock,
    logger: { error: (fields) => logged.push(fields) },
    maxBodyBytes: MAX_BODY,
    bodyBudgetBytes: 2 * MAX_BODY,
    responseBudget: new ResponseBudget({ clock }),
    corsAllowOrigins: [],
    capabilities: () => ({ schema: false }),
    ...options,
  });
  cleanups.push(async () => {
    const stopped = door.stop(0);
    clock.advance(0);
    await stopped;
  });
  return { door, clock, logged };
}

async function open(door: RunningServer): Promise<RawConnection> {
  const connection = await RawConnection.open(door.port);
  cleanups.push(() => connection.destroy());
  return connection;
}

const say =
  (text: string): Handler =>
  () =>
    Promise.resolve({ status: 200, body: text });
const length: Handler = ({ body }) => Promise.resolve({ status: 200, body: String(body.length) });

/** A handler that answers when told to. */
function held(): { handler: Handler; requests: ClientRequest[]; answer: (answer: HttpResponse) => void } {
  const waiting: ((answer: HttpResponse) => void)[] = [];
  const requests: ClientRequest[] = [];
  return {
    requests,
    handler: (request) => {
      requests.push(request);
      return new Promise((resolve) => waiting.push(resolve));
    },
    answer: (answer) => waiting.shift()?.(answer),
  };
}

describe('answers', () => {
  test('a body is JSON unless said otherwise, and has a length', async () => {
    const { door } = await serve({ version: say('"1.0.0"') });
    const answer = await rawRequest(door.port, [`${GET}\r\n`]);
    expect(answer?.body).toBe('"1.0.0"');
    expect([...(answer?.headers ?? [])].slice(0, 2)).toEqual([
      ['content-type', 'application/json'],
      ['content-length', '7'],
    ]);
    expect(answer?.headers.has('connection')).toBe(false);
    const head = await rawRequest(door.port, [`HEAD /api/v2/version HTTP/1.1\r\n${HOST}\r\n`], 'HEAD');
    expect(head?.headers.get('content-length')).toBe('7');
  });

  test('an error of ours has its status, the shape of Chroma, and when to come back', async () => {
    const { door } = await serve({
      version: () => Promise.reject(new PolychromeError('no_node', 'Nobody "there" \ud800.')),
    });
    const answer = await rawRequest(door.port, [`${GET}\r\n`]);
    expect(answer?.status).toBe('503 Service Unavailable');
    expect(answer?.body).toBe('{"error":"ChromaError","message":"Nobody \\"there\\" \ufffd."}');
    expect(answer?.headers.get('retry-after')).toBe('1');
    expect(answer?.headers.get('chroma-trace-id')).toBe('0'.repeat(32));
  });

  test('any other error says nothing of its cause, and is logged', async () => {
    const { door, logged } = await serve({
      version: () => Promise.reject(new Error('password in postgres://…')),
      healthcheck: () => {
        throw new Error('not even a promise');
      },
    });
    const answer = await rawRequest(door.port, [`${GET}\r\n`]);
    expect(answer?.status).toBe('500 Internal Server Error');
    expect(answer?.body).not.toContain('password');
    const other = await rawRequest(door.port, [`GET /api/v2/healthcheck HTTP/1.1\r\n${HOST}\r\n`]);
    expect(other?.status).toBe('500 Internal Server Error');
    expect(logged).toHaveLength(2);
  });

  test('a route without a handler is not supported', async () => {
    const { door } = await serve({});
    expect((await rawRequest(door.port, [`${GET}\r\n`]))?.status).toBe('501 Not Implemented');
  });

  test('a stream is written at the pace of the client', async () => {
    const chunk = Buffer.alloc(256 * KIB, 'x');
    const chunks = 80; // 20 MiB: more than the sockets of both sides hold
    let written = 0;
    const stream = async (response: ResponseWriter): Promise<void> => {
      response.head(200, { 'content-type': 'text/plain', 'content-length': String(chunks * chunk.length) });
      for (; written < chunks; written++) {
        await response.write(chunk);
      }
    };
    const { door } = await serve({ version: () => Promise.resolve(stream) });
    const connection = await open(door);
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

  test('a stream that fails, or falls short of its length, is torn off', async () => {
    const { door, logged } = await serve({
      version: () =>
        Promise.resolve(async (response: ResponseWriter) => {
          await response.write('half');
          throw new Error('the node is gone');
        }),
      healthcheck: () =>
        Promise.resolve((response: ResponseWriter) => {
          response.head(200, { 'content-length': '10' });
          return response.write('half');
        }),
    });
    expect(await rawRequest(door.port, [`${GET}\r\n`])).toBeNull();
    expect(await rawRequest(door.port, [`GET /api/v2/healthcheck HTTP/1.1\r\n${HOST}\r\n`])).toBeNull();
    expect(logged).toHaveLength(2);
  });

  test('the signal aborts when the client goes away', async () => {
    const { handler, requests } = held();
    const { door } = await serve({ version: handler });
    const connection = await open(door);
    connection.send(`${GET}\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    const signal = requests[0]?.signal;
    expect(signal?.aborted).toBe(false);
    connection.destroy();
    await until(() => Promise.resolve(signal?.aborted === true), 'the signal aborts');
  });
});

describe('connections', () => {
  test('pipelined requests are served one after the other, and answered in order', async () => {
    const { handler, requests, answer } = held();
    const { door } = await serve({ version: handler, create_database: length });
    const connection = await open(door);
    connection.send(`${GET}\r\n${POST}Content-Length: 2\r\n\r\n{}GET /no HTTP/1.1\r\n${HOST}\r\n${GET}\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the first request is there');
    answer({ status: 200, body: 'first' });
    expect((await connection.response())?.body).toBe('first');
    expect((await connection.response())?.body).toBe('2');
    expect((await connection.response())?.status).toBe('404 Not Found');
    await until(() => Promise.resolve(requests.length === 2), 'the last request is there');
    expect(door.load()).toMatchObject({ connections: 1, requests: 1 });
    answer({ status: 200, body: 'last' });
    expect((await connection.response())?.body).toBe('last');
    await until(() => Promise.resolve(door.load().requests === 0), 'nothing is being served');
  });

  test('nonsense behind a request in hand is refused after its answer', async () => {
    const { handler, requests, answer } = held();
    const { door } = await serve({ version: handler });
    const connection = await open(door);
    connection.send(`${GET}\r\nnonsense\r\n\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    answer({ status: 200, body: 'first' });
    expect((await connection.response())?.body).toBe('first');
    expect((await connection.response())?.status).toBe('400 Bad Request');
    await connection.ended;
  });

  test('a client that pipelines without end is cut off', async () => {
    const { handler } = held();
    const { door } = await serve({ version: handler });
    const connection = await open(door);
    connection.send(`${GET}\r\n`.repeat(300));
    await connection.ended;
  });

  test('nothing behind "connection: close" is served', async () => {
    const { door } = await serve({ version: say('1') });
    const connection = await open(door);
    connection.send(`${GET}Connection: close\r\n\r\n${GET}\r\n`);
    expect((await connection.response())?.headers.get('connection')).toBe('close');
    expect(await connection.response()).toBeNull();
    await until(() => Promise.resolve(door.load().connections === 0), 'the connection is gone');
    expect(door.load().requests).toBe(0);
  });

  test('HTTP/1.0 keeps a connection only when asked to', async () => {
    const { door } = await serve({ version: say('1') });
    const connection = await open(door);
    connection.send(`GET /api/v2/version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`);
    expect((await connection.response())?.headers.get('connection')).toBe('keep-alive');
    connection.send(`GET /api/v2/version HTTP/1.0\r\n\r\n`);
    expect((await connection.response())?.body).toBe('1');
    await connection.ended;
  });

  test('no more connections than allowed', async () => {
    const { door } = await serve({ version: say('1') }, { limits: { connectionsMax: 1 } });
    const first = await open(door);
    await first.send(`${GET}\r\n`).response();
    const second = await open(door);
    await second.ended;
    expect(door.load().connectionsRefused).toBe(1);
    expect((await first.send(`${GET}\r\n`).response())?.body).toBe('1');
  });

  test('a head that does not come to its end is given up', async () => {
    const { door } = await serve({}, { limits: { headersTimeoutMs: 50 } });
    const connection = await open(door);
    expect((await connection.send('GET / HTTP/1.1\r\nX: ').response())?.status).toBe('408 Request Timeout');
    await connection.ended;
  });
});

describe('bodies', () => {
  test('arrive whole however they are sent', async () => {
    const { door } = await serve({ create_database: length });
    const connection = await open(door);
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
    await until(() => Promise.resolve(door.load().bodyBytes === 0), 'the budget is free');
  });

  test('count against the budget until their request is answered', async () => {
    const { handler, requests, answer } = held();
    const { door } = await serve({ create_database: handler });
    const connection = await open(door);
    connection.send(`${POST}Content-Length: 1000\r\n\r\n`, 'x'.repeat(1000));
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    expect(door.load().bodyBytes).toBe(1000);
    answer({ status: 200 });
    await connection.response();
    await until(() => Promise.resolve(door.load().bodyBytes === 0), 'the budget is free');
  });

  test('"100 Continue" is said once there is room, and not to a body that would be refused', async () => {
    const { handler, requests, answer } = held();
    const { door } = await serve({ create_database: handler }, { bodyBudgetBytes: MAX_BODY });
    const first = await open(door);
    first.send(`${POST}Content-Length: ${MAX_BODY}\r\n\r\n`, 'x'.repeat(MAX_BODY));
    await until(() => Promise.resolve(requests.length === 1), 'the budget is full');
    const second = await open(door);
    second.send(`${POST}Expect: 100-continue\r\nContent-Length: ${MAX_BODY}\r\n\r\n`);
    await until(() => Promise.resolve(door.load().bodiesWaiting === 1), 'the second waits');
    expect(second.socket.bytesRead).toBe(0);
    answer({ status: 200 });
    expect((await second.response())?.status).toBe('100 Continue');
    second.send('x'.repeat(MAX_BODY));
    await until(() => Promise.resolve(requests.length === 2), 'the second is there');
    answer({ status: 201 });
    expect((await second.response())?.status).toBe('201 Created');

    const third = await open(door);
    third.send(`${POST}Expect: 100-continue\r\nContent-Length: ${MAX_BODY + 1}\r\n\r\n`);
    expect((await third.response())?.status).toBe('413 Payload Too Large');
    await third.ended;
  });

  test('that wait too long for room are refused, to be sent again', async () => {
    const { handler, requests } = held();
    const { door, clock } = await serve({ create_database: handler }, { bodyBudgetBytes: MAX_BODY });
    const first = await open(door);
    first.send(`${POST}Content-Length: ${MAX_BODY}\r\n\r\n`, 'x'.repeat(MAX_BODY));
    await until(() => Promise.resolve(requests.length === 1), 'the budget is full');
    const second = await open(door);
    second.send(`${POST}Content-Length: ${MAX_BODY}\r\n\r\n`, 'x'.repeat(1000));
    await until(() => Promise.resolve(door.load().bodiesWaiting === 1), 'the second waits');
    clock.advance(5_000);
    const refused = await second.response();
    expect(refused?.status).toBe('503 Service Unavailable');
    expect(refused?.headers.get('retry-after')).toBe('1');
  });

  test('that are aborted give their bytes back and reach no handler', async () => {
    const { handler, requests } = held();
    const { door } = await serve({ create_database: handler });
    for (const framing of ['Content-Length: 100000', 'Transfer-Encoding: chunked']) {
      const connection = await open(door);
      connection.send(`${POST}${framing}\r\n\r\n5\r\nabcde\r\n`);
      await until(() => Promise.resolve(door.load().bodyBytes > 0), 'the body is under way');
      connection.destroy();
      await until(() => Promise.resolve(door.load().bodyBytes === 0), 'the budget is free');
    }
    expect(requests).toHaveLength(0);
  });

  test('that make no progress are given up, those that do are not, up to the deadline', async () => {
    const { door, clock } = await serve({ create_database: length }, { limits: { bodyTimeoutMs: 60_000 } });
    const stuck = await open(door);
    stuck.send(`${POST}Content-Length: 1000\r\n\r\n`, 'x');
    await until(() => Promise.resolve(door.load().bodyBytes === 1000), 'the first body is under way');
    clock.advance(11_000);
    expect((await stuck.response())?.status).toBe('408 Request Timeout');
    expect(door.load().bodyBytes).toBe(0);

    const slow = await open(door);
    slow.send(`${POST}Content-Length: ${MAX_BODY}\r\n\r\n`);
    await until(() => Promise.resolve(door.load().bodyBytes === MAX_BODY), 'the second body is under way');
    for (let sent = 0; sent < 5; sent++) {
      slow.send('x'.repeat(12 * KIB));
      await roundTrip(door);
      clock.advance(11_000);
      expect(door.load().bodyBytes).toBe(MAX_BODY);
    }
    slow.send('x'.repeat(12 * KIB));
    await roundTrip(door);
    clock.advance(11_000);
    expect((await slow.response())?.status).toBe('408 Request Timeout');
  });

  test('too large are refused in a way the client can read, though it is still sending', async () => {
    const { door } = await serve({ create_database: length });
    const connection = await open(door);
    connection.send(`${POST}Content-Length: ${64 * MAX_BODY}\r\n\r\n`, Buffer.alloc(64 * MAX_BODY));
    expect((await connection.response())?.status).toBe('413 Payload Too Large');
    await connection.ended;
  });
});

// What was sent on one connection before a request on another is answered has been read.
async function roundTrip(door: RunningServer): Promise<void> {
  for (let times = 0; times < 3; times++) await rawRequest(door.port, [`GET /no HTTP/1.1\r\n${HOST}\r\n`]);
}

function fromOrigin(door: RunningServer, line: string, origin: string): Promise<RawResponse | null> {
  return rawRequest(door.port, [`${line} HTTP/1.1\r\n${HOST}Origin: ${origin}\r\n\r\n`]);
}

describe('cross-origin', () => {
  const VARY = 'origin, access-control-request-method, access-control-request-headers';

  test('answers as configured, and preflights for every path', async () => {
    const { door } = await serve({ version: say('1') }, { corsAllowOrigins: ['http://a.example'] });
    const allowed = await fromOrigin(door, 'GET /api/v2/version', 'http://a.example');
    expect(allowed?.headers.get('access-control-allow-origin')).toBe('http://a.example');
    expect(allowed?.headers.get('vary')).toBe(VARY);
    const other = await fromOrigin(door, 'GET /api/v2/version', 'http://b.example');
    expect(other?.status).toBe('200 OK');
    expect(other?.headers.has('access-control-allow-origin')).toBe(false);
    const lost = await fromOrigin(door, 'GET /no', 'http://a.example');
    expect(lost?.headers.get('access-control-allow-origin')).toBe('http://a.example');
    const preflight = await fromOrigin(door, 'OPTIONS /api/v2/tenants', 'http://a.example');
    expect(preflight?.status).toBe('200 OK');
    expect(preflight?.headers.get('access-control-allow-methods')).toBe('*');
    expect(preflight?.headers.get('access-control-allow-headers')).toBe('*');
    expect(preflight?.headers.get('allow')).toBe('POST');
  });

  test('a star allows everybody', async () => {
    const { door } = await serve({ version: say('1') }, { corsAllowOrigins: ['*'] });
    const answer = await fromOrigin(door, 'GET /api/v2/version', 'null');
    expect(answer?.headers.get('access-control-allow-origin')).toBe('*');
  });
});

describe('starting and stopping', () => {
  test('a taken port is named', async () => {
    const { door } = await serve({});
    await expect(serve({}, { port: door.port })).rejects.toThrow(`Port ${door.port} on 127.0.0.1 is in use`);
  });

  test('what is in hand is answered, what comes after is refused, then all is closed', async () => {
    const { handler, requests, answer } = held();
    const { door } = await serve({ version: handler, healthcheck: say('1') });
    const busy = await open(door);
    const idle = await open(door);
    await idle.send(`GET /api/v2/healthcheck HTTP/1.1\r\n${HOST}\r\n`).response();
    busy.send(`${GET}\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    const stopped = door.stop(60_000);
    await expect(RawConnection.open(door.port)).rejects.toThrow('ECONNREFUSED');
    const refused = await idle.send(`${GET}\r\n`).response();
    expect(refused?.status).toBe('503 Service Unavailable');
    expect(refused?.headers.get('connection')).toBe('close');
    await idle.ended;
    answer({ status: 200, body: 'done' });
    const last = await busy.response();
    expect(last?.body).toBe('done');
    expect(last?.headers.get('connection')).toBe('close');
    await stopped;
    expect(door.load().connections).toBe(0);
  });

  test('at the deadline whatever still runs is cut off', async () => {
    const { handler, requests } = held();
    const { door, clock } = await serve({ version: handler });
    const connection = await open(door);
    connection.send(`${GET}\r\n`);
    await until(() => Promise.resolve(requests.length === 1), 'the request is there');
    const signal = requests[0]?.signal;
    const stopped = door.stop(1_000);
    clock.advance(1_000);
    await stopped;
    expect(signal?.aborted).toBe(true);
    expect(await connection.response()).toBeNull();
  });
});

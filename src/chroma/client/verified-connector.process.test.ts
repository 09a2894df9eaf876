// On real sockets, because the state in which the connector leaves them matters.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../util/clock.ts';
import { MARKER_PATH, type Identity } from './identity.ts';
import { createNodeClient } from './node-client.ts';
import { createUnverifiedConnector, createVerifiedConnector } from './verified-connector.ts';
import { NodeError } from './node-error.ts';
import { systemClock } from '../../util/clock.ts';

const me: Identity = { cluster: 'c', node: 'n1', incarnation: 'i1' };
const collection = (metadata: object | null): string => JSON.stringify({ id: 'x', name: 'marker', metadata });
const sized = (body: string, status = '200 OK'): string =>
  `HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

/** Starts a server that calls `serve` for each connection once its first bytes have arrived; returns its port. */
async function serverThat(serve: (socket: Socket, request: string) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (request) => serve(socket, request.toString()));
    cleanUps.push(() => socket.destroy());
  }).listen(0, '127.0.0.1');
  cleanUps.push(() => server.close());
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

interface Attempt {
  readonly expect?: () => Identity | null;
  readonly clock?: Clock;
  readonly onVerified?: (identity: Identity) => void;
}

function connect(port: number, attempt: Attempt = {}): Promise<Socket> {
  const connector = createVerifiedConnector({
    clock: systemClock,
    basePath: '/base',
    connectTimeoutMs: 5000,
    expect: () => me,
    ...attempt,
  });
  return new Promise((resolve, reject) => {
    const target = { hostname: '127.0.0.1', protocol: 'http:', port: String(port) };
    connector(target, (error, socket) => (error === null ? resolve(socket) : reject(error)));
  });
}

async function failure(attempt: Promise<unknown>): Promise<NodeError> {
  const outcome: unknown = await attempt.catch((error: unknown) => error);
  if (outcome instanceof NodeError) return outcome;
  throw new Error('expected a NodeError', { cause: outcome });
}

describe('a verified connection', () => {
  it('was checked on the same socket, which has no listeners left', async () => {
    const requests: string[] = [];
    const server = await serverThat((socket, request) => {
      requests.push(request);
      socket.write(sized(collection({ ...me, checkpoint: 7 })));
      socket.on('data', (more) => socket.write(`echo ${more.toString()}`));
    });
    const socket = await connect(server);
    cleanUps.push(() => socket.destroy());

    expect(requests[0]).toMatch(
      /^GET \/base\/api\/v2\/tenants\/polychrome\/databases\/polychrome\/collections\/marker HTTP\/1\.1\r\n/,
    );
    expect(requests[0]).toMatch(/\r\nhost: 127\.0\.0\.1:\d+\r\n/);
    expect(socket.listenerCount('readable') + socket.listenerCount('data')).toBe(0);
    expect(socket.listenerCount('close')).toBe(0);
    socket.write('hello');
    await once(socket, 'readable');
    expect(String(socket.read())).toBe('echo hello');
  });

  it('accepts a chunked response that arrives byte by byte', async () => {
    const text = collection(me);
    const chunked = `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n${text.slice(0, 5)}\r\n${(text.length - 5).toString(16)}\r\n${text.slice(5)}\r\n0\r\n\r\n`;
    const server = await serverThat((socket) => {
      socket.setNoDelay(true);
      const send = (at: number): void => {
        if (at < chunked.length) socket.write(chunked.charAt(at), () => setImmediate(send, at + 1));
      };
      send(0);
    });
    const socket = await connect(server);
    cleanUps.push(() => socket.destroy());
    expect(socket.destroyed).toBe(false);
  });

  it.each([
    ['another node', { ...me, node: 'n2' }],
    ['another cluster', { ...me, cluster: 'd' }],
    ['an earlier incarnation', { ...me, incarnation: 'i0' }],
  ])('is rejected for %s, and its socket destroyed', async (_who, found) => {
    const verified: Identity[] = [];
    let closed: Promise<unknown> = Promise.resolve();
    const server = await serverThat((socket) => {
      closed = once(socket, 'close');
      socket.write(sized(collection(found)));
    });
    const error = await failure(connect(server, { onVerified: (identity) => verified.push(identity) }));
    expect(error).toMatchObject({ code: 'wrong_identity', sent: false });
    expect(verified).toEqual([]);
    await closed;
  });

  it('is rejected while no node is expected', async () => {
    const server = await serverThat((socket) => socket.write(sized(collection(me))));
    const error = await failure(connect(server, { expect: () => null }));
    expect(error).toMatchObject({ code: 'wrong_identity', message: 'expected no node, found c/n1/i1' });
  });

  it.each([
    ['no marker', sized('{"error":"NotFoundError","message":""}', '404 Not Found'), 'marker_missing'],
    ['a marker without metadata', sized(collection(null)), 'marker_missing'],
    ['a marker that names no incarnation', sized(collection({ cluster: 'c', node: 'n1' })), 'marker_missing'],
    ['an error', sized('{}', '500 Internal Server Error'), 'unanswered'],
    ['another JSON value', sized('[]'), 'unanswered'],
    ['something other than JSON', sized('<html>'), 'unanswered'],
    ['more than the response', sized(collection(me)) + 'HTTP/1.1 200 OK\r\n', 'unanswered'],
    ['a response of unknown length', `HTTP/1.1 200 OK\r\n\r\n${collection(me)}`, 'unanswered'],
    [
      'a closing connection',
      `HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
      'unanswered',
    ],
    ['a repeated length', `HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 0\r\n\r\n`, 'unanswered'],
    ['an older protocol', `HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n`, 'unanswered'],
  ])('is not made with a server that sends %s', async (_what, response, code) => {
    const server = await serverThat((socket) => socket.write(response));
    expect(await failure(connect(server))).toMatchObject({ code, sent: false });
  });

  it('is not made when the server closes it during the check', async () => {
    const server = await serverThat((socket) => socket.end('HTTP/1.1 200 OK\r\n'));
    expect(await failure(connect(server))).toMatchObject({ code: 'unanswered', sent: false });
  });

  it('is abandoned when the check takes too long', async () => {
    const timers: (() => void)[] = [];
    const after: Clock['after'] = (_delayMs, task) => (timers.push(task), () => {});
    const clock: Clock = { now: () => 0, monotonic: () => 0, after };
    const server = await serverThat(() => timers[0]?.());
    expect(await failure(connect(server, { clock }))).toMatchObject({ code: 'timeout', sent: false });
  });

  it('is refused where no process listens', async () => {
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const address = gone.address();
    gone.close();
    await once(gone, 'close');
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    expect(await failure(connect(port))).toMatchObject({ code: 'refused', sent: false });
  });
});

describe('an unverified connection', () => {
  it('sends no request of its own', async () => {
    const port = await serverThat((socket, request) => socket.write(request));
    const connector = createUnverifiedConnector({ basePath: '', connectTimeoutMs: 5000, clock: systemClock });
    const socket = await new Promise<Socket>((resolve, reject) => {
      const target = { hostname: '127.0.0.1', protocol: 'http:', port: String(port) };
      connector(target, (error, made) => (error === null ? resolve(made) : reject(error)));
    });
    cleanUps.push(() => socket.destroy());
    socket.write('first');
    await once(socket, 'readable');
    expect(String(socket.read())).toBe('first');
  });
});

describe('an https node behind a base path', () => {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];

  /** A key and its certificate, both PEM; null without openssl. */
  function selfSigned(): { key: string; cert: string } | null {
    try {
      const args = ['req', '-x509', ...curve, ...subject, '-keyout', '-', '-out', '-'];
      const pem = execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      return {
        key: pem.slice(0, pem.indexOf('-----BEGIN CERT')),
        cert: pem.slice(pem.indexOf('-----BEGIN CERT')),
      };
    } catch {
      return null;
    }
  }
  const pair = selfSigned();

  it.skipIf(pair === null)(
    'is checked and used like any other, and rejected without its certificate authority',
    async () => {
      const urls: (string | undefined)[] = [];
      const server = createHttpsServer(pair ?? {}, (request, response) => {
        urls.push(request.url);
        response.end(request.url?.endsWith(MARKER_PATH) ? JSON.stringify({ id: 'x', metadata: me }) : 'ok');
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      const url = `https://localhost:${typeof address === 'object' ? address?.port : 0}/chroma`;
      const trusting = createNodeClient({ url, clock: systemClock, ca: pair?.cert ?? '', expect: () => me });
      const wary = createNodeClient({ url, clock: systemClock, expect: () => me });
      cleanUps.push(() => void Promise.all([trusting.destroy(), wary.destroy()]).then(() => server.close()));
      const request = { method: 'GET', path: '/x', deadlineMs: 5000 } as const;
      expect((await trusting.read(request)).body.toString()).toBe('ok');
      expect(urls).toEqual([`/chroma${MARKER_PATH}`, '/chroma/x']);
      expect(await failure(wary.read(request))).toMatchObject({ code: 'unanswered', sent: false });
      expect(urls.length).toBe(2);
    },
  );
});

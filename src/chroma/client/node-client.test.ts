// On real sockets, because the guarantees are about what reaches the other end.

import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  me,
  SMALL,
  LARGE,
  cleanUps,
  closeAfterEach,
  listening,
  nodeServer,
  clientTo,
  failure,
  get,
  post,
  bodyOf,
  settled,
  gate,
} from '../../../test/support/node-server.ts';
import { createUnverifiedNodeClient } from './node-client.ts';
import { MARKER_PATH, type Refuses } from './identity.ts';
import { systemClock } from '../../util/clock.ts';
import type { Clock } from '../../util/clock.ts';

closeAfterEach();

describe('reads', () => {
  it('are sent to the base path with their headers and exact length, and return the whole response', async () => {
    const seen: IncomingMessage[] = [];
    const server = nodeServer((request, response) => {
      seen.push(request);
      void bodyOf(request).then((body) => response.writeHead(200, { 'x-response': 'yes' }).end(body));
    });
    const port = await listening(server);
    const client = clientTo(port, { url: `http://127.0.0.1:${port}/base/` });
    const body = [Buffer.from('{"a":'), Buffer.from('1.0}')];
    const response = await client.read({
      method: 'POST',
      path: '/q',
      body,
      headers: { 'x-a': 'b' },
      deadlineMs: 5000,
    });

    expect(response).toMatchObject({
      status: 200,
      headers: { 'x-response': 'yes' },
      body: Buffer.from('{"a":1.0}'),
    });
    expect(seen[0]?.url).toBe('/base/q');
    expect(seen[0]?.headers).toMatchObject({
      'content-length': '9',
      'content-type': 'application/json',
      'x-a': 'b',
    });
    expect(seen[0]?.headers).not.toHaveProperty('transfer-encoding');
  });

  it('share a few connections, each of which is checked once', async () => {
    const server = nodeServer((request, response) => response.end(request.url));
    let connections = 0;
    let checks = 0;
    server.on('connection', () => (connections += 1));
    server.on('request', (request: IncomingMessage) => (checks += request.url === MARKER_PATH ? 1 : 0));
    const client = clientTo(await listening(server), { readConnections: 4 });
    const responses = await Promise.all(Array.from({ length: 100 }, (_, index) => get(client, `/${index}`)));

    expect(responses.map((response) => response.body.toString())).toEqual(
      responses.map((_, index) => `/${index}`),
    );
    expect(connections).toBe(4);
    expect(checks).toBe(4);
  });

  it('that are cancelled do not affect others', async () => {
    const arrived = gate();
    const server = nodeServer((request, response) => {
      if (request.url === '/stuck') return arrived.open();
      response.end('ok');
    });
    const client = clientTo(await listening(server), { readConnections: 1 });
    const abort = new AbortController();
    const stuck = get(client, '/stuck', abort.signal);
    const queued = new AbortController();
    const waiting = get(client, '/never-sent', queued.signal);
    const after = get(client);
    await arrived.opened;
    queued.abort();
    expect(await failure(waiting)).toMatchObject({ code: 'aborted', sent: false });
    abort.abort();
    expect(await failure(stuck)).toMatchObject({ code: 'aborted', sent: true });
    expect((await after).body.toString()).toBe('ok');
    expect(await failure(get(client, '/x', AbortSignal.abort()))).toMatchObject({
      code: 'aborted',
      sent: false,
    });
  });

  it('end at their deadline, in flight and in the queue', async () => {
    const timers = new Map<number, () => void>();
    const after: Clock['after'] = (delayMs, task) => (
      timers.set(delayMs, task),
      () => timers.delete(delayMs)
    );
    const clock: Clock = { now: () => 0, monotonic: () => 0, after };
    const arrived = gate();
    const client = clientTo(await listening(nodeServer(() => arrived.open())), { readConnections: 1, clock });
    const onWire = client.read({ method: 'GET', path: '/x', deadlineMs: 1 });
    const inQueue = client.read({ method: 'GET', path: '/x', deadlineMs: 2 });
    await arrived.opened;
    timers.get(2)?.();
    expect(await failure(inQueue)).toMatchObject({ code: 'timeout', sent: false });
    timers.get(1)?.();
    expect(await failure(onWire)).toMatchObject({ code: 'timeout', sent: true });
    expect(timers.size).toBe(0);
  });

  it('are rejected when the queue is full', async () => {
    const client = clientTo(await listening(nodeServer(() => {})), { readConnections: 1, waitingMax: 1 });
    const others = [failure(get(client)), failure(get(client))];
    expect(await failure(get(client))).toMatchObject({ code: 'busy', sent: false });
    await client.destroy();
    expect((await Promise.all(others)).map((error) => error.code)).toEqual(['unanswered', 'aborted']);
  });

  it('reject a response beyond the size limit', async () => {
    const server = nodeServer((_request, response) => response.end(LARGE));
    const client = clientTo(await listening(server), { responseBytesMax: 1000 });
    expect(await failure(get(client))).toMatchObject({ code: 'too_large' });
  });
});

describe('a connection that was reset before anything was sent', () => {
  it('is replaced transparently', async () => {
    let peer: Socket | null = null;
    const server = nodeServer((request, response) => {
      peer = request.socket;
      response.end('ok');
    });
    const client = clientTo(await listening(server), { readConnections: 1 });
    for (let time = 0; time < 20; time += 1) {
      await get(client);
      await settled();
      (peer as Socket | null)?.resetAndDestroy();
      expect((await get(client)).status).toBe(200);
    }
  });
});

describe('mutations', () => {
  it('check the lease before the first byte of a small request', async () => {
    let requests = 0;
    const client = clientTo(await listening(nodeServer(() => (requests += 1))));
    const lost = new Error('the lease is gone');
    const error = await failure(
      post(client, SMALL, () => {
        throw lost;
      }),
    );
    expect(error).toMatchObject({ code: 'aborted', sent: false, cause: lost });
    expect(requests).toBe(0);
  });

  it('check the lease before the last piece of a large request, after all others were sent', async () => {
    let received = 0;
    const arrived = gate();
    let complete = false;
    const server = nodeServer((request) => {
      request.on('data', (chunk: Buffer) => (received += chunk.length));
      request.on('end', () => (complete = true)).on('close', arrived.open);
    });
    const client = clientTo(await listening(server));
    const lost = new Error('the lease is gone');
    const call = post(client, LARGE, () => {
      throw lost;
    });
    expect(await failure(call)).toMatchObject({ code: 'aborted', sent: true, cause: lost });
    await arrived.opened;
    expect(complete).toBe(false);
    expect(received).toBeLessThan(LARGE.length);
  });

  it('arrive complete, from one buffer or from many, with their length', async () => {
    const parts = Array.from({ length: 1000 }, (_, index) => Buffer.alloc(index + 400, String(index % 10)));
    const bodies: Buffer[] = [];
    const lengths: (string | undefined)[] = [];
    const server = nodeServer((request, response) => {
      lengths.push(request.headers['content-length']);
      void bodyOf(request).then((body) => bodies.push(body) && response.writeHead(201).end('{}'));
    });
    const client = clientTo(await listening(server));
    let checks = 0;
    const check = (): void => void (checks += 1);
    expect((await post(client, LARGE, check)).status).toBe(201);
    await client.mutate({ method: 'POST', path: '/w', body: parts, beforeLast: check });
    expect(bodies[0]?.equals(LARGE)).toBe(true);
    expect(bodies[1]?.equals(Buffer.concat(parts))).toBe(true);
    expect(lengths).toEqual([LARGE, Buffer.concat(parts)].map((body) => String(body.length)));
    expect(checks).toBe(2);
  });

  it('are sent once and reported as sent when the connection ends without a response', async () => {
    let requests = 0;
    const server = nodeServer((request) => {
      requests += 1;
      void bodyOf(request).then(() => request.socket.destroy());
    });
    const client = clientTo(await listening(server));
    expect(await failure(post(client, SMALL))).toMatchObject({ code: 'unanswered', sent: true });
    expect(await failure(post(client, LARGE))).toMatchObject({ code: 'unanswered', sent: true });
    expect(requests).toBe(2);
  });

  it('end at once when they are cut: their connections are destroyed, and those of reads go on', async () => {
    const arrived = gate();
    const ended = gate();
    const server = nodeServer((request, response) => {
      if (request.method !== 'POST') return response.end('ok');
      request.socket.on('close', ended.open);
      arrived.open();
    });
    const client = clientTo(await listening(server), { readConnections: 1 });
    const call = failure(post(client, SMALL));
    await arrived.opened;
    client.cutMutations();
    expect(await call).toMatchObject({ code: 'unanswered', sent: true });
    await ended.opened;
    expect((await get(client)).body.toString()).toBe('ok');
  });

  it('are unanswered when the response is incomplete', async () => {
    const server = nodeServer((_request, response) => {
      response.writeHead(201, { 'content-length': 10 });
      response.write('{', () => response.socket?.destroy());
    });
    const client = clientTo(await listening(server));
    expect(await failure(post(client, SMALL))).toMatchObject({ code: 'unanswered', sent: true });
  });

  it('wait while their connection lives, without blocking reads', async () => {
    const arrived = gate();
    const server = nodeServer((request, response) => {
      if (request.method === 'POST') return arrived.open();
      response.end('ok');
    });
    // No timer is set for the mutation: running all timers does not end it.
    const timers = new Set<() => void>();
    const after: Clock['after'] = (_delayMs, task) => (timers.add(task), () => timers.delete(task));
    const client = clientTo(await listening(server), { clock: { now: () => 0, monotonic: () => 0, after } });
    let ended = false;
    const hanging = failure(post(client, SMALL).finally(() => (ended = true)));
    await arrived.opened;
    for (const timer of timers) timer();
    expect((await get(client)).body.toString()).toBe('ok');
    expect(ended).toBe(false);
    await client.destroy();
    expect((await hanging).code).toBe('unanswered');
  });

  it('finish while the client closes; queued and later ones are rejected', async () => {
    const arrived = gate();
    const respond = gate();
    const server = nodeServer((_request, response) => {
      arrived.open();
      void respond.opened.then(() => response.writeHead(201).end('{}'));
    });
    const client = clientTo(await listening(server), { mutateConnections: 1 });
    const running = post(client, SMALL);
    const waiting = failure(post(client, SMALL));
    await arrived.opened;
    const closed = client.close();
    expect(await waiting).toMatchObject({ code: 'aborted', sent: false });
    expect((await failure(post(client, SMALL))).code).toBe('aborted');
    respond.open();
    expect((await running).status).toBe(201);
    await closed;
  });
});

describe('the identity of the node', () => {
  it('is checked for each connection: a swapped node receives nothing', async () => {
    let requests = 0;
    const first = nodeServer((request, response) => {
      requests += 1;
      response.end(request.url);
    });
    const port = await listening(first);
    const client = clientTo(port);
    await get(client);
    const gone = once(first, 'close');
    first.close();
    first.closeAllConnections();
    await gone;
    await settled();
    const impostor = nodeServer(
      () => (requests += 1),
      () => ({ ...me, incarnation: 'i2' }),
    );
    await listening(impostor, port);

    expect((await failure(get(client))).code).toBe('wrong_identity');
    expect(await failure(post(client, SMALL))).toMatchObject({ code: 'wrong_identity', sent: false });
    expect(requests).toBe(1);
  });

  it('is checked again when another identity is expected: old connections are not used', async () => {
    let expected = me;
    const server = nodeServer((_request, response) => response.end('ok'));
    const client = clientTo(await listening(server), {}, () => expected);
    await get(client);
    expected = { ...me, incarnation: 'i2' };
    expect((await failure(get(client))).code).toBe('wrong_identity');
  });

  it('is not reached while the process is gone, and reached again afterwards', async () => {
    const server = nodeServer((_request, response) => response.end('ok'));
    const port = await listening(server);
    const client = clientTo(port);
    await get(client);
    const gone = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await gone;
    expect(await failure(post(client, SMALL))).toMatchObject({ code: 'refused', sent: false });
    await listening(
      nodeServer((_request, response) => response.end('ok')),
      port,
    );
    expect((await get(client)).status).toBe(200);
  });

  it('is not checked by an unverified client', async () => {
    const urls: (string | undefined)[] = [];
    const server = createHttpServer((request, response) => {
      urls.push(request.url);
      response.end('ok');
    });
    const port = await listening(server);
    const client = createUnverifiedNodeClient({ url: `http://127.0.0.1:${port}`, clock: systemClock });
    cleanUps.push(() => void client.destroy());
    await get(client);
    expect(urls).toEqual(['/x']);
  });

  it.each([
    ['that holds the marker of another node', { cluster: 'c', node: 'n2', incarnation: 'i2' }],
    ['whose marker is gone', null],
  ])('keeps an unverified client from changing a server %s', async (_what, metadata) => {
    const urls: string[] = [];
    const server = createHttpServer((request, response) => {
      urls.push(`${request.method ?? ''} ${request.url ?? ''}`);
      if (request.url !== MARKER_PATH) return void response.end('ok');
      response.statusCode = metadata === null ? 404 : 200;
      response.end(JSON.stringify({ id: 'm', name: 'marker', metadata }));
    });
    const port = await listening(server);
    const url = `http://127.0.0.1:${port}`;
    const refuses: Refuses = (found) => (found?.node === 'n1' ? null : `it is ${found?.node ?? 'blank'} now`);
    const client = createUnverifiedNodeClient({ url, clock: systemClock, refuses });
    cleanUps.push(() => void client.destroy());
    await get(client);
    const refused = await failure(client.mutate({ method: 'DELETE', path: '/x', body: Buffer.alloc(0) }));
    expect(refused).toMatchObject({ code: 'wrong_identity', sent: false });
    expect(urls).toEqual(['GET /x', `GET ${MARKER_PATH}`]);
  });

  it('is not accepted from a server that does not speak HTTP', async () => {
    const port = await listening(createServer((socket) => socket.end('SSH-2.0-x\r\n\r\n')));
    expect(await failure(get(clientTo(port)))).toMatchObject({ code: 'unanswered', sent: false });
  });
});

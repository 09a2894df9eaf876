// The canary against real servers: one that works, and one that is really poisoned (it calls itself healthy).

import { createServer } from 'node:http';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { findFreePort } from '../local/port.ts';
import { startBareServer, type BareServer } from '../../test/support/chroma-server.ts';
import { systemClock, type Clock } from '../util/clock.ts';
import { createCanary } from './canary.ts';
import { RESERVED } from '../chroma/client/identity.ts';
import { createUnverifiedNodeClient, type NodeClient } from '../chroma/client/node-client.ts';
import {
  createCollectionRequest,
  deleteCollectionRequest,
  recordsRequest,
} from '../chroma/protocol/node-requests.ts';
import { collectionIdIn } from '../chroma/protocol/response-effect.ts';

const options = { recordId: 'gateway-1', deadlineMs: 10_000, random: Math.random, clock: systemClock };
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

/** A client of a server that answers each request as `answer` says; undefined: never. */
async function clientOf(
  answer: (url: string) => { status: number; body: unknown } | undefined,
): Promise<NodeClient> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const given = answer(request.url ?? '');
      if (given !== undefined) response.writeHead(given.status).end(JSON.stringify(given.body));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const client = createUnverifiedNodeClient({ url: `http://127.0.0.1:${port}`, clock: systemClock });
  cleanUps.push(() => void client.destroy().then(() => server.close()));
  return client;
}

/** Answers everything as a working server would, but for what `differently` says. */
function likeChroma(
  url: string,
  differently: Record<string, { status: number; body: unknown }>,
): { status: number; body: unknown } {
  const last = url.split('/').at(-1) ?? '';
  const usual: Record<string, unknown> = {
    collections: { id: 'c1' },
    get: { ids: ['gateway-1'], documents: ['0.5 0.5'] },
    query: { ids: [['gateway-1']] },
  };
  return differently[last] ?? { status: 200, body: usual[last] ?? {} };
}

let server: BareServer;

const halves = { ...options, dimension: 2, random: (): number => 0.5 };

describe('on a real server', () => {
  let client: NodeClient;

  beforeAll(async () => {
    server = await startBareServer();
    client = createUnverifiedNodeClient({ url: server.url, clock: systemClock });
  });

  afterAll(async () => {
    await client.destroy();
    await server.stop();
  });

  it('the canary lives, also with others beside it, and with a collection dropped under it', async () => {
    const canary = createCanary(client, options);
    const other = createCanary(client, { ...options, recordId: 'gateway-2' });
    for (let time = 0; time < 5; time += 1) {
      const results = await Promise.all([canary.run(), other.run()]);
      expect(results).toEqual([
        { ok: true, ms: expect.any(Number) },
        { ok: true, ms: expect.any(Number) },
      ]);
    }
    await client.mutate(deleteCollectionRequest(RESERVED, 'canary'));
    expect(await canary.run()).toMatchObject({ ok: true });
  });

  // The last test of this server: it does not recover.
  it('the canary dies when one request has killed the writing of all collections, while health stays 200', async () => {
    const canary = createCanary(client, options);
    expect(await canary.run()).toMatchObject({ ok: true });
    const name = { tenant: 'default_tenant', database: 'default_database' };
    const created = await client.mutate(createCollectionRequest(name, json({ name: 'poisoned' })));
    const physical = collectionIdIn(created) ?? '';
    const poison = json({ ids: ['p'], embeddings: [[1, 2]], metadatas: [{ 'chroma:document': 5 }] });
    await client.mutate(recordsRequest({ ...name, physical }, 'add', poison));

    const health = await client.read({ method: 'GET', path: '/api/v2/healthcheck', deadlineMs: 5000 });
    expect(health.status).toBe(200);
    expect(await canary.run()).toMatchObject({ ok: false, failure: 'refused', status: 500 });
  });
});

describe('detects a server that only seems to work: one that', () => {
  it('as the others are found to work', async () => {
    const client = await clientOf((url) => likeChroma(url, {}));
    expect(await createCanary(client, halves).run()).toMatchObject({ ok: true });
  });

  it.each([
    [
      'answers writes without making them',
      { get: { status: 200, body: { ids: [], documents: [] } } },
      'not_found',
    ],
    ['gives back an older value', { get: { status: 200, body: { documents: ['0.1 0.1'] } } }, 'not_found'],
    ['has lost the record from its index', { query: { status: 200, body: { ids: [[]] } } }, 'not_queryable'],
    ['cannot query', { query: { status: 500, body: {} } }, 'refused'],
    ['responds with nonsense', { get: { status: 200, body: 5 } }, 'refused'],
    ['cannot create collections', { collections: { status: 500, body: {} } }, 'refused'],
  ])('when it %s', async (_what, differently, failure) => {
    const client = await clientOf((url) => likeChroma(url, differently));
    expect(await createCanary(client, halves).run()).toMatchObject({ ok: false, failure });
  });

  it('when nothing listens', async () => {
    const client = createUnverifiedNodeClient({
      url: `http://127.0.0.1:${await findFreePort()}`,
      clock: systemClock,
    });
    const result = await createCanary(client, halves).run();
    expect(result).toMatchObject({ ok: false, failure: 'unreachable', code: 'refused' });
    await client.destroy();
  });
});

describe('a write that hangs', () => {
  it('stays in flight, and no second one begins before it ends', async () => {
    const timers = new Set<() => void>();
    const after: Clock['after'] = (_delayMs, task) => (timers.add(task), () => timers.delete(task));
    const clock: Clock = { now: () => 0, monotonic: () => 0, after };
    const arrived = Promise.withResolvers<void>();
    const writes: (() => void)[] = [];
    const working = await clientOf((url) => likeChroma(url, {}));
    const client: NodeClient = {
      url: working.url,
      read: (request) => working.read(request),
      stream: (request, sink) => working.stream(request, sink),
      async mutate(request) {
        if (request.path.endsWith('/upsert') && writes.length === 0) {
          await new Promise<void>((resolve) => {
            writes.push(resolve);
            arrived.resolve();
          });
        }
        return working.mutate(request);
      },
      close: () => working.close(),
      cutMutations: () => working.cutMutations(),
      destroy: () => working.destroy(),
    };
    const canary = createCanary(client, { ...halves, clock });
    const first = canary.run();
    expect(canary.run()).toBe(first);
    await arrived.promise;
    for (const expire of timers) expire();
    expect(await first).toMatchObject({ ok: false, failure: 'hanging' });
    expect(await canary.run()).toMatchObject({ ok: false, failure: 'hanging' });
    expect(writes.length).toBe(1);

    writes[0]?.();
    await vi.waitFor(async () => expect(await canary.run()).toMatchObject({ ok: true }), { timeout: 60_000 });
    expect(timers.size).toBe(0);
  });
});

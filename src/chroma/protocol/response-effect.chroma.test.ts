// Against a real server, whose content is read before and after: which responses mean that nothing was changed.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBareServer, type BareServer } from '../../../test/support/chroma-server.ts';
import { systemClock } from '../../util/clock.ts';
import { createUnverifiedNodeClient, type NodeClient } from '../client/node-client.ts';
import type { NodeResponse } from '../client/node-request.ts';
import type { RecordKind } from '../parse/record-call.ts';
import {
  collectionRequest,
  countRecordsRequest,
  createCollectionRequest,
  createDatabaseRequest,
  createTenantRequest,
  deleteCollectionRequest,
  deleteDatabaseRequest,
  getRecordsRequest,
  modifyCollectionRequest,
  recordsRequest,
  type NodeMutation,
  type NodeOperation,
  type NodeRead,
  type ShardLocation,
} from './node-requests.ts';
import { collectionIdIn, hasNoEffect, isMissing } from './response-effect.ts';

// 1.3.4 accepts the form of collection names only; 1.0.5 accepts any name.
const name = { tenant: 'tenant one/größe', database: 'a.b' };
const NOWHERE = '00000000-0000-4000-8000-000000000000';
const DEADLINE_MS = 5000;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

let server: BareServer;
let client: NodeClient;

beforeAll(async () => {
  server = await startBareServer();
  client = createUnverifiedNodeClient({ url: server.url, clock: systemClock });
  expect((await client.mutate(createTenantRequest(name.tenant))).status).toBe(200);
  expect((await client.mutate(createDatabaseRequest(name))).status).toBe(200);
});

afterAll(async () => {
  await client.destroy();
  await server.stop();
});

async function newShard(collection: string): Promise<ShardLocation> {
  const body = json({ name: collection, get_or_create: true });
  const physical = collectionIdIn(await client.mutate(createCollectionRequest(name, body)));
  if (physical === null) throw new Error('no collection');
  return { ...name, physical };
}

const read = (request: NodeRead): Promise<NodeResponse> =>
  client.read({ ...request, deadlineMs: DEADLINE_MS });

/** Number of records as the node reports it, or the error's body. */
const count = async (shard: ShardLocation): Promise<string> =>
  (await read(countRecordsRequest(shard))).body.toString();

const write = (shard: ShardLocation, kind: RecordKind, body: Buffer): Promise<NodeResponse> =>
  client.mutate(recordsRequest(shard, kind, body));

function loseLease(): never {
  throw new Error('the lease is gone');
}

describe('requests to a node', () => {
  it('create, read, modify and delete a collection with names that need encoding', async () => {
    const shard = await newShard('calls');
    expect(await newShard('calls')).toEqual(shard);
    const renamed = await client.mutate(modifyCollectionRequest(shard, json({ new_name: 'renamed' })));
    expect(renamed.status).toBe(200);
    expect(collectionIdIn(await read(collectionRequest(name, 'renamed')))).toBe(shard.physical);
    const old = await read(collectionRequest(name, 'calls'));
    expect(isMissing(old)).toBe(true);
    expect(collectionIdIn(old)).toBeNull();
    expect((await client.mutate(deleteCollectionRequest(name, 'renamed'))).status).toBe(200);
    expect(isMissing(await read(countRecordsRequest(shard)))).toBe(true);
  });

  it('write and read records, byte for byte', async () => {
    const shard = await newShard('records');
    const body = Buffer.from('{"ids":["a","b"],"embeddings":[[1,2],[3,4]],"metadatas":[{"n":1.0},{"n":1}]}');
    expect((await write(shard, 'add', body)).status).toBe(201);
    expect(await count(shard)).toBe('2');
    const page = await read(getRecordsRequest(shard, { limit: 1, offset: 1, include: ['metadatas'] }));
    expect(page.body.toString()).toContain('"ids":["b"]');
    const one = await read(getRecordsRequest(shard, { ids: ['a'], include: ['metadatas'] }));
    expect(one.body.toString()).toContain('{"n":1.0}');
  });

  it('delete a database with its collections', async () => {
    const doomed = { tenant: name.tenant, database: 'doomed' };
    await client.mutate(createDatabaseRequest(doomed));
    await client.mutate(createCollectionRequest(doomed, json({ name: 'inside' })));
    expect((await client.mutate(deleteDatabaseRequest(doomed))).status).toBe(200);
    const again = await client.mutate(deleteDatabaseRequest(doomed));
    expect(again.status).toBe(404);
    expect(hasNoEffect('delete_database', again)).toBe(true);
  });
});

describe('responses without effect', () => {
  const record = (extra: object): Buffer => json({ ids: ['new'], embeddings: [[1, 2]], ...extra });
  const calls: [string, RecordKind, Buffer][] = [
    ['malformed JSON', 'add', Buffer.from('{"ids":')],
    ['another shape', 'add', json({ ids: 'new' })],
    ['nested metadata', 'upsert', record({ metadatas: [{ a: { b: 1 } }] })],
    ['another dimension', 'upsert', record({ embeddings: [[1, 2, 3]] })],
    ['mixed dimensions', 'add', json({ ids: ['new', 'old'], embeddings: [[1, 2], [1]] })],
    ['an empty embedding', 'add', record({ embeddings: [[]] })],
    ['a deletion without ids', 'delete', json({ ids: [] })],
    ['an empty condition', 'delete', json({ where: {} })],
  ];

  it.each(calls)('to a write of records: %s', async (what, kind, body) => {
    const shard = await newShard(`free-${what.replaceAll(' ', '-')}`);
    await write(shard, 'add', json({ ids: ['old'], embeddings: [[0, 0]] }));
    const response = await write(shard, kind, body);
    expect([response.status, hasNoEffect(kind, response)]).toEqual([expect.any(Number), true]);
    expect(await count(shard)).toBe('1');
    // It is not queued, and it does not block the next write.
    expect((await write(shard, 'upsert', record({}))).status).toBe(200);
    expect(await count(shard)).toBe('2');
  });

  it('to a write of records: a missing collection, or an invalid collection id', async () => {
    for (const physical of [NOWHERE, 'none']) {
      const response = await write({ ...name, physical }, 'add', record({}));
      expect(hasNoEffect('add', response)).toBe(true);
    }
  });

  it('to a write of records: a body that is too large', async () => {
    const shard = await newShard('too-large');
    const body = record({ documents: ['x'.repeat(41 * 1024 * 1024)] });
    // A separate client: the server ends the connection afterwards, which another call might use.
    const own = createUnverifiedNodeClient({ url: client.url, clock: systemClock });
    const response = await own.mutate(recordsRequest(shard, 'add', body)).catch(() => null);
    await own.destroy();
    // A server may close the connection while the rest of the body arrives; then the outcome is unknown.
    if (response !== null) expect([response.status, hasNoEffect('add', response)]).toEqual([413, true]);
    expect(await count(shard)).toBe('0');
  });

  it('applies nothing of a large request that was aborted before its last piece', async () => {
    const shard = await newShard('abandoned');
    const body = record({ documents: ['x'.repeat(4 * 1024 * 1024)] });
    const request = { ...recordsRequest(shard, 'add', body), beforeLast: loseLease };
    await expect(client.mutate(request)).rejects.toMatchObject({ code: 'aborted' });
    // The server serializes writes: whatever it did with the aborted request, it did before this one.
    expect((await write(shard, 'add', json({ ids: ['b'], embeddings: [[1, 2]] }))).status).toBe(201);
    expect(await count(shard)).toBe('1');
  });

  it('to schema operations', async () => {
    await newShard('taken');
    const shard = await newShard('modified');
    const create = (body: unknown): NodeMutation => createCollectionRequest(name, json(body));
    const requests = [
      createTenantRequest(name.tenant),
      createDatabaseRequest(name),
      create({ name: 'taken' }),
      create({ name: 'x' }),
      create({ name: 'both', configuration: { hnsw: {}, spann: {} } }),
      create({ name: 'unknown', configuration: 5 }),
      createCollectionRequest({ ...name, database: 'none' }, json({ name: 'abc' })),
      modifyCollectionRequest(shard, json({ new_metadata: {} })),
      modifyCollectionRequest({ ...name, physical: NOWHERE }, json({ new_name: 'abc' })),
      deleteCollectionRequest(name, 'none'),
    ];
    for (const request of requests) {
      const response = await client.mutate(request);
      expect([request, response.status, hasNoEffect(request.operation, response)]).toEqual([
        request,
        expect.any(Number),
        true,
      ]);
    }
    for (const missing of ['x', 'both', 'unknown', 'abc']) {
      expect((await read(collectionRequest(name, missing))).status).toBe(404);
    }
  });
});

describe('responses that may have had an effect', () => {
  it('include a 400 that has already fixed the dimension', async () => {
    const shard = await newShard('dimension');
    const body = json({ ids: ['a', 'b'], embeddings: [[1, 2, 3]] });
    const response = await write(shard, 'add', body);
    expect(response.status).toBe(400);
    expect(hasNoEffect('add', response)).toBe(false);
    const shown = await read(collectionRequest(name, 'dimension'));
    expect(shown.body.toString()).toContain('"dimension":3');
  });

  const error = (kind: string, message: string): Buffer => json({ error: kind, message });
  it.each<[string, NodeOperation, number, Buffer]>([
    ['successes', 'add', 201, json({})],
    [
      'failures after the queue took it',
      'add',
      500,
      error('InternalError', 'Error sending message to compactor'),
    ],
    [
      'a 400 after the queue took it',
      'upsert',
      400,
      error('InvalidArgumentError', 'Failed to apply logs to the index'),
    ],
    [
      'a rename onto a taken name',
      'modify_collection',
      500,
      error('InternalError', 'UNIQUE constraint failed'),
    ],
    ['a response of a proxy', 'add', 400, Buffer.from('<html>')],
    ['a 422 of unknown origin', 'add', 422, error('ChromaError', 'quota')],
    ['overload', 'add', 429, Buffer.from('too many')],
    ['unavailability', 'create_collection', 503, error('ChromaError', 'unavailable')],
    ['a conflict among records', 'add', 409, error('ChromaError', 'conflict')],
  ])('include %s', (_what, operation, status, body) => {
    expect(hasNoEffect(operation, { status, body })).toBe(false);
  });
});

// Which answers leave a node as it was: asked of a real server, by looking at what it holds before and after.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBareServer, type BareServer } from '../../../test/support/chroma-server.ts';
import { systemClock } from '../../util/clock.ts';
import { createUnverifiedNodeClient, type NodeClient } from './node-client.ts';
import {
  countRecords,
  createCollection,
  createDatabase,
  createTenant,
  deleteCollectionByName,
  deleteDatabase,
  effectFree,
  getCollectionByName,
  getRecords,
  modifyCollection,
  writeRecords,
  type PhysicalShard,
} from './node-api.ts';
import type { NodeOperation } from '../protocol/node-requests.ts';
import type { RecordKind } from '../parse/record-call.ts';

// 1.3.4 takes database names of the same form as collection names only; 1.0.5 takes any.
const name = { tenant: 'tenant one/größe', database: 'a.b' };
const NOWHERE = '00000000-0000-4000-8000-000000000000';
const DEADLINE_MS = 5000;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

let server: BareServer;
let client: NodeClient;

beforeAll(async () => {
  server = await startBareServer();
  client = createUnverifiedNodeClient({ url: server.url, clock: systemClock });
  expect((await createTenant(client, name.tenant)).status).toBe(200);
  expect((await createDatabase(client, name)).status).toBe(200);
});

afterAll(async () => {
  await client.destroy();
  await server.stop();
});

async function newShard(collection: string): Promise<PhysicalShard> {
  const body = json({ name: collection, get_or_create: true });
  const { physicalId } = await createCollection(client, name, body);
  if (physicalId === null) throw new Error('no collection');
  return { ...name, physicalId };
}

function abandon(): never {
  throw new Error('the lease is gone');
}

describe('the calls', () => {
  it('create, find, change and drop a collection, in names that need encoding', async () => {
    const shard = await newShard('calls');
    expect(await newShard('calls')).toEqual(shard);
    const renamed = await modifyCollection(client, shard, json({ new_name: 'renamed' }));
    expect(renamed.status).toBe(200);
    expect(await getCollectionByName(client, name, 'renamed', DEADLINE_MS)).toMatchObject({
      status: 200,
      physicalId: shard.physicalId,
    });
    expect(await getCollectionByName(client, name, 'calls', DEADLINE_MS)).toMatchObject({
      status: 404,
      physicalId: null,
    });
    expect((await deleteCollectionByName(client, name, 'renamed')).status).toBe(200);
    expect((await countRecords(client, shard, DEADLINE_MS)).count).toBeNull();
  });

  it('write and read records, byte for byte', async () => {
    const shard = await newShard('records');
    const body = Buffer.from('{"ids":["a","b"],"embeddings":[[1,2],[3,4]],"metadatas":[{"n":1.0},{"n":1}]}');
    expect((await writeRecords(client, shard, 'add', body)).status).toBe(201);
    expect((await countRecords(client, shard, DEADLINE_MS)).count).toBe(2);
    const page = await getRecords(
      client,
      shard,
      { limit: 1, offset: 1, include: ['metadatas'] },
      DEADLINE_MS,
    );
    expect(page.body.toString()).toContain('"ids":["b"]');
    const one = await getRecords(client, shard, { ids: ['a'], include: ['metadatas'] }, DEADLINE_MS);
    expect(one.body.toString()).toContain('{"n":1.0}');
  });

  it('drop a database with what it holds', async () => {
    const doomed = { tenant: name.tenant, database: 'doomed' };
    await createDatabase(client, doomed);
    await createCollection(client, doomed, json({ name: 'inside' }));
    expect((await deleteDatabase(client, doomed)).status).toBe(200);
    const again = await deleteDatabase(client, doomed);
    expect(again.status).toBe(404);
    expect(effectFree('delete_database', again.status, again.body)).toBe(true);
  });
});

describe('answers that are free of effect', () => {
  const record = (extra: object): Buffer => json({ ids: ['new'], embeddings: [[1, 2]], ...extra });
  const calls: [string, RecordKind, Buffer][] = [
    ['malformed JSON', 'add', Buffer.from('{"ids":')],
    ['another shape', 'add', json({ ids: 'new' })],
    ['nested metadata', 'upsert', record({ metadatas: [{ a: { b: 1 } }] })],
    ['another dimension', 'upsert', record({ embeddings: [[1, 2, 3]] })],
    ['mixed dimensions', 'add', json({ ids: ['new', 'old'], embeddings: [[1, 2], [1]] })],
    ['an empty embedding', 'add', record({ embeddings: [[]] })],
    ['a deletion of nothing named', 'delete', json({ ids: [] })],
    ['an empty condition', 'delete', json({ where: {} })],
  ];

  it.each(calls)('to records: %s', async (what, kind, body) => {
    const shard = await newShard(`free-${what.replaceAll(' ', '-')}`);
    await writeRecords(client, shard, 'add', json({ ids: ['old'], embeddings: [[0, 0]] }));
    const { status, body: answer } = await writeRecords(client, shard, kind, body);
    expect([status, effectFree(kind, status, answer)]).toEqual([expect.any(Number), true]);
    expect((await countRecords(client, shard, DEADLINE_MS)).count).toBe(1);
    // It neither waits in a queue nor stands in the way of what follows.
    expect((await writeRecords(client, shard, 'upsert', record({}))).status).toBe(200);
    expect((await countRecords(client, shard, DEADLINE_MS)).count).toBe(2);
  });

  it('to records: no such collection, or no collection id', async () => {
    for (const physicalId of [NOWHERE, 'none']) {
      const answer = await writeRecords(client, { ...name, physicalId }, 'add', record({}));
      expect(effectFree('add', answer.status, answer.body)).toBe(true);
    }
  });

  it('to records: more bytes than a server takes', async () => {
    const shard = await newShard('too-large');
    const body = record({ documents: ['x'.repeat(41 * 1024 * 1024)] });
    // A client of its own: the server ends the connection afterwards, and another call might just be using it.
    const own = createUnverifiedNodeClient({ url: client.url, clock: systemClock });
    const answer = await writeRecords(own, shard, 'add', body).catch(() => null);
    await own.destroy();
    // A server may hang up while the rest of the body is still coming; then nothing is known, as with any other call.
    if (answer !== null)
      expect([answer.status, effectFree('add', answer.status, answer.body)]).toEqual([413, true]);
    expect((await countRecords(client, shard, DEADLINE_MS)).count).toBe(0);
  });

  it('do not even come for a large call that was abandoned before its last piece, and nothing is applied', async () => {
    const shard = await newShard('abandoned');
    const body = record({ documents: ['x'.repeat(4 * 1024 * 1024)] });
    await expect(writeRecords(client, shard, 'add', body, abandon)).rejects.toMatchObject({
      code: 'aborted',
    });
    // What the server made of the rest, it had made before this write, which it serialises behind.
    expect(
      (await writeRecords(client, shard, 'add', json({ ids: ['b'], embeddings: [[1, 2]] }))).status,
    ).toBe(201);
    expect((await countRecords(client, shard, DEADLINE_MS)).count).toBe(1);
  });

  it('to schema operations', async () => {
    await newShard('taken');
    const shard = await newShard('modified');
    const create = (body: unknown): ReturnType<typeof createCollection> =>
      createCollection(client, name, json(body));
    const answers: [NodeOperation, { status: number; body: Buffer }][] = [
      ['create_tenant', await createTenant(client, name.tenant)],
      ['create_database', await createDatabase(client, name)],
      ['create_collection', await create({ name: 'taken' })],
      ['create_collection', await create({ name: 'x' })],
      ['create_collection', await create({ name: 'both', configuration: { hnsw: {}, spann: {} } })],
      ['create_collection', await create({ name: 'unknown', configuration: 5 })],
      [
        'create_collection',
        await createCollection(client, { ...name, database: 'none' }, json({ name: 'abc' })),
      ],
      ['modify_collection', await modifyCollection(client, shard, json({ new_metadata: {} }))],
      [
        'modify_collection',
        await modifyCollection(client, { ...name, physicalId: NOWHERE }, json({ new_name: 'abc' })),
      ],
      ['delete_collection', await deleteCollectionByName(client, name, 'none')],
    ];
    const judged = answers.map(([operation, { status, body }]) => [
      operation,
      status,
      effectFree(operation, status, body),
    ]);
    expect(judged.filter(([, , free]) => free !== true)).toEqual([]);
    for (const missing of ['x', 'both', 'unknown', 'abc']) {
      expect((await getCollectionByName(client, name, missing, DEADLINE_MS)).status).toBe(404);
    }
  });
});

describe('answers that are not known to be free of effect', () => {
  it('include the refusal that has already fixed a dimension', async () => {
    const shard = await newShard('dimension');
    const body = json({ ids: ['a', 'b'], embeddings: [[1, 2, 3]] });
    const answer = await writeRecords(client, shard, 'add', body);
    expect(answer.status).toBe(400);
    expect(effectFree('add', answer.status, answer.body)).toBe(false);
    const shown = await getCollectionByName(client, name, 'dimension', DEADLINE_MS);
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
    ['an answer of somebody in between', 'add', 400, Buffer.from('<html>')],
    ['a 422 of unknown origin', 'add', 422, error('ChromaError', 'quota')],
    ['overload', 'add', 429, Buffer.from('too many')],
    ['unavailability', 'create_collection', 503, error('ChromaError', 'unavailable')],
    ['a conflict among records', 'add', 409, error('ChromaError', 'conflict')],
  ])('include %s', (_what, operation, status, body) => {
    expect(effectFree(operation, status, body)).toBe(false);
  });
});

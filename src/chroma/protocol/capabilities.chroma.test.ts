// What a server says of itself is held against what it then does. CHROMA_COMMAND names another server to try.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBareServer, type BareServer } from '../../../test/support/chroma-server.ts';
import { systemClock } from '../../util/clock.ts';
import { CapabilitiesError, minimumCapabilities, probeCapabilities } from './capabilities.ts';
import { createUnverifiedNodeClient, type NodeClient } from '../client/node-client.ts';
import type { NodeResponse } from '../client/node-request.ts';
import { countRecords, createCollection, writeRecords, type PhysicalShard } from '../client/node-api.ts';
import type { Capabilities } from '../parse/record-call.ts';

const name = { tenant: 'default_tenant', database: 'default_database' };
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

let server: BareServer;
let client: NodeClient;
let found: Capabilities;
let shard: PhysicalShard;

beforeAll(async () => {
  server = await startBareServer();
  client = createUnverifiedNodeClient({ url: server.url, clock: systemClock });
  found = await probeCapabilities(client);
  const { physicalId } = await createCollection(client, name, json({ name: 'probe' }));
  shard = { ...name, physicalId: physicalId ?? '' };
});

afterAll(async () => {
  await client.destroy();
  await server.stop();
});

describe('what a real server says it can do', () => {
  it('holds for the number of records in a call', () => {
    expect(found.maxBatchSize).toBe(5461);
  });

  it('holds for base64 embeddings', async () => {
    const embedding = Buffer.from(new Float32Array([1, 2]).buffer).toString('base64');
    const { status } = await writeRecords(
      client,
      shard,
      'upsert',
      json({ ids: ['b'], embeddings: [embedding] }),
    );
    expect(status === 200).toBe(found.base64Embeddings);
  });

  it('holds for arrays in metadata', async () => {
    const body = json({ ids: ['m'], embeddings: [[1, 2]], metadatas: [{ list: [1, 2] }] });
    const { status } = await writeRecords(client, shard, 'upsert', body);
    expect(status === 200).toBe(found.metadataArrays);
  });

  it('holds for the limit of a deletion', async () => {
    const metadatas = Array.from({ length: 3 }, () => ({ doomed: true }));
    const embeddings = metadatas.map(() => [1, 2]);
    await writeRecords(client, shard, 'upsert', json({ ids: ['x', 'y', 'z'], embeddings, metadatas }));
    const before = (await countRecords(client, shard, 5000)).count ?? 0;
    await writeRecords(client, shard, 'delete', json({ where: { doomed: true }, limit: 1 }));
    const after = (await countRecords(client, shard, 5000)).count ?? 0;
    expect(before - after).toBe(found.deleteLimit ? 1 : 3);
  });

  it('holds for schemas', async () => {
    const { status } = await createCollection(client, name, json({ name: 'with-schema', schema: 5 }));
    expect(status === 422).toBe(found.schema);
  });
});

const saying = (status: number, body: string): NodeClient => ({
  ...client,
  read: (): Promise<NodeResponse> => Promise.resolve({ status, headers: {}, body: Buffer.from(body) }),
});

describe('a server that cannot be understood', () => {
  it.each([
    ['an error', 500, '{}'],
    ['no JSON', 200, '<html>'],
    ['something else', 200, '{"max_batch_size":"many"}'],
  ])('is not guessed at: %s', async (_what, status, body) => {
    await expect(probeCapabilities(saying(status, body))).rejects.toThrow(CapabilitiesError);
  });
});

describe('the least of several servers', () => {
  const strong: Capabilities = {
    maxBatchSize: 5461,
    base64Embeddings: true,
    metadataArrays: true,
    deleteLimit: true,
    schema: true,
  };

  it('is what all of them can do', () => {
    const weak = { ...strong, maxBatchSize: 100, base64Embeddings: false };
    const other = { ...strong, metadataArrays: false, schema: false };
    expect(minimumCapabilities([strong, weak, other])).toEqual({
      maxBatchSize: 100,
      base64Embeddings: false,
      metadataArrays: false,
      deleteLimit: true,
      schema: false,
    });
    expect(minimumCapabilities([strong])).toEqual(strong);
  });

  it('of none is unknown', () => {
    expect(minimumCapabilities([])).toBeNull();
  });
});

// Against a real server: compares the reported capabilities with its behaviour. CHROMA_COMMAND names another server.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBareServer, type BareServer } from '../../../test/support/chroma-server.ts';
import { systemClock } from '../../util/clock.ts';
import { CapabilitiesError, minimumCapabilities, type Capabilities } from '../protocol/capabilities.ts';
import { probeCapabilities } from './probe-capabilities.ts';
import { createUnverifiedNodeClient, type NodeClient } from './node-client.ts';
import type { NodeResponse } from './node-request.ts';
import {
  countRecordsRequest,
  createCollectionRequest,
  recordsRequest,
  type ShardLocation,
} from '../protocol/node-requests.ts';
import { collectionIdIn } from '../protocol/response-effect.ts';
import type { RecordKind } from '../parse/record-call.ts';

const name = { tenant: 'default_tenant', database: 'default_database' };
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

let server: BareServer;
let client: NodeClient;
let found: Capabilities;
let shard: ShardLocation;

beforeAll(async () => {
  server = await startBareServer();
  client = createUnverifiedNodeClient({ url: server.url, clock: systemClock });
  found = await probeCapabilities(client);
  const created = await client.mutate(createCollectionRequest(name, json({ name: 'probe' })));
  shard = { ...name, physical: collectionIdIn(created) ?? '' };
});

afterAll(async () => {
  await client.destroy();
  await server.stop();
});

const write = (kind: RecordKind, body: Buffer): Promise<NodeResponse> =>
  client.mutate(recordsRequest(shard, kind, body));

async function count(): Promise<number> {
  return Number((await client.read({ ...countRecordsRequest(shard), deadlineMs: 5000 })).body.toString());
}

describe('the reported capability matches what the server does', () => {
  it('for the number of records in a call', () => {
    expect(found.maxBatchSize).toBe(5461);
  });

  it('for base64 embeddings', async () => {
    const embedding = Buffer.from(new Float32Array([1, 2]).buffer).toString('base64');
    const { status } = await write('upsert', json({ ids: ['b'], embeddings: [embedding] }));
    expect(status === 200).toBe(found.base64Embeddings);
  });

  it('for arrays in metadata', async () => {
    const body = json({ ids: ['m'], embeddings: [[1, 2]], metadatas: [{ list: [1, 2] }] });
    const { status } = await write('upsert', body);
    expect(status === 200).toBe(found.metadataArrays);
  });

  it('for the limit of a deletion', async () => {
    const metadatas = Array.from({ length: 3 }, () => ({ deletable: true }));
    const embeddings = metadatas.map(() => [1, 2]);
    await write('upsert', json({ ids: ['x', 'y', 'z'], embeddings, metadatas }));
    const before = await count();
    await write('delete', json({ where: { deletable: true }, limit: 1 }));
    const after = await count();
    expect(before - after).toBe(found.deleteLimit ? 1 : 3);
  });

  it('for schemas', async () => {
    const { status } = await client.mutate(
      createCollectionRequest(name, json({ name: 'with-schema', schema: 5 })),
    );
    expect(status === 422).toBe(found.schema);
  });
});

const saying = (status: number, body: string): NodeClient => ({
  ...client,
  read: (): Promise<NodeResponse> => Promise.resolve({ status, headers: {}, body: Buffer.from(body) }),
});

describe('probing fails', () => {
  it.each([
    ['an error', 500, '{}'],
    ['no JSON', 200, '<html>'],
    ['something else', 200, '{"max_batch_size":"many"}'],
  ])('when the server responds with %s', async (_what, status, body) => {
    await expect(probeCapabilities(saying(status, body))).rejects.toThrow(CapabilitiesError);
  });
});

describe('the minimum of several servers', () => {
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

  it('is null for no servers', () => {
    expect(minimumCapabilities([])).toBeNull();
  });
});

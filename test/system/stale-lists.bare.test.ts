// The newest servers keep lists in the metadata of a dropped collection and return them with later records. Polychrome
// deletes the records of a collection before it drops it. This test fails when a release fixes that; then remove both.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChromaHttp } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { type BareServer, capabilitiesOf, startBareServer } from '../support/chroma-server.ts';

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';

const probed = await startBareServer();
const { metadataArrays } = await capabilitiesOf(probed);
await probed.stop();

describe.runIf(metadataArrays)('on a bare server that supports lists', () => {
  let bare: BareServer;
  let api: ChromaHttp;
  beforeAll(async () => {
    bare = await startBareServer();
    api = new ChromaHttp(bare.url);
  });
  afterAll(() => bare?.stop());

  /** Stores a record with a list, lets `leave` drop its collection, and returns the metadata of a later record. */
  async function laterMetadata(name: string, leave: (id: string) => Promise<void>): Promise<unknown> {
    const id = await api.create(name);
    await api.records(id, 'add', { ids: ['a'], embeddings: [[1]], metadatas: [{ tags: ['x', 'y'] }] });
    await leave(id);
    const later = await api.create(`${name}-later`);
    await api.records(later, 'add', { ids: ['b'], embeddings: [[1]], metadatas: [{ n: 1 }] });
    const { text } = await api.records(later, 'get', {});
    await api.call('DELETE', `${COLLECTIONS}/${name}-later`);
    return (JSON.parse(text) as { metadatas: unknown }).metadatas;
  }

  test('a record stored after a collection was dropped has the lists of that collection', async () => {
    const found = await laterMetadata('dropped', async () => {
      await api.call('DELETE', `${COLLECTIONS}/dropped`);
    });
    expect(found).toEqual([{ n: 1, tags: ['x', 'y'] }]);
  });

  test('a record has no such lists when the records were deleted first', async () => {
    const found = await laterMetadata('emptied', async (id) => {
      await api.records(id, 'delete', { ids: ['a'] });
      await api.call('DELETE', `${COLLECTIONS}/emptied`);
    });
    expect(found).toEqual([{ n: 1 }]);
  });
});

describe.runIf(metadataArrays)('through Polychrome', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.start({ nodes: 2 });
  });
  afterAll(() => cluster?.stop());

  test('a record stored after a collection was dropped has none of its lists on any node', async () => {
    const { api } = cluster;
    const id = await api.create('dropped');
    await api.records(id, 'add', { ids: ['a'], embeddings: [[1]], metadatas: [{ tags: ['x', 'y'] }] });
    await api.call('DELETE', `${COLLECTIONS}/dropped`);
    const later = await api.create('later');
    await api.records(later, 'add', { ids: ['b'], embeddings: [[1]], metadatas: [{ n: 1 }] });
    await cluster.allServe();
    for (const content of (await cluster.contents()).values()) {
      expect(content).toContain('"n"');
      expect(content).not.toContain('tags');
    }
  });
});

// A fault of the newest servers: the lists in the metadata of a dropped collection stay behind, and turn up on records
// stored later. Polychrome empties a collection before it drops it. When a release mends the fault, this test fails,
// and that can go.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChromaHttp } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { type BareServer, capabilitiesOf, startBareServer } from '../support/chroma-server.ts';

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';

const asked = await startBareServer();
const { metadataArrays } = await capabilitiesOf(asked);
await asked.stop();

describe.runIf(metadataArrays)('on a bare server that takes lists', () => {
  let bare: BareServer;
  let api: ChromaHttp;
  beforeAll(async () => {
    bare = await startBareServer();
    api = new ChromaHttp(bare.url);
  });
  afterAll(() => bare?.stop());

  /** Stores a record with a list, lets `leave` end its collection, and tells what a later record has. */
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

  test('a record stored after a collection was dropped has its lists', async () => {
    const found = await laterMetadata('dropped', async () => {
      await api.call('DELETE', `${COLLECTIONS}/dropped`);
    });
    expect(found).toEqual([{ n: 1, tags: ['x', 'y'] }]);
  });

  test('it has not when the records were deleted first', async () => {
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

  test('a record stored after a collection was dropped has no lists of it, on any node', async () => {
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

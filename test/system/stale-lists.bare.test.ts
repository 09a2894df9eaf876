// A fault of the newest servers that the nodes of Polychrome have as well: the lists in the metadata of a dropped
// collection stay behind, and turn up on records stored later. docs/compatibility.md tells users what avoids it. When
// a release mends it, this test fails, and both are to be brought up to date.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChromaHttp } from '../support/chroma-http.ts';
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

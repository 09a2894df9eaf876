import { expect, test } from 'vitest';
import { NodeError } from '../chroma/client/node-error.ts';
import { recordFault, type CheckedRecord, type ReadNode } from './shard-check.ts';

const SHARD = { tenant: 't', database: 'd', physical: 'p' };
const expected = (ids: readonly string[]): Map<string, CheckedRecord> =>
  new Map(
    ids.map((id) => [
      id,
      {
        id,
        lsn: 1,
        present: true,
        later: [],
        lastLater: null,
        content: null,
        document: null,
        embedding: null,
      },
    ]),
  );

test('reads records of long documents in smaller pages', async () => {
  const sizes: number[] = [];
  const read: ReadNode = async ({ body }) => {
    const { ids } = JSON.parse(String(body)) as { ids: string[] };
    sizes.push(ids.length);
    if (ids.length > 3)
      throw new NodeError('too_large', 'the response is larger than 64 MiB', { sent: true });
    const found = ids.filter((id) => id !== 'r9');
    return {
      status: 200,
      body: Buffer.from(JSON.stringify({ ids: found, documents: [], embeddings: [] })),
    };
  };
  const ids = Array.from({ length: 10 }, (_, n) => `r${n}`);
  expect(await recordFault(read, SHARD, expected(ids), { changed: new Map(), lastLater: 0 })).toEqual({
    key: 'r9',
    reason: 'lost LSN 1: record "r9" is missing',
  });
  expect(sizes).toEqual([10, 5, 3, 2, 5, 3, 2]);
});

import { expect, test } from 'vitest';
import { batchesOf } from './copy-batches.ts';
import type { ContentPage, StoredRecord } from './copy-content.ts';

const record = (id: string, bytes: Partial<Record<'document' | 'embedding', number>> = {}): StoredRecord => ({
  id,
  embedding: Buffer.alloc(bytes.embedding ?? 10),
  document: Buffer.alloc(bytes.document ?? 10),
  uri: Buffer.from('null'),
  metadata: Buffer.from('null'),
});

async function batches(...pages: StoredRecord[][]): Promise<string[][]> {
  async function* source(): AsyncGenerator<ContentPage> {
    for (const records of pages) yield { ids: records.map(({ id }) => id), records };
  }
  const found: string[][] = [];
  for await (const batch of batchesOf(source())) found.push(batch.map(({ id }) => id));
  return found;
}

test('joins pages up to the number of records that one call may have, in order', async () => {
  const ids = Array.from({ length: 1_500 }, (_, n) => `r${n}`);
  const all = ids.map((id) => record(id));
  expect(await batches(all.slice(0, 600), [], all.slice(600))).toEqual([
    ids.slice(0, 1_024),
    ids.slice(1_024),
  ]);
  expect(await batches()).toEqual([]);
});

test('ends a batch before it has too many bytes of text, or in all; one record may be larger', async () => {
  const mb = 1_000_000;
  const records = [
    record('a', { document: mb / 2 }),
    record('b', { document: mb / 2 + 60_000 }),
    record('c', { document: 3 * mb }),
    record('d', { embedding: 3 * mb }),
    record('e', { embedding: 2 * mb }),
  ];
  expect(await batches(records)).toEqual([['a'], ['b'], ['c'], ['d'], ['e']]);
  expect(await batches(records.slice(0, 1), [record('f')])).toEqual([['a', 'f']]);
});

import { expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../../test/support/capability-levels.ts';
import { scanRecordCall } from './scanner.ts';

const NEWEST = { ...CHROMA_1_0_5, metadataArrays: true };

/** An upsert of one record, with a list of each length in its metadata. */
function withLists(...lengths: number[]): Buffer {
  const lists = lengths.map((length, n) => [`k${n}`, Array.from({ length }, () => true)]);
  return Buffer.from(
    JSON.stringify({ ids: ['a'], embeddings: [[1]], metadatas: [Object.fromEntries(lists)] }),
  );
}

test('the lists in the metadata of a record may have 5,000 values in all, and no more', () => {
  expect(scanRecordCall('upsert', withLists(2_000, 3_000), NEWEST)).toMatchObject({ kind: 'upsert' });
  expect(scanRecordCall('upsert', withLists(2_001, 3_000), NEWEST)).toMatchObject({
    status: 400,
    message: expect.stringContaining('at most 5000 values in all, and record 0 has 5001'),
  });
});

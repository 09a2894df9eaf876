import { expect, test } from 'vitest';
import { BulkChanges } from './bulk-changes.ts';

test('knows which of two entries of very many ids changed a record last', () => {
  const bulk = new BulkChanges();
  bulk.begin(4);
  for (const id of ['a', 'b', 'c']) bulk.changed('s', id, 4);
  bulk.begin(7);
  bulk.changed('s', 'b', 7);
  bulk.changed('s', 'c', null);
  expect(['a', 'b', 'c'].map((id) => bulk.isLast('s', id, 4))).toEqual([true, false, false]);
  expect(['a', 'b', 'c'].map((id) => bulk.isLast('s', id, 7))).toEqual([false, true, false]);
  expect(bulk.isLast('other', 'a', 4)).toBe(false);
  bulk.forget(4);
  bulk.begin(9);
  expect([4, 7, 9].map((lsn) => bulk.has(lsn))).toEqual([false, true, true]);
  expect(bulk.isLast('s', 'a', 9)).toBe(false);
});

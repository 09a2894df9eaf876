import { expect, test } from 'vitest';
import { detailText } from './event-text.ts';

test.each([
  [
    { from: 'catching_up', reason: 'has applied the log', gateway: 'g' },
    'has applied the log · was catching up',
  ],
  [{ before: null, generation: 1 }, 'generation 1'],
  [{ lsn: 1_221, status: 500, operation: 'upsert' }, 'LSN 1,221 · status 500 · operation upsert'],
  [{ ids: ['a'], wal_bytes: 3 }, 'ids ["a"] · wal bytes 3'],
  [{}, ''],
])('%j', (detail, text) => {
  expect(detailText(detail)).toBe(text);
});

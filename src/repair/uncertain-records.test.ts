// What a node may show after its verification, of entries that are not certain to be applied.

import { expect, test } from 'vitest';
import {
  ASSIGNED,
  entry,
  LOG,
  put,
  verifyNode,
  type HeldRecord,
} from '../../test/support/log-verification.ts';
import type { Entry } from '../log/entry.ts';
import type { AssignedShard } from '../replication/checkpoints.ts';

const A = { id: 'a', document: 'three' };
const doomed = (lsn: number, ...ids: string[]): Entry => entry(lsn, 'delete', { ids });

// Up to there the node may show an entry that is not certain to be applied, and lack an earlier one.
test.each<[string, readonly HeldRecord[], readonly Entry[], number]>([
  ['a missing record that it deletes', [], [doomed(5, 'a', 'b'), put(6, 'a', 'six'), doomed(7, 'b')], 6],
  ['no missing record that was deleted before', [A], [doomed(5, 'b')], 0],
  ['no record as the last certain entry left it', [A], [doomed(5, 'a')], 0],
  ['content that may be of it', [{ id: 'a', document: 'five' }], [put(5, 'a', 'five'), put(6, 'b', 'x')], 5],
  ['a deleted record that is there again', [A, { id: 'b', document: 'x' }], [put(5, 'b', 'x')], 5],
  [
    'one of too many writes to compare with',
    [{ id: 'a', document: 'seven' }],
    Array.from({ length: 9 }, (_, n) => put(5 + n, 'a', `${n}`)),
    13,
  ],
])(
  'a node serves from the entry beyond its checkpoint that explains %s',
  async (_what, records, beyond, lsn) => {
    const verified = await verifyNode({ marker: 1, records }, 4, [...LOG, ...beyond]);
    expect(verified).toEqual({ failure: null, suspects: [], minServingLSN: lsn });
  },
);

test('updates of metadata beyond the checkpoint, however many, hide no older content', async () => {
  const beyond = Array.from({ length: 9 }, (_, n) =>
    entry(5 + n, 'update', { ids: ['a'], metadatas: [{ n }] }),
  );
  const { suspects } = await verifyNode({ marker: 1, records: [{ id: 'a', document: 'one' }] }, 4, [
    ...LOG,
    ...beyond,
  ]);
  expect(suspects).toEqual([expect.stringContaining('record "a" has older content')]);
});

test('a suspect copy keeps no node from serving', async () => {
  const log = [...LOG, doomed(5, 'a')];
  const assigned: AssignedShard = { ...ASSIGNED, suspect: 'it differs' };
  const { minServingLSN } = await verifyNode({ marker: 1, records: [] }, 4, log, [], { assigned });
  expect(minServingLSN).toBe(0);
});

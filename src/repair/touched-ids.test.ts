import { expect, test } from 'vitest';
import type { Entry } from '../log/entry.ts';
import type { Decision } from '../replication/decisions.ts';
import { touchedIds, type TouchedIds } from './touched-ids.ts';

const SHARD = '00000000-0000-4000-8000-000000000001';
const OTHER = '00000000-0000-4000-8000-000000000002';

const entry = (lsn: number, kind: string, body: object, target = SHARD, header = '{}'): Entry => ({
  lsn,
  kind,
  target,
  header,
  body: Buffer.from(JSON.stringify(body)),
  batch: 'b',
  appendedAt: 0,
});
const put = (lsn: number, id: string, target = SHARD): Entry =>
  entry(lsn, 'upsert', { ids: [id], embeddings: [[1]] }, target);

function touched(
  entries: readonly Entry[],
  after: number,
  upTo: number,
  decision: Decision | null = null,
): Promise<TouchedIds> {
  const source = {
    log: {
      read: async (from: number, max: number) => entries.filter(({ lsn }) => lsn > from && lsn <= from + max),
    },
    decisions: {
      find: async () => decision,
      async *idPages() {
        yield ['x'];
        yield ['y'];
      },
    },
  };
  return touchedIds(source, SHARD, { after, upTo }, new AbortController().signal);
}

test('names the records that the entries of the range write or delete, and no others', async () => {
  const log = [
    put(1, 'a'),
    put(2, 'b'),
    entry(3, 'delete', { ids: ['c'] }),
    put(4, 'd'),
    put(3, 'other', OTHER),
  ];
  const found = await touched(log, 1, 3);
  expect(['a', 'b', 'c', 'd', 'other'].filter((id) => found.has(id))).toEqual(['b', 'c']);
  expect(found.any).toBe(true);
  expect((await touched(log, 4, 4)).any).toBe(false);
});

test('names the records that a conditional delete selected, and every record while it is undecided', async () => {
  const log = [entry(1, 'delete_where', { where: { n: 1 } })];
  const body = Buffer.from('[]');
  const decision: Decision = { lsn: 1, outcome: 'accepted', status: 200, body, pages: 2, generation: 1 };
  const decided = await touched(log, 0, 1, decision);
  expect(['x', 'y', 'z'].filter((id) => decided.has(id))).toEqual(['x', 'y']);
  expect((await touched(log, 0, 1)).has('z')).toBe(true);
});

test('names every record when the collection is deleted or the range is long', async () => {
  const header = JSON.stringify({ shards: [SHARD], tenant: 't', database: 'd', name: 'n' });
  expect((await touched([entry(1, 'delete_collection', {}, OTHER, header)], 0, 1)).has('z')).toBe(true);
  expect((await touched([], 0, 30_000)).has('z')).toBe(true);
});

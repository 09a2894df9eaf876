import { expect, test } from 'vitest';
import {
  ASSIGNED,
  decision,
  entry,
  LOG,
  put,
  SHARD,
  verifyNode,
  type HeldRecord,
  type VerifiedNode,
} from '../../test/support/log-verification.ts';
import { LISTED_IDS_MAX } from '../chroma/parse/record-ids.ts';
import type { Entry } from '../log/entry.ts';

test('accepts a node whose content matches the log', async () => {
  const verified = await verifyNode({ marker: 1, records: [{ id: 'a', document: 'three' }] }, 4, LOG);
  expect(verified).toEqual({ failure: null, suspects: [], minServingLSN: 0 });
});

test.each([
  ['lacks a record', [], 'record "a" is missing'],
  ['still has a deleted record', [{ id: 'a', document: 'three' }, { id: 'b' }], 'record "b" is still there'],
  ['has an older document', [{ id: 'a', document: 'one' }], 'record "a" has older content'],
  [
    'has an older vector',
    [{ id: 'a', document: 'three', embedding: [4, 3] }],
    'record "a" has older content',
  ],
])('marks a shard suspect when the node %s', async (_what, records, reason) => {
  const { failure, suspects } = await verifyNode({ marker: 1, records }, 4, LOG);
  expect(failure).toBeNull();
  expect(suspects).toEqual([expect.stringContaining(reason)]);
});

test('accepts an embedding that the server normalised', async () => {
  const records = [{ id: 'a', document: 'three', embedding: [0.6, 0.8] }];
  expect((await verifyNode({ marker: 1, records }, 4, LOG)).suspects).toEqual([]);
});

test('does not compare entries before the marker', async () => {
  expect((await verifyNode({ marker: 4, records: [] }, 4, LOG)).suspects).toEqual([]);
});

test.each([
  ['an upsert', put(5, 'a', 'five')],
  ['an update of it', entry(5, 'update', { ids: ['a'], documents: ['five'] })],
  ['an update of its metadata', entry(5, 'update', { ids: ['a'], metadatas: [{ n: 1 }] })],
])('a write beyond the checkpoint does not explain a missing record: %s', async (_what, write) => {
  const { suspects } = await verifyNode({ marker: 1, records: [] }, 4, [...LOG, write]);
  expect(suspects).toEqual([expect.stringContaining('record "a" is missing')]);
});

test('a write beyond the checkpoint does not explain older content of a column that it lacks', async () => {
  const write = entry(5, 'update', { ids: ['a'], embeddings: [[3, 4]] });
  const { suspects } = await verifyNode({ marker: 1, records: [{ id: 'a', document: 'one' }] }, 4, [
    ...LOG,
    write,
  ]);
  expect(suspects).toEqual([expect.stringContaining('record "a" has older content')]);
});

test('accepts entries beyond the checkpoint as applied or not applied', async () => {
  const beyond = [...LOG, put(5, 'a', 'five'), entry(6, 'delete', { ids: ['c'] })];
  for (const document of ['three', 'five']) {
    expect((await verifyNode({ marker: 1, records: [{ id: 'a', document }] }, 4, beyond)).suspects).toEqual(
      [],
    );
  }
});

test('an entry beyond the checkpoint that was not sent to the node explains nothing', async () => {
  const beyond = [...LOG, entry(5, 'delete', { ids: ['a'] })];
  const suspectsFor = async (sentTo: number): Promise<readonly string[]> =>
    (await verifyNode({ marker: 1, records: [] }, 4, beyond, [], { sentTo })).suspects;
  expect(await suspectsFor(5)).toEqual([]);
  expect(await suspectsFor(4)).toEqual([expect.stringContaining('record "a" is missing')]);
});

// As when every node loses its last writes in a power failure, while an entry waits that is quarantined later.
test.each([
  ['an upsert', put(5, 'a', 'five'), [{ id: 'a', document: 'one' }], 'record "a" has older content'],
  [
    'an update of the document',
    entry(5, 'update', { ids: ['a'], documents: ['five'] }),
    [{ id: 'a', document: 'five', embedding: [4, 3] }],
    'record "a" has older content',
  ],
  [
    'an upsert of a deleted record',
    put(5, 'b', 'five'),
    [
      { id: 'a', document: 'three' },
      { id: 'b', document: 'two' },
    ],
    'record "b" has older content',
  ],
])(
  'a write beyond the checkpoint explains only its own content: %s',
  async (_what, write, records, reason) => {
    const { suspects } = await verifyNode({ marker: 1, records }, 4, [...LOG, write]);
    expect(suspects).toEqual([expect.stringContaining(reason)]);
  },
);

test('columns may come from several entries beyond the checkpoint', async () => {
  const beyond = [
    ...LOG,
    entry(5, 'upsert', {
      ids: ['a', 'b'],
      embeddings: [
        [4, 3],
        [4, 3],
      ],
      documents: ['five', 'five'],
    }),
    entry(6, 'update', { ids: ['b', 'a'], documents: ['six', 'six'] }),
  ];
  const records = [
    { id: 'a', document: 'six', embedding: [4, 3] },
    { id: 'b', document: 'five', embedding: [4, 3] },
  ];
  expect((await verifyNode({ marker: 1, records }, 4, beyond)).suspects).toEqual([]);
});

test('a conditional delete beyond the checkpoint explains that a record is missing which it selected', async () => {
  const beyond = [...LOG, entry(5, 'delete_where', { where: { n: 1 } })];
  const decided = [decision(5, 'accepted', ['a'])];
  const missing = await verifyNode({ marker: 1, records: [] }, 4, beyond, decided);
  expect(missing).toEqual({ failure: null, suspects: [], minServingLSN: 5 });
});

test.each([
  [
    'a deleted record that is back',
    [{ id: 'a', document: 'three' }, { id: 'b' }],
    [],
    'record "b" is still there',
  ],
  ['older content', [{ id: 'a', document: 'one' }], [], 'record "a" has older content'],
  ['a record it did not select', [], [decision(5, 'accepted', ['c'])], 'record "a" is missing'],
  ['a missing record before it is decided', [], [], 'record "a" is missing'],
  ['a missing record when it was refused', [], [decision(5, 'refused', {})], 'record "a" is missing'],
])(
  'a conditional delete beyond the checkpoint does not explain %s',
  async (_what, records, decided, reason) => {
    const beyond = [...LOG, entry(5, 'delete_where', { where: { n: 1 } })];
    const { suspects } = await verifyNode({ marker: 1, records }, 4, beyond, decided);
    expect(suspects).toEqual([expect.stringContaining(reason)]);
  },
);

test.each([
  ['an add, which passes over it', put(5, 'a', 'five', 'add')],
  ['an update of its metadata', entry(5, 'update', { ids: ['a'], metadatas: [{ n: 1 }] })],
])('finds older content of a record behind %s', async (_what, last) => {
  const log = [...LOG, last];
  const { suspects } = await verifyNode({ marker: 1, records: [{ id: 'a', document: 'one' }] }, 5, log);
  expect(suspects).toEqual([expect.stringContaining('record "a" has older content')]);
  expect(
    (await verifyNode({ marker: 1, records: [{ id: 'a', document: 'three' }] }, 5, log)).suspects,
  ).toEqual([]);
});

const WITHOUT_DOCUMENT = { ids: ['a'], embeddings: [[3, 4]] };
const NO_EFFECT = entry(2, 'update', { ids: ['a'], documents: ['x'] });

test.each([
  ['of a record that is not there', [NO_EFFECT, entry(3, 'upsert', WITHOUT_DOCUMENT)], 3],
  [
    'of a deleted record',
    [entry(1, 'delete', { ids: ['a'] }), NO_EFFECT, entry(3, 'upsert', WITHOUT_DOCUMENT)],
    3,
  ],
  [
    'of a deleted record, before an entry that may be applied',
    [entry(1, 'delete', { ids: ['a'] }), NO_EFFECT, entry(3, 'upsert', WITHOUT_DOCUMENT)],
    2,
  ],
])('an update without effect says nothing of a document: %s', async (_what, log, checkpoint) => {
  expect((await verifyNode({ marker: 0, records: [{ id: 'a' }] }, checkpoint, log)).suspects).toEqual([]);
});

test('a record may be as a partly applied entry left it, also behind a later entry', async () => {
  const log = [
    put(1, 'a', 'one'),
    put(2, 'a', 'two'),
    entry(3, 'update', { ids: ['a'], metadatas: [{ n: 1 }] }),
  ];
  const cut = [decision(2, 'partly_applied', { applied: 1 })];
  for (const document of ['one', 'two'])
    expect((await verifyNode({ marker: 0, records: [{ id: 'a', document }] }, 3, log, cut)).suspects).toEqual(
      [],
    );
});

test('a record may be deleted and written again, without a document, beyond the checkpoint', async () => {
  const log = [put(1, 'a', 'one'), entry(2, 'delete', { ids: ['a'] }), entry(3, 'add', WITHOUT_DOCUMENT)];
  expect((await verifyNode({ marker: 0, records: [{ id: 'a' }] }, 1, log)).suspects).toEqual([]);
});

test('compares each column with the entry that it is from, and what is added again after a deletion', async () => {
  const log = [
    put(1, 'a', 'one'),
    entry(2, 'update', { ids: ['a'], embeddings: [[4, 3]] }),
    entry(3, 'delete', { ids: ['b'] }),
    put(4, 'b', 'four', 'add'),
  ];
  const whole = [
    { id: 'a', document: 'one', embedding: [4, 3] },
    { id: 'b', document: 'four' },
  ];
  const found = async (records: readonly HeldRecord[]): Promise<readonly string[]> =>
    (await verifyNode({ marker: 0, records }, 4, log)).suspects;
  expect(await found(whole)).toEqual([]);
  expect(await found([{ ...whole[0]!, document: 'zero' }, whole[1]!])).toHaveLength(1);
  expect(await found([{ ...whole[0]!, embedding: [3, 4] }, whole[1]!])).toHaveLength(1);
  expect(await found([whole[0]!, { id: 'b', document: 'two' }])).toHaveLength(1);
});

test('does not compare the content of an added record, which may have existed before', async () => {
  const log = [put(1, 'a', 'new', 'add')];
  expect((await verifyNode({ marker: 0, records: [{ id: 'a', document: 'old' }] }, 1, log)).suspects).toEqual(
    [],
  );
});

test('marks a shard suspect when no record is found by its own vector; accepts negative inner product distances', async () => {
  const records = [{ id: 'a', document: 'three' }];
  expect((await verifyNode({ marker: 1, records, nearest: 0.5 }, 4, LOG)).suspects).toEqual([
    expect.stringContaining('no record is found by its own vector'),
  ]);
  // 1 - |v|² of the record itself, or less.
  expect((await verifyNode({ marker: 1, records, nearest: -24 }, 4, LOG)).suspects).toEqual([]);
});

test('marks a shard suspect when its collection cannot be read', async () => {
  const { suspects } = await verifyNode({ marker: 1, records: [], getStatus: 500 }, 4, LOG);
  expect(suspects).toEqual(['cannot be read after a restart: HTTP 500']);
});

test('marks a copy suspect that is newer than the marker, and does not compare entries that are in the copy', async () => {
  const copied = { ...ASSIGNED, copy: 3, fromLSN: 4 };
  const compared = (copies: number): Promise<VerifiedNode> =>
    verifyNode({ marker: 1, copies, records: [{ id: 'a', document: 'later' }] }, 4, LOG, [], {
      assigned: copied,
    });
  expect((await compared(3)).suspects).toEqual([]);
  expect((await compared(2)).suspects).toEqual(["the node's content is older than this copy"]);
});

test('looks a copy up by the name that its node knows, and accepts a copy aside under a free name', async () => {
  const header = JSON.stringify({ shard: SHARD, shards: [SHARD], tenant: 't', database: 'd', name: 'made' });
  const created = [entry(1, 'create_collection', {}, header)];
  const copied = { ...ASSIGNED, name: 'copy-1' };
  const node = { marker: 0, records: [], names: { 'copy-1': 'p1', made: 'old' } };
  expect((await verifyNode(node, 1, created, [], { assigned: copied })).failure).toBeNull();
  const deleted = [...created, entry(2, 'delete_collection', {}, header)];
  expect((await verifyNode(node, 2, deleted)).failure).toMatchObject({ contentLost: true });
  expect((await verifyNode(node, 2, deleted, [], { aside: 'old' })).failure).toBeNull();
});

test('reports lost content when a created collection is missing or a deleted one is still there', async () => {
  const header = JSON.stringify({ shard: SHARD, shards: [SHARD], tenant: 't', database: 'd', name: 'made' });
  const created = [entry(1, 'create_collection', {}, header)];
  const healthy = { marker: 0, records: [], names: { made: 'p1' } };
  expect((await verifyNode(healthy, 1, created)).failure).toBeNull();
  expect((await verifyNode({ marker: 0, records: [] }, 1, created)).failure).toMatchObject({
    contentLost: true,
  });
  const deleted = [...created, entry(2, 'delete_collection', {}, header)];
  expect((await verifyNode(healthy, 2, deleted)).failure).toMatchObject({ contentLost: true });
  expect((await verifyNode({ marker: 0, records: [] }, 2, deleted)).failure).toBeNull();
});

test('reports a failure without lost content when an entry cannot be read', async () => {
  const { failure } = await verifyNode({ marker: 1, records: [] }, 4, [entry(2, 'nonsense', {})]);
  expect(failure).toMatchObject({ contentLost: false, reason: expect.stringContaining('nonsense') });
});

test('marks a shard suspect when a record selected by a conditional delete on a later page is still there', async () => {
  const log = [put(1, 'a', 'one'), put(2, 'b', 'two'), entry(3, 'delete_where', { where: { n: 1 } })];
  const selected = [decision(3, 'accepted', ['b', 'a'])];
  expect((await verifyNode({ marker: 0, records: [] }, 3, log, selected)).suspects).toEqual([]);
  const left = await verifyNode({ marker: 0, records: [{ id: 'a', document: 'one' }] }, 3, log, selected);
  expect(left.suspects).toEqual([expect.stringContaining('record "a" is still there')]);
});

test('does not compare the records of a partly applied entry', async () => {
  const log = [put(1, 'a', 'one'), put(2, 'a', 'two')];
  const cut = [decision(2, 'partly_applied', { applied: 0 })];
  expect(
    (await verifyNode({ marker: 0, records: [{ id: 'a', document: 'one' }] }, 2, log, cut)).suspects,
  ).toEqual([]);
  expect(
    (await verifyNode({ marker: 0, records: [{ id: 'a', document: 'one' }] }, 2, log)).suspects,
  ).toHaveLength(1);
});

test('does not expect a quarantined entry', async () => {
  const log = [put(1, 'a', 'one'), put(2, 'b', 'two')];
  const ended = [decision(2, 'quarantined', {})];
  expect(
    (await verifyNode({ marker: 0, records: [{ id: 'a', document: 'one' }] }, 2, log, ended)).suspects,
  ).toEqual([]);
});

const MANY = Array.from({ length: LISTED_IDS_MAX + 1 }, (_, n) => `m${n}`);
const MANY_RECORDS = MANY.map((id): HeldRecord => ({ id }));
const putMany = (lsn: number): Entry =>
  entry(lsn, 'upsert', { ids: MANY, embeddings: MANY.map(() => [3, 4]) });

test.each([
  ['that are deleted', [entry(1, 'delete', { ids: MANY })], [], [{ id: 'm9' }], '"m9" is still there'],
  ['that are written', [putMany(1)], MANY_RECORDS, MANY_RECORDS.slice(1), '"m0" is missing'],
  [
    'that are written, with other vectors',
    [putMany(1)],
    MANY_RECORDS,
    [{ id: 'm0', embedding: [4, 3] }, ...MANY_RECORDS.slice(1)],
    '"m0" has older content',
  ],
  [
    'of which later entries change some',
    [entry(1, 'delete', { ids: MANY }), put(2, 'm7', 'later')],
    [{ id: 'm7', document: 'later' }],
    [{ id: 'm7', document: 'later' }, { id: 'm8' }],
    '"m8" is still there',
  ],
  [
    'after earlier entries of the same records',
    [put(1, 'm7', 'before'), entry(2, 'delete', { ids: MANY })],
    [],
    [{ id: 'm7', document: 'before' }],
    '"m7" is still there',
  ],
])('compares very many records %s', async (_what, log, right, wrong, reason) => {
  expect((await verifyNode({ marker: 0, records: right }, log.length, log)).suspects).toEqual([]);
  const { suspects } = await verifyNode({ marker: 0, records: wrong }, log.length, log);
  expect(suspects).toEqual([expect.stringContaining(reason)]);
});

test('compares very many records that a conditional delete selected, but not what may have changed since', async () => {
  const beyond = [put(2, 'm9', 'two'), entry(3, 'delete', { ids: ['m9'] })];
  const log = [entry(1, 'delete_where', { where: { n: 1 } }), ...beyond];
  const decided = [{ ...decision(1, 'accepted', MANY) }];
  const after = (records: readonly HeldRecord[]): Promise<VerifiedNode> =>
    verifyNode({ marker: 0, records }, 1, log, decided);
  expect(await after([{ id: 'm9' }])).toEqual({ failure: null, suspects: [], minServingLSN: 3 });
  expect((await after([{ id: 'm8' }])).suspects).toEqual([expect.stringContaining('"m8" is still there')]);
});

test('does not compare an id that repeats far apart within one entry', async () => {
  const ids = ['a', ...MANY.slice(0, 1_000), 'a'];
  const embeddings = ids.map((_, index) => (index === 0 ? [1, 1] : [3, 4]));
  const log = [entry(1, 'upsert', { ids, embeddings })];
  const records = [{ id: 'a' }, ...MANY_RECORDS.slice(0, 1_000)];
  expect((await verifyNode({ marker: 0, records }, 1, log)).suspects).toEqual([]);
});

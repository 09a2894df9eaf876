import { describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import type { RecordKind } from '../chroma/parse/record-call.ts';
import { isRefusal } from '../chroma/parse/refusal.ts';
import { scanRecordCall } from '../chroma/parse/scanner.ts';
import type { StoredRecord } from './copy-content.ts';
import { isDescribed, LogContent, type Description } from './log-content.ts';

type Write = readonly [RecordKind, string];

/** What these writes make of record "a". */
async function described(writes: readonly Write[], isWhole = true): Promise<Description> {
  const content = new LogContent(['a'], isWhole);
  for (const [kind, body] of writes) {
    const call = scanRecordCall(kind, Buffer.from(body), { ...CHROMA_1_0_5, metadataArrays: true });
    if (isRefusal(call)) throw new Error(call.message);
    await content.applied(call);
  }
  return content.of('a');
}

const stored = (columns: Partial<Record<keyof StoredRecord, string>> = {}): StoredRecord => ({
  id: 'a',
  embedding: Buffer.from(columns.embedding ?? '[0.5,2.0]'),
  document: Buffer.from(columns.document ?? 'null'),
  uri: Buffer.from(columns.uri ?? 'null'),
  metadata: Buffer.from(columns.metadata ?? 'null'),
});

const ADD: Write = ['add', '{"ids":["b","a"],"embeddings":[[1,1],[0.5,2]],"documents":["x","y"]}'];
const rule = { isCosine: false };

describe.each<[string, readonly Write[], StoredRecord | null, readonly (StoredRecord | null)[]]>([
  ['an add', [ADD], stored({ document: '"y"' }), [stored({ document: '"x"' }), null, stored()]],
  [
    'an add of a record that exists',
    [ADD, ['add', '{"ids":["a"],"embeddings":[[9,9]]}']],
    stored({ document: '"y"' }),
    [stored({ embedding: '[9.0,9.0]' })],
  ],
  [
    'an upsert',
    [ADD, ['upsert', '{"ids":["a"],"embeddings":[[9,9]]}']],
    stored({ embedding: '[9.0,9.0]', document: '"y"' }),
    [stored({ embedding: '[9.0,9.0]' }), stored({ document: '"y"' })],
  ],
  [
    'an update of metadata',
    [
      ['add', '{"ids":["a"],"embeddings":[[0.5,2]],"metadatas":[{"n":1,"m":true}]}'],
      ['update', '{"ids":["a"],"metadatas":[{"n":null,"k":2.0}]}'],
    ],
    stored({ metadata: '{"k":2.0,"m":true}' }),
    [
      stored({ metadata: '{"k":2,"m":true}' }),
      stored({ metadata: '{"n":1,"m":true}' }),
      stored({ metadata: '{"k":2.0}' }),
    ],
  ],
  ['an update of a missing record', [['update', '{"ids":["a"],"documents":["x"]}']], null, [stored()]],
  ['a deletion', [ADD, ['delete', '{"ids":["a"]}']], null, [stored({ document: '"y"' })]],
  [
    'white space and escapes',
    [['add', ' { "ids" : [ "\\u0061" ] , "embeddings" : [ [ 0.5 , 2 ] ], "documents": [ "\\u00e9 [,]" ] } ']],
    stored({ document: '"é [,]"' }),
    [stored({ document: '"e [,]"' })],
  ],
  [
    'base64 embeddings',
    [['add', '{"ids":["a"],"embeddings":["AAAAPwAAAEA="]}']],
    stored(),
    [stored({ embedding: '[0.5,2.5]' })],
  ],
  [
    'large integers',
    [['add', '{"ids":["a"],"embeddings":[[0.5,2]],"metadatas":[{"n":9007199254740993}]}']],
    stored({ metadata: '{"n":9007199254740993}' }),
    [stored({ metadata: '{"n":9007199254740992}' }), stored({ metadata: '{"n":9007199254740993.0}' })],
  ],
  [
    'lists',
    [['add', '{"ids":["a"],"embeddings":[[0.5,2]],"metadatas":[{"n":[ 1, 2 ]}]}']],
    stored({ metadata: '{"n":[1,2]}' }),
    [stored({ metadata: '{"n":[2,1]}' }), stored({ metadata: '{"n":[1.0,2.0]}' })],
  ],
])('after %s', (_what, writes, right, wrong) => {
  const description = async (): Promise<Exclude<Description, 'unknown'>> =>
    (await described(writes)) as Exclude<Description, 'unknown'>;
  test('agrees with the content that a node returns', async () => {
    expect(isDescribed(await description(), right, rule)).toBe(true);
  });
  test('disagrees with any other', async () => {
    const made = await description();
    expect(wrong.map((record) => isDescribed(made, record, rule))).toEqual(wrong.map(() => false));
  });
});

test('accepts the last bits of a double that a server parses differently', async () => {
  const description = await described([
    ['add', '{"ids":["a"],"embeddings":[[0.5,2]],"metadatas":[{"n":0.1}]}'],
  ]);
  const read = stored({ metadata: '{"n":0.10000000000000002}' });
  expect(isDescribed(description as Exclude<Description, 'unknown'>, read, rule)).toBe(true);
});

test('knows nothing of a record whose insertion it does not hold, until the record is deleted', async () => {
  expect(await described([['upsert', '{"ids":["a"],"embeddings":[[9,9]]}']], false)).toBe('unknown');
  expect(await described([['delete', '{"ids":["a"]}'], ADD], false)).toMatchObject({ document: 'y' });
  expect(await described([['upsert', '{"ids":["a","a"],"embeddings":[[9,9],[8,8]]}']])).toBe('unknown');
  const content = new LogContent(['a'], true);
  content.forget();
  expect(content.of('a')).toBe('unknown');
});

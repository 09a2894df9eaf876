import { expect, test } from 'vitest';
import { NodeError } from '../chroma/client/node-error.ts';
import { CopyUnreadable, idsIn, PageSizes, readIds, readPages, type ReadCopy } from './copy-content.ts';

const SHARD = { tenant: 't', database: 'd', physical: 'p' };

interface GetBody {
  readonly ids?: readonly string[];
  readonly include: readonly string[];
}

/** A node with these documents by id; fails responses larger than the limit, as a node client does. */
function nodeWith(documents: ReadonlyMap<string, string>, asked: string[][] = []): ReadCopy {
  return async ({ body, responseBytesMax }) => {
    const { ids, include } = JSON.parse(String(body)) as GetBody;
    if (ids !== undefined) asked.push([...ids]);
    const found = [...documents].filter(([id]) => ids?.includes(id) ?? true);
    const column = (name: string, value: (document: string) => unknown): unknown =>
      include.includes(name) ? found.map(([, document]) => value(document)) : null;
    const response = JSON.stringify({
      ids: found.map(([id]) => id),
      embeddings: column('embeddings', () => [0.5, 1]),
      documents: column('documents', (document) => document),
      uris: column('uris', () => null),
      metadatas: column('metadatas', () => ({ n: 1 })),
      include,
    });
    if (response.length > responseBytesMax)
      throw new NodeError('too_large', 'the response is too large', { sent: true });
    return { status: 200, body: Buffer.from(response) };
  };
}

async function collect(read: ReadCopy, ids: readonly string[]): Promise<Map<string, string>> {
  const documents = new Map<string, string>();
  for await (const { records } of readPages(read, SHARD, ids))
    for (const { id, document } of records) documents.set(id, JSON.parse(document.toString()) as string);
  return documents;
}

test('reads the ids in the order of the node, escaped ones too', async () => {
  const ids = Array.from({ length: 10_000 }, (_, index) => `r${9_999 - index}`);
  ids.push('quote " backslash \\ comma , bracket ] é 💡 \u0001', '');
  const documents = new Map(ids.map((id) => [id, '']));
  expect(await readIds(nodeWith(documents), SHARD)).toEqual(ids);
  expect(await readIds(nodeWith(new Map()), SHARD)).toEqual([]);
});

test('reads the ids from an offset on', async () => {
  const asked: string[] = [];
  const read: ReadCopy = async ({ body }) => {
    asked.push(String(body));
    return { status: 200, body: Buffer.from('{"ids":["c"]}') };
  };
  expect(await readIds(read, SHARD, 2)).toEqual(['c']);
  expect(JSON.parse(asked[0]!)).toMatchObject({ offset: 2, limit: 1_000_000_000 });
});

test('lets the event loop continue while it decodes ids', async () => {
  const body = Buffer.from(JSON.stringify({ ids: Array.from({ length: 100_000 }, (_, n) => `r${n}`) }));
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  count();
  expect(await idsIn(body)).toHaveLength(100_000);
  isDone = true;
  expect(turns).toBeGreaterThan(20);
});

test('reads the ids of large shards one shard at a time, and of small ones at once', async () => {
  let reading = 0;
  let most = 0;
  const readOf = (isLarge: boolean): ReadCopy => {
    return async ({ responseBytesMax }) => {
      if (isLarge && responseBytesMax < 100 * 1024 * 1024)
        throw new NodeError('too_large', 'the response is too large', { sent: true });
      most = Math.max(most, ++reading);
      await new Promise(setImmediate);
      reading -= 1;
      return { status: 200, body: Buffer.from('{"ids":["a"]}') };
    };
  };
  const three = (isLarge: boolean) => Promise.all([1, 2, 3].map(() => readIds(readOf(isLarge), SHARD)));
  expect([await three(true), most]).toEqual([[['a'], ['a'], ['a']], 1]);
  await three(false);
  expect(most).toBe(3);
});

test('reads every record once, and leaves out missing ids', async () => {
  const ids = Array.from({ length: 5_000 }, (_, index) => `r${index}`);
  const documents = new Map(ids.map((id, index) => [id, `document ${index}`]));
  documents.delete('r17');
  const asked: string[][] = [];
  expect(await collect(nodeWith(documents, asked), ids)).toEqual(documents);
  expect(asked.flat()).toEqual(ids);
  expect(Math.max(...asked.map(({ length }) => length))).toBeLessThanOrEqual(1_024);
});

test('keeps pages of large and of unexpectedly large records small', async () => {
  const ids = Array.from({ length: 400 }, (_, index) => `r${index}`);
  // The second half is a thousand times larger than what the first pages show.
  const documents = new Map(ids.map((id, index) => [id, 'x'.repeat(index < 200 ? 100 : 200_000)]));
  const asked: string[][] = [];
  expect(await collect(nodeWith(documents, asked), ids)).toEqual(documents);
  const large = asked.slice(-20).map(({ length }) => length);
  expect(Math.max(...large)).toBeLessThanOrEqual(5);
});

test('reads one record that is larger than a page', async () => {
  const documents = new Map([
    ['large', 'x'.repeat(20 * 1024 * 1024)],
    ['small', 'x'],
  ]);
  expect(await collect(nodeWith(documents), ['large', 'small'])).toEqual(documents);
});

test('returns each column as the text of the node', async () => {
  const body =
    '{"ids":["a"],"embeddings":[[1.0,-0.25]],"documents":["1,2]"],"uris":[null],' +
    '"metadatas":[{"n":1.0,"big":9007199254740993}],"include":["documents"]}';
  for await (const { records } of readPages(async () => ({ status: 200, body: Buffer.from(body) }), SHARD, [
    'a',
  ]))
    expect(
      records.map(({ embedding, document, uri, metadata }) =>
        [embedding, document, uri, metadata].map(String),
      ),
    ).toEqual([['[1.0,-0.25]', '"1,2]"', 'null', '{"n":1.0,"big":9007199254740993}']]);
});

test.each([
  ['an error', 500, '{"error":"InternalError","message":"Error finding id"}'],
  ['another body', 200, '[]'],
  [
    'a column of another length',
    200,
    '{"ids":["a"],"embeddings":[],"documents":[null],"uris":[null],"metadatas":[null]}',
  ],
])('throws when the node responds with %s', async (_what, status, text) => {
  const read: ReadCopy = async () => ({ status, body: Buffer.from(text) });
  await expect(readPages(read, SHARD, ['a']).next()).rejects.toBeInstanceOf(CopyUnreadable);
  if (!text.startsWith('{"ids"')) await expect(readIds(read, SHARD)).rejects.toBeInstanceOf(CopyUnreadable);
});

test('does not let one page of tiny records make the next one arbitrarily large', () => {
  const sizes = new PageSizes();
  const ids = Array.from({ length: 10_000 }, (_, index) => `r${index}`);
  const empty = Buffer.from('null');
  const first = sizes.page(ids, 0);
  sizes.observe(first.map((id) => ({ id, embedding: empty, document: empty, uri: empty, metadata: empty })));
  expect(sizes.page(ids, first.length).length).toBeLessThanOrEqual(4 * first.length);
});

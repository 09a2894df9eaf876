import { describe, expect, test } from 'vitest';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { ReadRequest } from '../chroma/client/node-request.ts';
import type { Entry } from '../log/entry.ts';
import { traceOf } from './entry-trace.ts';

const SHARD = { physical: 'p', tenant: 't', database: 'd', name: 'n', fromLSN: 0, copy: 0, suspect: null };

interface Stored {
  readonly document: string | null;
  readonly embedding: readonly number[];
  readonly uri?: string;
  readonly metadata?: object;
}

type Content = Readonly<Record<string, Stored>>;

function clientOf(stored: Content, status = 200): NodeClient {
  const read = async ({ body }: ReadRequest) => {
    const { ids } = JSON.parse(String(body)) as { ids: string[] };
    const found = ids.filter((id) => id in stored);
    const column = (of: (record: Stored) => unknown): unknown[] => found.map((id) => of(stored[id]!) ?? null);
    const columns = {
      ids: found,
      embeddings: column(({ embedding }) => embedding),
      documents: column(({ document }) => document),
      uris: column(({ uri }) => uri),
      metadatas: column(({ metadata }) => metadata),
    };
    return { status, headers: {}, body: Buffer.from(JSON.stringify(columns)) };
  };
  return { read } as unknown as NodeClient;
}

const entry = (kind: string, body: object): Entry => ({
  lsn: 7,
  kind,
  target: 's',
  header: '{}',
  body: Buffer.from(JSON.stringify(body)),
  batch: 't',
  appendedAt: 0,
});

const OLD: Stored = { document: 'old', embedding: [9] };
const WHOLE = { a: { document: 'one', embedding: [1] }, b: { document: 'two', embedding: [2] } };
const TWO = { ids: ['a', 'b'], embeddings: [[1], [2]], documents: ['one', 'two'] };
const TAGGED = { ids: ['a'], embeddings: [[1]], metadatas: [{ n: 1, gone: null }] };

const trace = (kind: string, body: object, stored: Content): Promise<string> =>
  traceOf(clientOf(stored), SHARD, entry(kind, body));

describe('the trace of an entry', () => {
  test.each<readonly [string, string, object, Content, string]>([
    ['whole when the node has every record of an upsert', 'upsert', TWO, WHOLE, 'whole'],
    ['none when it lacks one', 'upsert', TWO, { a: WHOLE.a }, 'none'],
    ['none when one has other content', 'upsert', TWO, { ...WHOLE, b: OLD }, 'none'],
    ['whole when an add passed over one of its records', 'add', TWO, { ...WHOLE, b: OLD }, 'whole'],
    ['none when an add had no effect, because its records exist', 'add', TWO, { a: OLD, b: OLD }, 'none'],
    ['whole when an update passed over a missing record', 'update', TWO, { a: WHOLE.a }, 'whole'],
    ['none when an update had no effect, because its records are missing', 'update', TWO, {}, 'none'],
    [
      'whole when the metadata is there too',
      'upsert',
      TAGGED,
      { a: { ...WHOLE.a, metadata: { n: 1, k: 2 } } },
      'whole',
    ],
    ['none when a value differs', 'upsert', TAGGED, { a: { ...WHOLE.a, metadata: { n: 2 } } }, 'none'],
    [
      'none when a removed key is there',
      'upsert',
      TAGGED,
      { a: { ...WHOLE.a, metadata: { n: 1, gone: 1 } } },
      'none',
    ],
    ['none when the URI differs', 'update', { ids: ['a'], uris: ['u'] }, { a: { ...OLD, uri: 'v' } }, 'none'],
    ['whole when no record of a delete exists', 'delete', { ids: ['a', 'b'] }, {}, 'whole'],
    ['none when a record of a delete exists', 'delete', { ids: ['a', 'b'] }, { b: OLD }, 'none'],
    ['unknown for a conditional delete', 'delete', { where: { n: 1 } }, {}, 'unknown'],
  ])('is %s', async (_when, kind, body, stored, expected) => {
    expect(await trace(kind, body, stored)).toBe(expected);
  });

  test('is whole when an id repeats far apart and the node has the last of its contents', async () => {
    const ids = ['a', ...Array.from({ length: 3_000 }, (_, n) => `i${n}`), 'a'];
    const body = { ids, embeddings: ids.map((_, n) => [n]) };
    const stored = Object.fromEntries(
      ids.map((id, n): [string, Stored] => [id, { document: null, embedding: [n] }]),
    );
    expect(await trace('upsert', body, stored)).toBe('whole');
  });

  test('is unknown when the node does not show its records', async () => {
    expect(await traceOf(clientOf(WHOLE, 500), SHARD, entry('upsert', TWO))).toBe('unknown');
  });
});

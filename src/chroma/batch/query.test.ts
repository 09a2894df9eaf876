import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { splitQueryResponse } from './query-response.ts';
import { mergeQueryCalls, scanQueryCall, type QueryCall } from './query-call.ts';

const scan = (body: object | string): QueryCall | null =>
  scanQueryCall(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));

describe('a query', () => {
  test('is scanned into its vectors and the rest', () => {
    const call = scan('{"n_results": 3,"query_embeddings":[[1,2.50],[3,4]],"include":["embeddings"]}')!;
    expect(call).toMatchObject({ count: 2, dimension: 2, rowsPerVector: 3, withEmbeddings: true });
    expect(call.body.toString('utf8', call.vectors.start, call.vectors.end)).toBe('[1,2.50],[3,4]');
  });

  test.each([
    ['no vectors', { n_results: 3 }],
    ['null vectors', { query_embeddings: null }],
    ['vectors of two lengths', { query_embeddings: [[1], [1, 2]] }],
    ['an empty vector', { query_embeddings: [[]] }],
    ['no vector at all', { query_embeddings: [] }],
    ['n_results 0', { query_embeddings: [[1]], n_results: 0 }],
    ['n_results of another type', { query_embeddings: [[1]], n_results: '3' }],
    ['a field given twice', '{"query_embeddings":[[1]],"where":null,"where":null}'],
    ['no JSON', '{"query_embeddings":[[1]]'],
  ])('not when it has %s', (_name, body) => {
    expect(scan(body)).toBeNull();
  });

  test('has another key when more than the vectors differ', () => {
    const key = (body: object): string => scan(body)!.key;
    const one = key({ query_embeddings: [[1, 2]], where: { a: 1 } });
    expect(key({ query_embeddings: [[3, 4]], where: { a: 1 } })).toBe(one);
    expect(key({ query_embeddings: [[1, 2]], where: { a: 2 } })).not.toBe(one);
    expect(key({ where: { a: 1 }, query_embeddings: [[1, 2]] })).not.toBe(one);
  });

  test('is merged with others byte for byte', () => {
    const calls = ['[[1.0,2]]', '[[3,4],[5,6]]'].map((text) =>
      scan(`{"query_embeddings":${text},"n_results":2}`)!,
    );
    expect(Buffer.concat(mergeQueryCalls(calls)).toString()).toBe(
      '{"query_embeddings":[[1.0,2],[3,4],[5,6]],"n_results":2}',
    );
  });
});

describe('the response to a merged query', () => {
  const text = fc.string({ unit: 'binary' });
  const row = fc.record({
    ids: text,
    documents: fc.option(text),
    metadatas: fc.option(fc.dictionary(text, fc.oneof(text, fc.integer(), fc.boolean()))),
    distances: fc.double({ noNaN: true, noDefaultInfinity: true }),
  });
  const COLUMNS = ['ids', 'documents', 'metadatas', 'distances'] as const;

  test('is split into the responses to the separate queries', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.array(row), { minLength: 1, maxLength: 3 }), { minLength: 1 }),
        (members) => {
          const responseTo = (vectors: (typeof members)[number]): Buffer => {
            const columns = COLUMNS.map((name) => [
              name,
              vectors.map((rows) => rows.map((one) => one[name])),
            ]);
            const include = ['documents', 'metadatas', 'distances'];
            return Buffer.from(
              JSON.stringify({ ...Object.fromEntries(columns), embeddings: null, uris: null, include }),
            );
          };
          const split = splitQueryResponse(
            responseTo(members.flat()),
            members.map((vectors) => vectors.length),
          );
          expect(split?.map(String)).toEqual(members.map((vectors) => responseTo(vectors).toString()));
        },
      ),
    );
  });

  test.each([
    '',
    '[]',
    '{"ids":[["a"]]',
    '{"ids":[["a"],["b"]],"include":[]}',
    '{"error":"x","message":"y"}x',
  ])('not when it is of another shape: %s', (body) => {
    expect(splitQueryResponse(Buffer.from(body), [1])).toBeNull();
  });
});

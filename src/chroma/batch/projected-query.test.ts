import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  completeResponses,
  completedBytes,
  projectQuery,
  queryRows,
  recordsInQueryResponse,
  recordsInGetResponse,
  type ProjectedQuery,
  type RecordColumn,
} from './projected-query.ts';
import { mergeQueryCalls, scanQueryCall } from './query-call.ts';

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '"', '\\', '\\"', '\u0000', '],[', '{"ids":[["a"]]}', '𝄞', 'é', '\u2028', 'null'),
);
const row = fc.record({
  ids: text,
  documents: fc.option(text),
  metadatas: fc.option(fc.dictionary(text, fc.oneof(text, fc.integer(), fc.double(), fc.boolean()))),
  distances: fc.double({ noNaN: true, noDefaultInfinity: true }),
});
type Row = typeof row extends fc.Arbitrary<infer T> ? T : never;

const COLUMNS = ['ids', 'documents', 'metadatas', 'distances'] as const;

/** A server's response: rows for each vector, with the requested columns. */
function responseOf(vectors: readonly (readonly Row[])[], include: readonly string[]): Buffer {
  const column = (name: (typeof COLUMNS)[number]): unknown =>
    name === 'ids' || include.includes(name) ? vectors.map((rows) => rows.map((one) => one[name])) : null;
  const columns = COLUMNS.map((name) => [name, column(name)] as const);
  return Buffer.from(
    JSON.stringify({ ...Object.fromEntries(columns), embeddings: null, uris: null, include }),
  );
}

const vectorsOf = fc.array(fc.array(row, { maxLength: 6 }), { minLength: 1, maxLength: 3 });
const wantedOf = fc.subarray<RecordColumn>(['documents', 'metadatas'], { minLength: 1 });

describe('a completed response', () => {
  test('equals the full response to each member, byte for byte', () => {
    fc.assert(
      fc.property(
        fc.array(vectorsOf, { minLength: 1, maxLength: 4 }),
        wantedOf,
        fc.boolean(),
        (members, wanted, distances) => {
          const rest = distances ? ['distances'] : [];
          const vectors = members.flat();
          const full = queryRows(responseOf(vectors, [...wanted, ...rest]), vectors.length)!;
          const projected = queryRows(responseOf(vectors, rest), vectors.length)!;
          expect(projected.ids).toEqual(vectors.map((rows) => rows.map(({ ids }) => ids)));
          const completion = {
            counts: members.map(({ length }) => length),
            texts: recordsInQueryResponse(full)!,
            wanted,
            include: full.include,
          };
          const responses = completeResponses(projected, completion)!;
          expect(responses.map(String)).toEqual(
            members.map((own) => responseOf(own, [...wanted, ...rest]).toString()),
          );
          const bytes = responses.reduce((sum, { length }) => sum + length, 0);
          // All members share the frames of the projected response's columns.
          expect(completedBytes(projected, completion)).toBeGreaterThan(bytes / (members.length + 1) - 200);
        },
      ),
    );
  });

  test('is the same with records from the response to a get', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(row, { selector: ({ ids }) => ids, minLength: 1, maxLength: 8 }),
        wantedOf,
        (rows, wanted) => {
          const got = {
            ids: rows.map(({ ids }) => ids),
            embeddings: null,
            documents: wanted.includes('documents') ? rows.map(({ documents }) => documents) : null,
            metadatas: wanted.includes('metadatas') ? rows.map(({ metadatas }) => metadatas) : null,
            include: wanted,
          };
          const full = queryRows(responseOf([rows], wanted), 1)!;
          expect(recordsInGetResponse(Buffer.from(JSON.stringify(got)))).toEqual(
            recordsInQueryResponse(full),
          );
        },
      ),
    );
  });

  test('is null when the projected response lacks a column', () => {
    const projected = queryRows(Buffer.from('{"ids":[["a"]],"metadatas":null,"include":[]}'), 1)!;
    const texts = [{ documents: '"x"' }];
    const completion = { counts: [1], texts, wanted: ['documents'] as const, include: '["documents"]' };
    expect(completeResponses(projected, completion)).toBeNull();
  });
});

describe('responses of another shape are not read', () => {
  test.each([
    ['no object', '[]', 1],
    ['no ids', '{"documents":[["x"]],"include":[]}', 1],
    ['no include', '{"ids":[["a"]]}', 1],
    ['rows for another number of vectors', '{"ids":[["a"]],"include":[]}', 2],
    ['an error', '{"error":"InternalError","message":"x"}', 1],
    ['cut short', '{"ids":[["a"]],"include":[]', 1],
  ])('%s', (_name, response, vectors) => {
    expect(queryRows(Buffer.from(response), vectors)).toBeNull();
  });

  test('columns of other lengths than the ids', () => {
    const odd = '{"ids":[["a","b"]],"documents":[["x"]],"include":["documents"]}';
    expect(recordsInQueryResponse(queryRows(Buffer.from(odd), 1)!)).toBeNull();
    expect(recordsInGetResponse(Buffer.from('{"ids":["a","b"],"documents":["x"]}'))).toBeNull();
    expect(recordsInGetResponse(Buffer.from('{"error":"x"}'))).toBeNull();
  });
});

describe('projecting a query', () => {
  const projected = (body: string): ProjectedQuery | null => projectQuery(scanQueryCall(Buffer.from(body))!);
  const projectedBody = (body: string): string => {
    const call = scanQueryCall(Buffer.from(body))!;
    return Buffer.concat(mergeQueryCalls([call, call], projectQuery(call)!)).toString();
  };

  test.each([
    // Absent: a server includes metadatas, documents and distances.
    ['{"query_embeddings":[[1]]}', '{"query_embeddings":[[1],[1]],"include":["distances"]}'],
    ['{"query_embeddings":[[1]] } \n', '{"query_embeddings":[[1],[1]] ,"include":["distances"]} \n'],
    [
      '{"where":{"a":"}"},"query_embeddings":[[1]]}',
      '{"where":{"a":"}"},"query_embeddings":[[1],[1]],"include":["distances"]}',
    ],
    [
      '{"query_embeddings":[[1]],"where":{"a":"}"}}',
      '{"query_embeddings":[[1],[1]],"where":{"a":"}"},"include":["distances"]}',
    ],
    // Before the vectors, and after them.
    [
      '{"include":["documents","distances"], "query_embeddings":[[1]]}',
      '{"include":["distances"], "query_embeddings":[[1],[1]]}',
    ],
    [
      '{"query_embeddings" : [ [1.0] ],"include" : [ "metadatas" ] ,"n_results":3}',
      '{"query_embeddings" : [ [1.0] , [1.0] ],"include" : [] ,"n_results":3}',
    ],
    [
      '{"query_embeddings":[[1]],"include":["docum\\u0065nts"]}',
      '{"query_embeddings":[[1],[1]],"include":[]}',
    ],
    [
      '{"query_embeddings":[[1]],"include":["documents","documents","distances"]}',
      '{"query_embeddings":[[1],[1]],"include":["distances"]}',
    ],
  ])('%s', (body, expected) => {
    expect(projectedBody(body).replaceAll('] ,[', '] , [')).toBe(expected.replaceAll('] ,[', '] , ['));
  });

  test.each([
    ['null', 'null'],
    ['empty', '[]'],
    ['only distances', '["distances"]'],
    ['embeddings', '["documents","embeddings"]'],
    ['uris', '["documents","uris"]'],
    ['something unknown', '["documents","nonesuch"]'],
    ['something that is no name', '["documents",1]'],
    ['no list', '"documents"'],
  ])('but not when include is %s', (_name, include) => {
    expect(projected(`{"query_embeddings":[[1]],"include":${include}}`)).toBeNull();
  });

  test('keeps the requested columns', () => {
    expect(projected('{"query_embeddings":[[1]]}')).toMatchObject({
      columns: ['documents', 'metadatas'],
      include: '["metadatas","documents","distances"]',
    });
    expect(projected('{"query_embeddings":[[1]],"include":[ "documents"]}')).toMatchObject({
      columns: ['documents'],
      include: '[ "documents"]',
    });
  });
});

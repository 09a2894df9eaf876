import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  completeAnswers,
  completedBytes,
  leanQuery,
  queryRows,
  recordsFound,
  recordsGot,
  type LeanQuery,
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

/** A server's answer: rows for each vector, with the columns asked for. */
function answerOf(vectors: readonly (readonly Row[])[], include: readonly string[]): Buffer {
  const column = (name: (typeof COLUMNS)[number]): unknown =>
    name === 'ids' || include.includes(name) ? vectors.map((rows) => rows.map((one) => one[name])) : null;
  const columns = COLUMNS.map((name) => [name, column(name)] as const);
  return Buffer.from(
    JSON.stringify({ ...Object.fromEntries(columns), embeddings: null, uris: null, include }),
  );
}

const vectorsOf = fc.array(fc.array(row, { maxLength: 6 }), { minLength: 1, maxLength: 3 });
const wantedOf = fc.subarray<RecordColumn>(['documents', 'metadatas'], { minLength: 1 });

describe('a lean answer, completed,', () => {
  test('is the full answer of each who asked, byte for byte', () => {
    fc.assert(
      fc.property(
        fc.array(vectorsOf, { minLength: 1, maxLength: 4 }),
        wantedOf,
        fc.boolean(),
        (members, wanted, distances) => {
          const rest = distances ? ['distances'] : [];
          const vectors = members.flat();
          const full = queryRows(answerOf(vectors, [...wanted, ...rest]), vectors.length)!;
          const lean = queryRows(answerOf(vectors, rest), vectors.length)!;
          expect(lean.ids).toEqual(vectors.map((rows) => rows.map(({ ids }) => ids)));
          const completion = {
            counts: members.map(({ length }) => length),
            texts: recordsFound(full)!,
            wanted,
            include: full.include,
          };
          const answers = completeAnswers(lean, completion)!;
          expect(answers.map(String)).toEqual(
            members.map((own) => answerOf(own, [...wanted, ...rest]).toString()),
          );
          const bytes = answers.reduce((sum, { length }) => sum + length, 0);
          // The columns' frames are shared by all members of the lean answer.
          expect(completedBytes(lean, completion)).toBeGreaterThan(bytes / (members.length + 1) - 200);
        },
      ),
    );
  });

  test('is the same with what a get says of the records', () => {
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
          const full = queryRows(answerOf([rows], wanted), 1)!;
          expect(recordsGot(Buffer.from(JSON.stringify(got)))).toEqual(recordsFound(full));
        },
      ),
    );
  });

  test('is not made when the lean answer has no place for a column', () => {
    const lean = queryRows(Buffer.from('{"ids":[["a"]],"metadatas":null,"include":[]}'), 1)!;
    const texts = [{ documents: '"x"' }];
    const completion = { counts: [1], texts, wanted: ['documents'] as const, include: '["documents"]' };
    expect(completeAnswers(lean, completion)).toBeNull();
  });
});

describe('answers of another shape are not taken apart', () => {
  test.each([
    ['no object', '[]', 1],
    ['no ids', '{"documents":[["x"]],"include":[]}', 1],
    ['no include', '{"ids":[["a"]]}', 1],
    ['rows for another number of vectors', '{"ids":[["a"]],"include":[]}', 2],
    ['an error', '{"error":"InternalError","message":"x"}', 1],
    ['cut short', '{"ids":[["a"]],"include":[]', 1],
  ])('%s', (_name, answer, vectors) => {
    expect(queryRows(Buffer.from(answer), vectors)).toBeNull();
  });

  test('columns of other lengths than the ids', () => {
    const odd = '{"ids":[["a","b"]],"documents":[["x"]],"include":["documents"]}';
    expect(recordsFound(queryRows(Buffer.from(odd), 1)!)).toBeNull();
    expect(recordsGot(Buffer.from('{"ids":["a","b"],"documents":["x"]}'))).toBeNull();
    expect(recordsGot(Buffer.from('{"error":"x"}'))).toBeNull();
  });
});

describe('a query is asked lean', () => {
  const lean = (body: string): LeanQuery | null => leanQuery(scanQueryCall(Buffer.from(body))!);
  const leanBody = (body: string): string => {
    const call = scanQueryCall(Buffer.from(body))!;
    return Buffer.concat(mergeQueryCalls([call, call], leanQuery(call)!)).toString();
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
    expect(leanBody(body).replaceAll('] ,[', '] , [')).toBe(expected.replaceAll('] ,[', '] , ['));
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
    expect(lean(`{"query_embeddings":[[1]],"include":${include}}`)).toBeNull();
  });

  test('and remembers what was asked', () => {
    expect(lean('{"query_embeddings":[[1]]}')).toMatchObject({
      columns: ['documents', 'metadatas'],
      include: '["metadatas","documents","distances"]',
    });
    expect(lean('{"query_embeddings":[[1]],"include":[ "documents"]}')).toMatchObject({
      columns: ['documents'],
      include: '[ "documents"]',
    });
  });
});

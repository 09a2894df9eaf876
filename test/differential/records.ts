// Operations on records: writes, deletes, reads.

import fc from 'fast-check';
import { type Content, content } from './distort.ts';
import { where, whereDocument } from './filters.ts';
import type { Operation } from './operation.ts';
import {
  array,
  base64Vectors,
  type Fields,
  type JsonText,
  metadata,
  object,
  oddVector,
  queryVector,
  recordId,
  text,
  vector,
} from './values.ts';

/** Where an operation on records goes: everything of the path before the call's name. */
export type CollectionPath = fc.Arbitrary<string>;

type OneRecord = readonly [id: string, vector: string, metadata: string, document: string, uri: string];

const nullable = (value: JsonText): JsonText =>
  fc.oneof({ weight: 4, arbitrary: value }, { weight: 1, arbitrary: fc.constant('null') });

const uri: JsonText = fc.constantFrom('"file:///pear.txt"', '"http://x/?q=1&r=é"', '""', '"no uri"');

const oneRecord: fc.Arbitrary<OneRecord> = fc.tuple(
  recordId,
  fc.oneof({ weight: 40, arbitrary: vector }, { weight: 1, arbitrary: oddVector }),
  nullable(metadata),
  nullable(text),
  nullable(uri),
);

interface Columns {
  readonly embeddings: 'present' | 'null' | 'absent';
  readonly metadatas: boolean;
  readonly documents: boolean;
  readonly uris: boolean;
}

function columns(embeddingsOptional: boolean): fc.Arbitrary<Columns> {
  const rare = embeddingsOptional ? 4 : 0;
  return fc.record({
    embeddings: fc.oneof(
      { weight: 30, arbitrary: fc.constant('present' as const) },
      { weight: 1 + rare, arbitrary: fc.constant('null' as const) },
      { weight: 1 + rare * 2, arbitrary: fc.constant('absent' as const) },
    ),
    metadatas: fc.boolean(),
    documents: fc.boolean(),
    uris: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  });
}

function toFields(records: readonly OneRecord[], present: Columns): Fields {
  const column = (index: number): string => array(records.map((record) => record[index] ?? 'null'));
  const fields: [string, string][] = [['ids', column(0)]];
  if (present.embeddings !== 'absent') {
    fields.push(['embeddings', present.embeddings === 'null' ? 'null' : column(1)]);
  }
  if (present.metadatas) fields.push(['metadatas', column(2)]);
  if (present.documents) fields.push(['documents', column(3)]);
  if (present.uris) fields.push(['uris', column(4)]);
  return fields;
}

function write(kind: 'add' | 'upsert' | 'update'): fc.Arbitrary<Content> {
  const records = fc.array(oneRecord, { minLength: 0, maxLength: 5, size: 'max' });
  const plain = fc
    .tuple(records, columns(kind === 'update'))
    .map(([list, present]) => toFields(list, present));
  const encoded = fc
    .tuple(fc.uniqueArray(recordId, { minLength: 2, maxLength: 2 }), base64Vectors(2))
    .map(([ids, vectors]): Fields => [
      ['ids', array(ids)],
      ['embeddings', vectors],
    ]);
  return content(fc.oneof({ weight: 14, arbitrary: plain }, { weight: 1, arbitrary: encoded }));
}

/** A field that is absent, given, or null; `present` out of ten times given. */
function optional(name: string, value: JsonText, present: number): fc.Arbitrary<Fields> {
  return fc.oneof(
    { weight: Math.round(100 - 10 * present), arbitrary: fc.constant<Fields>([]) },
    { weight: Math.round(10 * present), arbitrary: value.map((given): Fields => [[name, given]]) },
    { weight: 5, arbitrary: fc.constant<Fields>([[name, 'null']]) },
  );
}

const joinedFields = (...parts: fc.Arbitrary<Fields>[]): fc.Arbitrary<Fields> =>
  fc.tuple(...parts).map((lists) => lists.flat());

const ids: JsonText = fc.array(recordId, { minLength: 0, maxLength: 4 }).map(array);
const small: JsonText = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('0', '1', '2', '3', '5', '100') },
  { weight: 1, arbitrary: fc.constantFrom('-1', '1.5', '1.0', '"1"', '4294967295', '4294967296', '1e1') },
);
const includeItem: JsonText = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom('"embeddings"', '"documents"', '"metadatas"', '"uris"', '"distances"'),
  },
  { weight: 1, arbitrary: fc.constantFrom('"data"', '"ids"', '""', 'null', '"Documents"', '1') },
);
const include: JsonText = fc.array(includeItem, { maxLength: 5, size: 'max' }).map(array);

const deletion = joinedFields(
  optional('ids', ids, 6),
  optional('where', where, 3),
  optional('where_document', whereDocument, 2),
  optional('limit', small, 1),
);

const reading = joinedFields(
  optional('ids', ids, 2),
  optional('where', where, 3),
  optional('where_document', whereDocument, 3),
  optional('limit', small, 2),
  optional('offset', small, 2),
  optional('include', include, 6),
);

// Below 40,000: a server builds what it is asked for, and above 32,766 rows some fail (docs/chroma-behaviour.md#order-and-scanning).
const resultCount: JsonText = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('1', '2', '3', '10') },
  { weight: 1, arbitrary: fc.constantFrom('0', '30000', '-1', '1.5', '"1"', '18446744073709551616') },
);
// To a vector beyond 32-bit floats all records are equally far, and come in any order.
const oddQueryVector = oddVector.filter((given) => !/e3[89]/.test(given));
const queryVectors: JsonText = fc.oneof(
  { weight: 10, arbitrary: fc.array(queryVector, { minLength: 1, maxLength: 3 }).map(array) },
  { weight: 1, arbitrary: fc.array(oddQueryVector, { minLength: 0, maxLength: 2 }).map(array) },
);
const query = joinedFields(
  queryVectors.map((given): Fields => [['query_embeddings', given]]),
  optional('n_results', resultCount, 7),
  optional('ids', ids, 1),
  optional('where', where, 3),
  optional('where_document', whereDocument, 2),
  optional('include', include, 6),
);

/** Operations on the records of a collection found at one of `paths`. */
export function recordOperation(paths: CollectionPath): fc.Arbitrary<Operation> {
  const post = (action: string, body: fc.Arbitrary<Content>): fc.Arbitrary<Operation> =>
    fc
      .tuple(paths, body)
      .map(([path, given]) => ({ action, method: 'POST', path: `${path}/${action}`, ...given }));
  const count = paths.map((path): Operation => ({ action: 'count', method: 'GET', path: `${path}/count` }));
  const everything = paths.map((path): Operation => ({
    action: 'get',
    method: 'POST',
    path: `${path}/get`,
    body: '{"include":["embeddings","documents","metadatas","uris"]}',
  }));
  return fc.oneof(
    { weight: 7, arbitrary: post('add', write('add')) },
    { weight: 7, arbitrary: post('upsert', write('upsert')) },
    { weight: 6, arbitrary: post('update', write('update')) },
    { weight: 5, arbitrary: post('delete', content(deletion)) },
    { weight: 6, arbitrary: post('get', content(reading)) },
    { weight: 6, arbitrary: everything },
    { weight: 8, arbitrary: post('query', content(query)) },
    { weight: 3, arbitrary: count },
  );
}

/** A plain first write, so that what follows has something to meet. */
export function firstWrite(path: string): fc.Arbitrary<Operation> {
  const record = fc.tuple(recordId, vector, metadata, text, uri);
  const all: Columns = { embeddings: 'present', metadatas: true, documents: true, uris: false };
  return fc.array(record, { minLength: 1, maxLength: 5, size: 'max' }).map((records) => ({
    action: 'add',
    method: 'POST',
    path: `${path}/add`,
    body: object(toFields(records, all)),
  }));
}

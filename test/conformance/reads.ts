// Filters, columns and nearest neighbours.

import { adds, answers, finds, invalid, misshapen, records, refuses, behaviour } from './steps.ts';
import { NO_SUCH_ID, type Behaviour, type ConversationStep } from './subject.ts';

const FIVE =
  '{"ids":["1","2","3","4","5"],"embeddings":[[1],[2],[3],[4],[5]],"metadatas":[{"i":1,"s":"a"},{"i":2,"f":1.5},{"f":2.0,"b":true},{"s":"b","b":false},null],"documents":["red Pear","green pear","a%b",null,"x_y"]}';
const where = (clause: string, ...ids: string[]): ConversationStep => finds(`"where":${clause}`, ids);
const document = (clause: string, ...ids: string[]): ConversationStep =>
  finds(`"where_document":${clause}`, ids);

export const READS: readonly Behaviour[] = [
  behaviour(
    'compares metadata by value; a record without the key differs from every value',
    adds(FIVE),
    where('{"i":1}', '1'),
    where('{"i":1.0}', '1'),
    where('{"f":2}', '3'),
    where('{"s":"b"}', '4'),
    where('{"b":true}', '3'),
    where('{"b":1}'),
    where('{"i":{"$eq":"x"}}'),
    where('{"i":{"$ne":1}}', '2', '3', '4', '5'),
    where('{"b":{"$ne":true}}', '1', '2', '4', '5'),
    where('{"nokey":{"$ne":1}}', '1', '2', '3', '4', '5'),
    where('{"i":{"$gt":1}}', '2'),
    where('{"i":{"$gt":0.5}}', '1', '2'),
    where('{"f":{"$gte":2}}', '3'),
    where('{"f":{"$lt":2.5}}', '2', '3'),
    where('{"i":{"$lte":1}}', '1'),
    where('{"i":{"$in":[1,3]}}', '1'),
    where('{"s":{"$in":["a","b"]}}', '1', '4'),
    where('{"b":{"$in":[true]}}', '3'),
    where('{"i":{"$nin":[1]}}', '2', '3', '4', '5'),
    where('{"$and":[{"i":1},{"s":"a"}]}', '1'),
    where('{"$or":[{"i":{"$gt":1}},{"$and":[{"s":"a"},{"i":1}]}]}', '1', '2'),
    where('{"$and":[]}', '1', '2', '3', '4', '5'),
    where('{"$or":[]}'),
  ),
  behaviour(
    'accepts one condition of a known kind in where',
    ...[
      '{}',
      '"x"',
      '[]',
      '{"i":1,"s":"a"}',
      '{"i":{"$gt":0,"$lt":2}}',
      '{"i":{"$foo":1}}',
      '{"i":null}',
      '{"i":[1]}',
      '{"i":{}}',
      '{"i":{"$gt":true}}',
      '{"s":{"$gt":"a"}}',
      '{"i":{"$in":[]}}',
      '{"i":{"$in":1}}',
      '{"i":{"$in":[1,"a"]}}',
      '{"i":{"$in":[1,2.5]}}',
      '{"$not":{"i":1}}',
      '{"$and":{"i":1}}',
    ].map((clause) => invalid(records('get', `{"where":${clause}}`), 'Invalid where clause')),
  ),
  behaviour(
    'matches text literally in where_document',
    adds(FIVE),
    document('{"$contains":"pear"}', '2'),
    document('{"$contains":"%"}', '3'),
    document('{"$contains":"_"}', '5'),
    document('{"$contains":""}', '1', '2', '3', '5'),
    document('{"$not_contains":"pear"}', '1', '3', '4', '5'),
    document('{"$and":[{"$contains":"r"},{"$not_contains":"P"}]}', '2'),
    document('{"$or":[{"$contains":"red"},{"$contains":"x"}]}', '1', '5'),
    ...['{}', '{"$foo":"x"}', '{"$contains":1}', '{"$contains":"a","$not_contains":"b"}'].map((clause) =>
      invalid(records('get', `{"where_document":${clause}}`), 'Invalid where document clause'),
    ),
  ),
  behaviour(
    'returns the included columns of a get',
    answers(
      records('get', '{}'),
      '{"ids":[],"embeddings":null,"documents":[],"uris":null,"metadatas":[],"include":["documents","metadatas"]}',
    ),
    adds('{"ids":["a"],"embeddings":[[1,2]],"documents":["x"]}'),
    answers(
      records('get', '{"include":["uris","embeddings"]}'),
      '{"ids":["a"],"embeddings":[[1.0,2.0]],"documents":null,"uris":[null],"metadatas":null,"include":["uris","embeddings"]}',
    ),
    answers(
      records('get', '{"include":["distances"]}'),
      '{"ids":["a"],"embeddings":null,"documents":null,"uris":null,"metadatas":null,"include":["distances"]}',
    ),
    misshapen(records('get', '{"include":["data"]}')),
    misshapen(records('get', '{"include":null}')),
    misshapen(records('get', '{"limit":-1}')),
  ),
  behaviour(
    'returns the nearest records of a query first, by squared distance',
    answers(
      records('query', '{"query_embeddings":[[1,2]]}'),
      '{"ids":[[]],"embeddings":null,"documents":[[]],"uris":null,"metadatas":[[]],"distances":[[]],"include":["documents","metadatas","distances"]}',
    ),
    adds(
      '{"ids":["a","b","c"],"embeddings":[[1,1],[3,4],[5.5,6.25]],"documents":["x",null,"y"],"metadatas":[null,{"k":1},{"k":1}],"uris":["u",null,null]}',
    ),
    answers(
      records('query', '{"query_embeddings":[[1,2],[5,6]],"n_results":2}'),
      '{"ids":[["a","b"],["c","b"]],"embeddings":null,"documents":[["x",null],["y",null]],"uris":null,"metadatas":[[{},{"k":1}],[{"k":1},{"k":1}]],"distances":[[1.0,8.0],[0.3125,8.0]],"include":["documents","metadatas","distances"]}',
    ),
    answers(
      records('query', '{"query_embeddings":[[1,2]],"n_results":1,"include":["embeddings","uris"]}'),
      '{"ids":[["a"]],"embeddings":[[[1.0,1.0]]],"documents":null,"uris":[["u"]],"metadatas":null,"distances":null,"include":["embeddings","uris"]}',
    ),
    answers(
      records('query', '{"query_embeddings":[[1,2]],"where":{"k":1},"include":[]}'),
      '{"ids":[["b","c"]],"embeddings":null,"documents":null,"uris":null,"metadatas":null,"distances":null,"include":[]}',
    ),
    answers(
      records('query', '{"query_embeddings":[[1,2]],"ids":["c"],"include":[]}'),
      '{"ids":[["c"]],"embeddings":null,"documents":null,"uris":null,"metadatas":null,"distances":null,"include":[]}',
    ),
    answers(
      records('query', '{"query_embeddings":[[1,2]],"n_results":0,"include":[]}'),
      '{"ids":[[]],"embeddings":null,"documents":null,"uris":null,"metadatas":null,"distances":null,"include":[]}',
    ),
    refuses(
      records('query', '{"query_embeddings":[[1,2]],"ids":["nobody"]}'),
      500,
      'InternalError',
      'Error executing plan: Internal error: Error finding id',
    ),
    invalid(
      records('query', '{"query_embeddings":[[1,2,3]]}'),
      'Collection expecting embedding with dimension of 2, got 3',
    ),
    invalid(
      records('query', '{"query_embeddings":[[1,2],[1]]}'),
      'Inconsistent dimensions in provided embeddings',
    ),
    misshapen(records('query', '{}')),
  ),
  behaviour(
    'names a missing collection, and refuses a malformed id',
    ...(['add', 'upsert', 'update', 'get', 'query', 'delete', 'count'] as const).flatMap((action) => {
      const body =
        action === 'count' ? undefined : '{"ids":["a"],"embeddings":[[1]],"query_embeddings":[[1]]}';
      return [
        refuses(
          records(action, body, NO_SUCH_ID),
          404,
          'NotFoundError',
          `Collection [${NO_SUCH_ID}] does not exist`,
        ),
        invalid(records(action, body, 'no-uuid'), 'Collection ID is not a valid UUIDv4'),
      ];
    }),
  ),
];

// Writes of records: their effects, and the ones refused without any effect.

import {
  adds,
  answers,
  counts,
  deletes,
  finds,
  holds,
  invalid,
  misshapen,
  records,
  behaviour,
  updates,
  upserts,
} from './steps.ts';
import { type Behaviour } from './subject.ts';

export const RECORDS: readonly Behaviour[] = [
  behaviour(
    'returns an added record as it was written, number formats included',
    adds(
      '{"ids":["a","b\\u00e9\\ud83c\\udf50"],"embeddings":[[1e2,0.1],[-0.5,3]],"documents":["red pear",null],"uris":[null,"u"],"metadatas":[{"i":1,"f":1.0,"e":1e2,"big":9007199254740993,"min":-9223372036854775808,"t":true,"s":"x","small":0.00001},null]}',
    ),
    holds(
      '["a","bé🍐"]',
      '[[100.0,0.1],[-0.5,3.0]]',
      '["red pear",null]',
      '[null,"u"]',
      '[{"i":1,"f":1.0,"e":100.0,"big":9007199254740993,"min":-9223372036854775808,"t":true,"s":"x","small":0.00001},{}]',
    ),
    counts(2),
  ),
  behaviour(
    'keeps existing records on add, and the first of a repeated id',
    adds('{"ids":["a"],"embeddings":[[1,2]],"documents":["first"]}'),
    adds('{"ids":["a","b","b"],"embeddings":[[9,9],[3,4],[5,6]],"documents":["no","one","two"]}'),
    holds('["a","b"]', '[[1.0,2.0],[3.0,4.0]]', '["first","one"]', '[null,null]', '[null,null]'),
  ),
  behaviour(
    'merges an upsert into existing records, and ends with the last of a repeated id',
    adds('{"ids":["a"],"embeddings":[[1,2]],"documents":["kept"],"metadatas":[{"gone":1,"kept":1}]}'),
    upserts(
      '{"ids":["a","e","e"],"embeddings":[[5,5],[2,2],[3,3]],"metadatas":[{"gone":null,"new":2},{"p":1,"x":1},{"p":2}],"documents":[null,"e1","e2"]}',
    ),
    holds(
      '["a","e"]',
      '[[5.0,5.0],[3.0,3.0]]',
      '["kept","e2"]',
      '[null,null]',
      '[{"kept":1,"new":2},{"p":2,"x":1}]',
    ),
  ),
  behaviour(
    'changes only existing records on update',
    adds('{"ids":["a","b"],"embeddings":[[1,2],[3,4]],"metadatas":[{"k":1},null],"documents":["x",null]}'),
    updates('{"ids":["b","missing"],"documents":["now","no"],"metadatas":[{"k":1.5},{"k":2}]}'),
    updates('{"ids":["a","b"],"embeddings":[[7,8],null],"uris":[null,"u"]}'),
    updates('{"ids":["a"],"documents":[null],"metadatas":[{}]}'),
    holds('["a","b"]', '[[7.0,8.0],[3.0,4.0]]', '["x","now"]', '[null,"u"]', '[{"k":1},{"k":1.5}]'),
    updates('{"ids":["a"],"metadatas":[{"k":null}]}'),
    holds('["a","b"]', '[[7.0,8.0],[3.0,4.0]]', '["x","now"]', '[null,"u"]', '[null,{"k":1.5}]'),
  ),
  behaviour(
    'keeps the order of first insertion; a record deleted and added again comes last',
    adds('{"ids":["c","a","b"],"embeddings":[[1],[2],[3]]}'),
    upserts('{"ids":["b","c"],"embeddings":[[4],[5]]}'),
    finds('', ['c', 'a', 'b']),
    deletes('{"ids":["c","nobody"]}'),
    adds('{"ids":["c"],"embeddings":[[6]]}'),
    finds('', ['a', 'b', 'c']),
    finds('"ids":["c","a","c","nobody"]', ['a', 'c']),
    finds('"ids":[]', []),
    finds('"limit":1,"offset":1', ['b']),
    finds('"limit":0', []),
    finds('"offset":9', []),
    finds('"ids":null,"where":null,"where_document":null,"limit":null,"offset":null', ['a', 'b', 'c']),
  ),
  behaviour(
    'deletes by ids, by filter, and by both',
    adds(
      '{"ids":["a","b","c","d"],"embeddings":[[1],[2],[3],[4]],"metadatas":[{"k":1},{"k":1},{"k":2},null],"documents":[null,null,null,"text"]}',
    ),
    deletes('{}'),
    deletes('{"ids":["a","c"],"where":{"k":1}}'),
    finds('', ['b', 'c', 'd']),
    deletes('{"where_document":{"$contains":"ex"}}'),
    deletes('{"where":{"k":7}}'),
    finds('', ['b', 'c']),
    invalid(
      records('delete', '{"ids":[]}'),
      'Validation error: ids, where: Either ids or where must be specified',
    ),
    invalid(records('delete', '{"where":{}}'), 'Invalid where clause'),
  ),
  {
    name: 'responds to a delete, and obeys its limit, depending on the release',
    async run(conversation) {
      const modern = conversation.capabilities.deleteLimit;
      await conversation.steps(
        adds('{"ids":["a","b"],"embeddings":[[1],[2]],"metadatas":[{"k":1},{"k":1}]}'),
        answers(records('delete', '{"where":{"k":1},"limit":1}'), modern ? '{"deleted":1}' : '{}'),
        finds('', modern ? ['b'] : []),
      );
    },
  },
  behaviour(
    'stores a base64 embedding as its floats',
    adds('{"ids":["a"],"embeddings":["AACAPwAAAEA="]}'),
    holds('["a"]', '[[1.0,2.0]]', '[null]', '[null]', '[null]'),
    misshapen(records('upsert', '{"ids":["a","b"],"embeddings":["AACAPwAAAEA=",[1,2]]}')),
  ),
  behaviour(
    "a text under chroma:document is the document, and Chroma's own keys are not shown",
    adds(
      '{"ids":["a","b"],"embeddings":[[1],[2]],"metadatas":[{"chroma:document":"key","chroma:uri":"u"},{"chroma:document":"key","chroma:other":1,"k":1}],"documents":[null,"given"]}',
    ),
    holds('["a","b"]', '[[1.0],[2.0]]', '["key","given"]', '["u",null]', '[{},{"k":1}]'),
  ),
  behaviour(
    'accepts a call without records',
    adds('{"ids":[],"embeddings":[]}'),
    upserts('{"ids":[],"embeddings":[]}'),
    updates('{"ids":[]}'),
    counts(0),
  ),
];

export const REFUSALS: readonly Behaviour[] = [
  behaviour(
    'refuses a body that is not JSON or malformed, without effect',
    ...(['add', 'upsert', 'update', 'delete', 'get', 'query'] as const).map((action) =>
      invalid(records(action, '{"ids":["a"]'), 'Failed to parse the request body as JSON: '),
    ),
    misshapen(records('add', '{"ids":["a"]}')),
    misshapen(records('add', '{"ids":["a"],"embeddings":null}')),
    misshapen(records('upsert', '{"ids":["a"],"documents":["x"]}')),
    misshapen(records('add', '{"ids":[1],"embeddings":[[1]]}')),
    misshapen(records('add', '{"embeddings":[[1]]}')),
    misshapen(records('add', '{"ids":["a"],"embeddings":[["x"]]}')),
    misshapen(records('add', '{"ids":["a"],"embeddings":[[1]],"metadatas":[{"k":null}]}')),
    misshapen(records('upsert', '{"ids":["a"],"embeddings":[[1]],"metadatas":[{"k":{"n":1}}]}')),
    misshapen(records('delete', '{"ids":"a"}')),
    adds('{"ids":["a"],"embeddings":[[1,2,3]]}'), // none of these fixed the dimension
  ),
  behaviour(
    'refuses an embedding of another dimension without effect',
    adds('{"ids":["a"],"embeddings":[[1,2]]}'),
    ...(['add', 'upsert', 'update'] as const).map((kind) =>
      invalid(
        records(kind, '{"ids":["a"],"embeddings":[[1,2,3]]}'),
        'Collection expecting embedding with dimension of 2, got 3',
      ),
    ),
    invalid(
      records('add', '{"ids":["b","c"],"embeddings":[[1,2],[1]]}'),
      'Inconsistent dimensions in provided embeddings',
    ),
    invalid(
      records('add', '{"ids":["b","c"],"embeddings":[[1,2],[1,2]],"documents":["x"]}'),
      'Inconsistent number of IDs, embeddings, documents, URIs and metadatas',
    ),
    invalid(
      records('update', '{"ids":[""],"documents":["x"]}'),
      'Empty ID, ID must have at least one character',
    ),
    invalid(
      records('upsert', '{"ids":["b"],"embeddings":[[]]}'),
      'Validation error: embeddings: Each embedding must have at least 1 dimension',
    ),
    holds('["a"]', '[[1.0,2.0]]', '[null]', '[null]', '[null]'),
  ),
  behaviour(
    'fixes no dimension when the embeddings of a first call have several',
    invalid(
      records('add', '{"ids":["a","b"],"embeddings":[[1,2,3],[1]]}'),
      'Inconsistent dimensions in provided embeddings',
    ),
    answers(
      records('query', '{"query_embeddings":[[1,2,3,4]],"include":[]}'),
      '{"ids":[[]],"embeddings":null,"documents":null,"uris":null,"metadatas":null,"distances":null,"include":[]}',
    ),
    adds('{"ids":["a"],"embeddings":[[1]]}'),
  ),
  behaviour(
    'fixes the dimension with an update of a missing record',
    updates('{"ids":["nobody"],"embeddings":[[1,2,3]]}'),
    counts(0),
    invalid(
      records('add', '{"ids":["a"],"embeddings":[[1]]}'),
      'Collection expecting embedding with dimension of 3, got 1',
    ),
  ),
];

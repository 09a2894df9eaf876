import { describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../../test/support/capability-levels.ts';
import type { BodyCapabilities, RecordCall, RecordKind } from './record-call.ts';
import { scanRecordCall } from './scanner.ts';
import { isRefusal } from './refusal.ts';

// The capabilities of a 1.0.5 server, and of the newest known.
const MIDDLE: BodyCapabilities = { ...CHROMA_1_0_5, maxBatchSize: 4 };
const NEWEST: BodyCapabilities = { ...MIDDLE, metadataArrays: true, deleteLimit: true };
const OLDEST: BodyCapabilities = { ...MIDDLE, base64Embeddings: false };

function scan(kind: RecordKind, body: string | Buffer, capabilities = MIDDLE) {
  return scanRecordCall(kind, typeof body === 'string' ? Buffer.from(body) : body, capabilities);
}

function accepted(kind: RecordKind, body: string | Buffer, capabilities = MIDDLE): RecordCall {
  const result = scan(kind, body, capabilities);
  if (isRefusal(result)) throw new Error(`${String(body)}: ${result.message}`);
  return result;
}

/** A body of one record with `rest` after its id and embedding. */
function record(rest: string, embedding = '[1,2]'): string {
  return `{"ids":["a"],"embeddings":[${embedding}]${rest === '' ? '' : `,${rest}`}}`;
}

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}

function base64(...floats: number[]): string {
  return JSON.stringify(Buffer.from(new Float32Array(floats).buffer).toString('base64'));
}

const SYNTAX = 'Failed to parse the request body as JSON: ';
const SHAPE = 'Failed to deserialize the JSON body into the target type: ';

// Statuses and messages of a 1.0.5 server, unless a name says otherwise.
const REFUSED: [RecordKind, string, number, string][] = [
  ['add', '', 400, `${SYNTAX}EOF while parsing a value at line 1 column 0`],
  ['add', '{', 400, `${SYNTAX}EOF while parsing an object at line 1 column 1`],
  ['add', '{"ids":["a"],"embeddings":[[1,2]],}', 400, `${SYNTAX}trailing comma at line 1 column 35`],
  ['add', record('"x":tru'), 400, `${SYNTAX}x: expected ident at line 1 column 42`],
  ['add', record('"x":"\\x"'), 400, `${SYNTAX}x: invalid escape at line 1 column 41`],
  ['add', record('"x":"\\u12"'), 400, `${SYNTAX}x: invalid escape at line 1 column 45`],
  ['add', '{}', 422, `${SHAPE}missing field \`ids\` at line 1 column 2`],
  ['add', '\n{\n}', 422, `${SHAPE}missing field \`ids\` at line 3 column 1`],
  [
    'add',
    'null',
    422,
    `${SHAPE}invalid type: null, expected struct AddCollectionRecordsPayload at line 1 column 4`,
  ],
  ['add', '{"ids":null}', 422, `${SHAPE}ids: invalid type: null, expected a sequence at line 1 column 11`],
  [
    'add',
    '{"ids":"a"}',
    422,
    `${SHAPE}ids: invalid type: string "a", expected a sequence at line 1 column 10`,
  ],
  ['add', '{"ids":{}}', 422, `${SHAPE}ids: invalid type: map, expected a sequence at line 1 column 7`],
  [
    'add',
    '{"ids":[1]}',
    422,
    `${SHAPE}ids[0]: invalid type: integer \`1\`, expected a string at line 1 column 9`,
  ],
  [
    'delete',
    '{"ids":[1]}',
    422,
    `${SHAPE}ids[0]: invalid type: integer \`1\`, expected a string at line 1 column 9`,
  ],
  ['add', '{"ids":["a"],"ids":["a"]}', 422, `${SHAPE}duplicate field \`ids\` at line 1 column 18`],
  ['add', '{"ids":["a"],"\\u0069ds":["a"]}', 422, `${SHAPE}duplicate field \`ids\` at line 1 column 23`],
  ['add', '{"ids":[]}', 422, `${SHAPE}missing field \`embeddings\` at line 1 column 10`],
  ['upsert', '{"ids":["a"]}', 422, `${SHAPE}missing field \`embeddings\` at line 1 column 13`],
  ...(['null', '[null]', '[1,2]', '[["1"]]', '[[null,1]]', '[[true]]', '{}', '"x"'] as const).map(
    (embeddings): [RecordKind, string, number, string] => [
      'upsert',
      `{"ids":["a"],"embeddings":${embeddings}}`,
      422,
      `${SHAPE}embeddings: data did not match any variant of untagged enum EmbeddingsPayload at line 1 column ${27 + embeddings.length}`,
    ],
  ),
  [
    'add',
    record('"documents":[1]'),
    422,
    `${SHAPE}documents[0]: invalid type: integer \`1\`, expected a string at line 1 column 48`,
  ],
  [
    'add',
    record('"metadatas":{}'),
    422,
    `${SHAPE}metadatas: invalid type: map, expected a sequence at line 1 column 46`,
  ],
  [
    'add',
    record('"metadatas":[1]'),
    422,
    `${SHAPE}metadatas[0]: invalid type: integer \`1\`, expected a map at line 1 column 48`,
  ],
  [
    'add',
    record('"metadatas":[[]]'),
    422,
    `${SHAPE}metadatas[0]: invalid type: sequence, expected a map at line 1 column 47`,
  ],
  [
    'add',
    record('"metadatas":[{"k":null}]'),
    422,
    `${SHAPE}metadatas[0].k: data did not match any variant of untagged enum MetadataValue at line 1 column 57`,
  ],
  [
    'update',
    record('"metadatas":[{"k":{"a":1}}]'),
    422,
    `${SHAPE}metadatas[0].k: data did not match any variant of untagged enum UpdateMetadataValue at line 1 column 60`,
  ],
  [
    'add',
    record('', '[]'),
    400,
    'Validation error: embeddings: Each embedding must have at least 1 dimension',
  ],
  [
    'update',
    record('', '[]'),
    400,
    'Validation error: embeddings: Each embedding must have at least 1 dimension',
  ],
  [
    'update',
    record('', '""'),
    400,
    'Validation error: embeddings: Each embedding must have at least 1 dimension',
  ],
  [
    'add',
    '{"ids":["a","b"],"embeddings":[[1],[1,2]]}',
    400,
    'Inconsistent dimensions in provided embeddings',
  ],
  [
    'add',
    record('', '"AAAA"'),
    400,
    'Base64 decoding error: Invalid byte length: 3 bytes cannot be converted to f32 values (must be divisible by 4)',
  ],
  [
    'add',
    record('', '[1],[2]'),
    400,
    'Inconsistent number of IDs, embeddings, documents, URIs and metadatas',
  ],
  [
    'update',
    record('"documents":[]'),
    400,
    'Inconsistent number of IDs, embeddings, documents, URIs and metadatas',
  ],
  ['add', '{"ids":[""],"embeddings":[[1]]}', 400, 'Empty ID, ID must have at least one character'],
  ['delete', '{"ids":[]}', 400, 'Validation error: ids, where: Either ids or where must be specified'],
  ['delete', '{"where":{}}', 400, 'Invalid where clause'],
  ['delete', '{"where":[1]}', 400, 'Invalid where clause'],
  ['delete', '{"where_document":"x"}', 400, 'Invalid where document clause'],
];

describe('refuses as Chroma does', () => {
  test.each(REFUSED)('%s %s: %i', (kind, body, status, message) => {
    expect(scan(kind, body)).toMatchObject({
      status,
      error: status === 422 ? 'ChromaError' : 'InvalidArgumentError',
      message,
    });
  });

  test.each([
    '01',
    '1.',
    '.5',
    '-',
    '+1',
    '-01',
    '1e',
    '1e+',
    'NaN',
    'Infinity',
    '0x1',
    '1_0',
    '1 2',
    ',1',
    '1,',
    '1,,2',
    '١',
  ])('the number %s', (number) => {
    expect(scan('add', record('', `[${number}]`))).toMatchObject({ status: 400 });
    expect(scan('add', record(`"metadatas":[{"k":${number}}]`))).toMatchObject({ status: 400 });
    expect(scan('add', record(`"ignored":[${number}]`))).toMatchObject({ status: 400 });
  });

  test.each(['"\\ud800"', '"\\udc00"', '"\\ud800\\ud800"', '"\\ud800x"', '"a\tb"', '"\u0000"', '"', '"\\"'])(
    'the string %s',
    (string) => {
      expect(scan('add', `{"ids":[${string}],"embeddings":[[1]]}`)).toMatchObject({ status: 400 });
      expect(scan('delete', `{"ids":["a"],"ignored":${string}}`)).toMatchObject({ status: 400 });
    },
  );

  test('a value of the wrong type and any length', () => {
    const long = `"${'\\"'.repeat(300)}"`;
    for (const value of [long, '1'.repeat(300), `"${'é'.repeat(300)}"`]) {
      expect(scan('add', `{"ids":${value}}`)).toMatchObject({ status: 422 });
    }
  });

  test.each(['\xff', '\xc3', '\xed\xa0\x80', '\xc0\xaf'])('bytes that are not UTF-8', (bytes) => {
    const latin = (text: string): Buffer => Buffer.from(text, 'latin1');
    const column = 10 + bytes.length;
    const message = `invalid unicode code point at line 1 column ${column}`;
    const body = latin(`{"ids":["${bytes}"],"embeddings":[[1]]}`);
    expect(scan('add', body)).toMatchObject({ status: 400, message: `${SYNTAX}ids[0]: ${message}` });
    const name = latin(`{"12345${bytes}":1}`);
    expect(scan('add', name)).toMatchObject({
      message: `${SYNTAX}${message.replace(/\d+$/, String(column - 2))}`,
    });
    // The fault that a server finds first is reported.
    expect(scan('add', latin(`{"ids":["a"],x"${bytes}"}`))).toMatchObject({
      message: `${SYNTAX}key must be a string at line 1 column 14`,
    });
    // A delete parses its whole body; other calls skip unknown fields.
    expect(isRefusal(scan('add', latin(record(`"x":"${bytes}"`))))).toBe(false);
    expect(scan('delete', latin(`{"x":"${bytes}"}`))).toMatchObject({ status: 400 });
  });

  test.each<[RecordKind, string, string]>([
    ['add', '{"ids" 1}', 'expected `:` at line 1 column 8'],
    ['add', '{"ids":["a"],"metadatas":[{"a" 1}]}', 'metadatas[0]: expected `:` at line 1 column 32'],
    ['add', '{"ids":["a"],"x":[1,x]}', 'x: expected value at line 1 column 21'],
    ['delete', '{"x":[1,x]}', 'x[1]: expected value at line 1 column 9'],
    ['add', '{"ids":["a"],"x" 1}', 'expected `:` at line 1 column 18'],
    ['add', '{"ids":["a"],"x":1 2}', 'expected `,` or `}` at line 1 column 20'],
    ['add', '{"ids":[', 'ids: EOF while parsing a list at line 1 column 8'],
    ['add', '{"ids":', 'ids: EOF while parsing a value at line 1 column 7'],
    ['add', '{"ids":["a"],', 'EOF while parsing a value at line 1 column 13'],
    ['add', '{"ids":["a",', 'ids: EOF while parsing a value at line 1 column 12'],
    ['add', '{"ids":["a"],"x":{"a":1,', 'x: EOF while parsing an object at line 1 column 24'],
    ['add', '{"embeddings":[[', 'embeddings[0]: EOF while parsing a list at line 1 column 16'],
    ['add', '{"embeddings":[[1],[2,]]}', 'embeddings[1]: trailing comma at line 1 column 23'],
    ['add', '{"metadatas":[{', 'metadatas[0].?: EOF while parsing an object at line 1 column 15'],
    ['add', '{"metadatas":[{"a":1,2}]}', 'metadatas[0].?: key must be a string at line 1 column 22'],
    ['add', '{"metadatas":[null,{"a":01}]}', 'metadatas[1].a: invalid number at line 1 column 26'],
    ['add', '{"ids":["\\ud83c\\x"]}', 'ids[0]: unexpected end of hex escape at line 1 column 17'],
    ['add', '{"ids":["\\ud83c', 'ids[0]: EOF while parsing a string at line 1 column 15'],
    ['add', '{"ids":["\\u0"],"x":1}', 'ids[0]: invalid escape at line 1 column 15'],
    ['add', '{"metadatas":[{"\\u0":1,"b":2}]}', 'metadatas[0].?: invalid escape at line 1 column 22'],
    ['add', '{"metadatas":[{"a.b":tru}]}', 'metadatas[0].a.b: expected ident at line 1 column 25'],
    ['add', '{"metadatas":[{"":[1,x]}]}', 'metadatas[0].[1]: expected value at line 1 column 22'],
    [
      'delete',
      '{"where":{"$or":[{},{"n":1e400}]}}',
      'where.$or[1].n: number out of range at line 1 column 30',
    ],
  ])('%s %s: its place', (kind, body, message) => {
    expect(scan(kind, body)).toMatchObject({ status: 400, message: SYNTAX + message });
  });

  test.each<[string, string]>([
    ['-1', 'invalid value: integer `-1`'],
    ['4294967296', 'invalid value: integer `4294967296`'],
    ['1.5', 'invalid type: floating point `1.5`'],
    ['-0', 'invalid type: floating point `-0.0`'],
    ['1e2', 'invalid type: floating point `100.0`'],
    ['1e-7', 'invalid type: floating point `1e-7`'],
    ['18446744073709551616', 'invalid type: floating point `1.8446744073709552e+19`'],
    ['"a"', 'invalid type: string "a"'],
    ['true', 'invalid type: boolean `true`'],
  ])('a limit of %s', (limit, fault) => {
    const message = `${SHAPE}limit: ${fault}, expected u32 at line 1 column ${9 + limit.length}`;
    expect(scan('delete', `{"limit":${limit}}`, NEWEST)).toMatchObject({ status: 422, message });
  });

  test('a repeated filter, after reading the whole body', () => {
    const twice = (rest: string): string => `{"where":{"a":1},"where":{"a":1}${rest}}`;
    const message = `${SHAPE}duplicate field \`where\` at line 1 column 33`;
    expect(scan('delete', twice(''))).toMatchObject({ status: 422, message });
    expect(scan('delete', twice(',"ids":5'))).toMatchObject({ message: expect.stringContaining('ids: ') });
    expect(scan('delete', twice(',"x":tru'))).toMatchObject({ status: 400 });
  });

  test('nesting of more than 127 levels, except where the value is ignored', () => {
    expect(scan('delete', `{"ids":["a"],"x":${nested(126)}}`)).toMatchObject({ conditional: false });
    expect(scan('delete', `{"ids":["a"],"x":${nested(127)}}`)).toMatchObject({ status: 400 });
    expect(scan('add', record(`"metadatas":[{"k":${nested(124)}}]`))).toMatchObject({ status: 422 });
    expect(scan('add', record(`"metadatas":[{"k":${nested(125)}}]`))).toMatchObject({ status: 400 });
    expect(isRefusal(scan('add', record(`"x":${nested(100_000)}`)))).toBe(false);
  });

  test.each([
    ['AAAAAB==', 'Invalid last symbol 66, offset 5.'],
    ['AAAAAA', 'Invalid padding'],
    ['AAAA AA==', 'Invalid symbol 32, offset 4.'],
    ['A', 'Invalid input length: 1'],
  ])('the base64 %s for %s', (text, fault) => {
    const message = `Base64 decoding error: Invalid base64 string: ${fault}`;
    expect(scan('add', record('', `"${text}"`))).toMatchObject({ status: 400, message });
  });

  test.each(['AAAAAB==', 'AAAAAA', 'AAAAAA=', 'AAAA AA==', 'AACAPw-_AEA=', 'A', 'AAAAAA==AAAAAA==', 'é'])(
    'the base64 %s',
    (text) => {
      expect(scan('add', record('', `"${text}"`))).toMatchObject({
        status: 400,
        error: 'InvalidArgumentError',
      });
    },
  );
});

describe('refuses what Chroma accepts with harmful effect', () => {
  test.each(['1e39', '-1e39', '3.4028236e38', '1e308', `4${'0'.repeat(38)}`, `0.${'0'.repeat(10)}4e49`])(
    'an embedding component of %s, which a server stores as infinity',
    (number) => {
      expect(scan('add', record('', `[0.5,${number},1]`))).toMatchObject({ status: 400 });
    },
  );

  test('a component beyond the range of a double', () => {
    const message = `${SYNTAX}embeddings[0][0]: number out of range at line 1 column 33`;
    expect(scan('add', record('', '[1e400,1]'))).toMatchObject({ status: 400, message });
  });

  test('base64 embeddings with infinity or NaN', () => {
    for (const bad of [NaN, Infinity, -Infinity]) {
      expect(scan('add', record('', base64(1, bad, 2)))).toMatchObject({ status: 400 });
    }
  });

  test.each(['9223372036854775809', '-9223372036854775809', '18446744073709551615', '1'.repeat(40)])(
    'the metadata integer %s, which a server rounds',
    (integer) => {
      expect(scan('upsert', record(`"metadatas":[{"k":${integer}}]`))).toMatchObject({ status: 400 });
    },
  );

  test.each(['1e309', '-1e309', '1.7976931348623159e308', '1'.repeat(310)])(
    'the metadata number %s',
    (number) => {
      expect(scan('add', record(`"metadatas":[{"k":${number}}]`))).toMatchObject({ status: 400 });
    },
  );

  test.each([
    '"chroma:document":5',
    '"chroma:document":"x"',
    '"chroma:uri":1',
    '"\\u0063hroma:x":1',
    '"a":1,"chroma:":1',
  ])('the metadata {%s}: keys of this prefix can end the server', (members) => {
    for (const kind of ['add', 'upsert', 'update'] as const) {
      expect(scan(kind, record(`"metadatas":[{${members}}]`))).toMatchObject({ status: 400 });
    }
  });

  test('more ids than max_batch_size when a server cannot split a call', () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    const add = JSON.stringify({ ids, embeddings: ids.map(() => [1]) });
    const remove = JSON.stringify({ ids });
    expect(scan('add', add, OLDEST)).toMatchObject({ status: 400 });
    expect(scan('delete', remove, OLDEST)).toMatchObject({ status: 400 });
    expect(scan('delete', JSON.stringify({ ids: ids.slice(1) }), OLDEST)).toMatchObject({
      conditional: false,
    });
    expect(accepted('add', add).ids).toEqual(ids);
    expect(accepted('delete', remove).ids).toEqual(ids);
  });
});

describe('follows the capabilities of the least capable server', () => {
  test('base64 embeddings', () => {
    const body = record('', base64(1, 2, 3));
    expect(scan('add', body, OLDEST)).toMatchObject({ status: 422 });
    expect(scan('add', body, MIDDLE)).toMatchObject({ encoding: 'base64', dimension: 3 });
    const escaped = record('', '"\\u0041AAAAA=\\u003d"');
    expect(scan('add', escaped, MIDDLE)).toMatchObject({ encoding: 'base64', dimension: 1 });
  });

  test.each(['[1]', '["a","b"]', '[true,false]', '[1,2.5]', '[]'])('the metadata array %s', (array) => {
    const body = record(`"metadatas":[{"k":${array}}]`);
    expect(scan('add', body, MIDDLE)).toMatchObject({ status: 422 });
    expect(isRefusal(scan('add', body, NEWEST))).toBe(false);
  });

  test.each(['[1,"a"]', '[true,1]', '[null]', '[[1]]', '[{}]'])('never the metadata array %s', (array) => {
    expect(scan('add', record(`"metadatas":[{"k":${array}}]`), NEWEST)).toMatchObject({ status: 422 });
  });

  test.each(['"#k":1', '"$k":1', '"":1', '"\\u0023k":1'])('the metadata {%s}', (members) => {
    const body = record(`"metadatas":[{${members}}]`);
    expect(isRefusal(scan('add', body, MIDDLE))).toBe(false);
    expect(scan('add', body, NEWEST)).toMatchObject({ status: 400 });
  });

  test('a limit for deletes, which older servers ignore, deleting everything', () => {
    const body = '{"where":{"k":1},"limit":2}';
    expect(scan('delete', body, MIDDLE)).toMatchObject({ status: 400 });
    expect(scan('delete', body, NEWEST)).toMatchObject({ conditional: true });
    expect(scan('delete', '{"ids":["a"],"limit":2}', NEWEST)).toMatchObject({ status: 400 });
    for (const limit of ['-1', '1.5', '"1"', '4294967296', '{}']) {
      expect(scan('delete', `{"where":{"k":1},"limit":${limit}}`, NEWEST)).toMatchObject({ status: 422 });
    }
    expect(scan('delete', '{"ids":["a"],"limit":null}', MIDDLE)).toMatchObject({ conditional: false });
    // Not a field there, so it may be repeated.
    expect(isRefusal(scan('delete', '{"ids":["a"],"limit":null,"limit":null}', MIDDLE))).toBe(false);
    expect(scan('delete', '{"ids":["a"],"limit":null,"limit":null}', NEWEST)).toMatchObject({ status: 422 });
  });
});

test('bytes after the body are refused, or ignored by servers before 1.3', () => {
  const valid = record('');
  for (const rest of ['x', '{}', ' \n\0']) {
    expect(accepted('add', valid + rest).body.toString()).toBe(valid);
    expect(scan('add', valid + rest, NEWEST)).toMatchObject({ status: 400 });
  }
  const message = `${SYNTAX}trailing characters at line 1 column 35`;
  expect(scan('add', `${valid}x`, NEWEST)).toMatchObject({ status: 400, message });
  expect(scan('add', '{"ids":["a"]}x')).toMatchObject({ status: 422 });
});

describe('accepts what Chroma accepts', () => {
  test.each<[RecordKind, string]>([
    ['add', '{"ids":[],"embeddings":[]}'],
    ['update', '{"ids":[]}'],
    ['update', '{"ids":["a"],"embeddings":null,"documents":null,"metadatas":null,"uris":null}'],
    ['update', '{"ids":["a","b"],"embeddings":[null,[1,2]]}'],
    ['add', record('"documents":[null],"metadatas":[null],"uris":[null]')],
    ['upsert', record('"metadatas":[{"k":null}]')],
    [
      'add',
      record('"metadatas":[{"k":1,"k":2},null]')
        .replace('["a"]', '["a","a"]')
        .replace('[1,2]', '[1,2],[1,2]'),
    ],
    [
      'add',
      record('"metadatas":[{"a":9223372036854775807,"b":-9223372036854775808,"c":1.7976931348623157e308}]'),
    ],
    [
      'add',
      record('"metadatas":[{"a":9223372036854775808,"b":9223372036854776000,"c":100000000000000000000}]'),
    ],
    ['add', record('"x":1e999,"x":"\\ud800"')],
    ['add', record('', '[3.4028235e38,-3.4028234663852886e+38,1e-400,0e99999999999,-0,1E+2]')],
    ['add', record('', `[${'1'.repeat(38)},0.${'1'.repeat(400)},${'1'.repeat(50)}e-20]`)],
    ['delete', '{}'],
    ['delete', '{"ids":null,"where":null,"where_document":null}'],
    ['delete', '{"ids":[""]}'],
  ])('%s %s', (kind, body) => {
    expect(accepted(kind, body).conditional).toBe(false);
  });

  test('conditions make a delete conditional', () => {
    expect(accepted('delete', '{"where":{"k":1}}')).toMatchObject({ conditional: true, ids: [] });
    expect(accepted('delete', '{"ids":["a"],"where_document":{"$contains":"x"}}').conditional).toBe(true);
    expect(accepted('delete', '{"ids":[],"where":{"k":1}}').conditional).toBe(true);
  });
});

describe('the number of metadata keys of a record', () => {
  const withKeys = (count: number, nulls = 0): string =>
    record(
      `"metadatas":[${JSON.stringify(
        Object.fromEntries(Array.from({ length: count + nulls }, (_, n) => [`k${n}`, n < count ? n : null])),
      )}]`,
    );

  test('may be 5,000, beside any number of nulls', () => {
    expect(accepted('upsert', withKeys(5_000, 2_000)).ids).toHaveLength(1);
  });

  test.each(['add', 'upsert', 'update'] as const)('may not be greater: %s', (kind) => {
    expect(scan(kind, withKeys(5_001))).toMatchObject({
      status: 400,
      message: expect.stringContaining('at most 5000 keys, and record 0 has 5001'),
    });
  });
});

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isRefusal } from './refusal.ts';
import {
  readTopLevel,
  withCollectionId,
  withCollectionIdentity,
  withGetOrCreate,
  withoutTrailingBytes,
} from './rewrite.ts';

test.each([
  ['{"a":1}x', '{"a":1}'],
  ['{"a":1} {"b":2}', '{"a":1}'],
  ['"x"]', '"x"'],
  ['{"a":', '{"a":'],
  ['', ''],
])('of %s a server reads %s', (body, read) => {
  expect(withoutTrailingBytes(Buffer.from(body)).toString()).toBe(read);
});

describe('refusals equal those of a server', () => {
  const SHAPE = 'Failed to deserialize the JSON body into the target type: ';
  const payload = { name: 'struct CreateTenantPayload', types: { name: 'a string' } } as const;
  test.each([
    ['"x"', `${SHAPE}invalid type: string "x", expected struct CreateTenantPayload at line 1 column 3`],
    ['{"name":1,x', `${SHAPE}name: invalid type: integer \`1\`, expected a string at line 1 column 9`],
    ['{"name":"a","name":"b"}', `${SHAPE}duplicate field \`name\` at line 1 column 18`],
    [
      '{"name":"a',
      'Failed to parse the request body as JSON: name: EOF while parsing a string at line 1 column 10',
    ],
    ['{"x":[1,x]}', 'Failed to parse the request body as JSON: x: expected value at line 1 column 9'],
  ])('%s', (body, message) => {
    expect(readTopLevel(Buffer.from(body), ['name'], payload)).toMatchObject({ message });
  });
});

describe('get_or_create', () => {
  test.each([
    ['{}', '{"get_or_create":true}'],
    ['{"name":"n"}', '{"get_or_create":true,"name":"n"}'],
    [' { "name" : "n" } ', ' {"get_or_create":true, "name" : "n" } '],
    ['{"get_or_create":false,"x":1.0}', '{"get_or_create":true,"x":1.0}'],
    ['{"get_or_create": null }', '{"get_or_create": true }'],
    ['{"get\\u005for_create":false}', '{"get\\u005for_create":true}'],
    ['{"metadata":{"get_or_create":false}}', '{"get_or_create":true,"metadata":{"get_or_create":false}}'],
  ])('%s becomes %s', (before, after) => {
    expect(withGetOrCreate(Buffer.from(before), true).toString()).toBe(after);
  });

  test('is set in any object without other changes', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.boolean(),
        fc.boolean(),
        (object, pretty, value) => {
          const body = Buffer.from(JSON.stringify(object, null, pretty ? 2 : 0));
          const parsed: object = JSON.parse(body.toString());
          const expected = { ...parsed, get_or_create: value };
          expect(JSON.parse(withGetOrCreate(body, value).toString())).toEqual(expected);
        },
      ),
    );
  });
});

describe('reading the top level', () => {
  test('distinguishes absent, null and every type of value', () => {
    const body = Buffer.from('{"a":null,"b":"\\u0078","c":true,"d":false,"e":1.0,"f":[1],"g":{"b":1},"z":1}');
    const found = readTopLevel(body, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']);
    if (isRefusal(found)) throw new Error(found.message);
    const seen = [...found].map(([key, value]) => [
      key,
      value.type,
      'value' in value ? value.value : body.toString('utf8', value.slice.start, value.slice.end),
    ]);
    expect(seen).toEqual([
      ['a', 'null', 'null'],
      ['b', 'string', 'x'],
      ['c', 'boolean', true],
      ['d', 'boolean', false],
      ['e', 'number', '1.0'],
      ['f', 'array', '[1]'],
      ['g', 'object', '{"b":1}'],
    ]);
  });

  test.each([
    ['', 400],
    ['{', 400],
    ['{"name":"a"}x', 400],
    ['{"name":"\\ud800"}', 400],
    ['{"name":"a","name":"b"}', 422],
    ['[]', 422],
    ['null', 422],
  ])('%s is refused with %i', (body, status) => {
    expect(readTopLevel(Buffer.from(body), ['name'])).toMatchObject({ status });
  });

  test('a body that is not UTF-8 is refused', () => {
    expect(readTopLevel(Buffer.from('{"name":"\xff"}', 'latin1'), ['name'])).toMatchObject({ status: 400 });
  });
});

describe('the identity of collections', () => {
  test('the id is replaced at the top level only', () => {
    const json = '{"metadata":{"id":"x"}, "id" : "old","dimension":3.0,"log_position":0}';
    expect(withCollectionId(Buffer.from(json), 'new').toString()).toBe(json.replace('"old"', '"new"'));
  });

  test('the id of every collection in a list is replaced', () => {
    const list = '[{"id":"1","name":"a"}, {"name":"b","id":"2"}]';
    const json = withCollectionIdentity(Buffer.from(list), { id: (old) => `new-${old}`, tenant: 'unused' });
    expect(json.toString()).toBe('[{"id":"new-1","name":"a"}, {"name":"b","id":"new-2"}]');
    expect(withCollectionId(Buffer.from('[]'), 'x').toString()).toBe('[]');
  });

  test('name, tenant and database are replaced where they are strings', () => {
    const json = Buffer.from('{"id":"i","name":"n","tenant":"t","database":null}');
    const identity = { name: 'q"', tenant: 't2', database: 'd2' };
    expect(withCollectionIdentity(json, identity).toString()).toBe(
      '{"id":"i","name":"q\\"","tenant":"t2","database":null}',
    );
  });

  test('the dimension is replaced where it is null', () => {
    const json = '{"dimension":null,"metadata":{"dimension":null}}';
    const known = withCollectionIdentity(Buffer.from(json), { dimension: 3 });
    expect(known.toString()).toBe('{"dimension":3,"metadata":{"dimension":null}}');
    expect(withCollectionIdentity(known, { dimension: 4 })).toEqual(known);
    expect(withCollectionIdentity(Buffer.from(json), { dimension: null }).toString()).toBe(json);
  });

  test.each(['', '7', '{"id":"a"', '{"id":"a"}{}', '[1]'])('throws for %s', (json) => {
    expect(() => withCollectionId(Buffer.from(json), 'x')).toThrow();
  });
});

test('a create keeps what a server ignores', () => {
  const body = Buffer.from('{"name":"abc","unknown":["\\ud800",1e400],"get_or_create":false}');
  expect(withGetOrCreate(body, true).toString()).toBe(
    '{"name":"abc","unknown":["\\ud800",1e400],"get_or_create":true}',
  );
  expect(readTopLevel(body, ['name'])).toBeInstanceOf(Map);
});

// What two answers may differ in and still be equal, and what they may not.

import { expect, test } from 'vitest';
import { columnNumbers } from './body-numbers.ts';
import { IdSymbols, normalise } from './normalise.ts';
import type { EndpointResponse } from './endpoint.ts';
import { pageFault } from './pages.ts';
import { type Operation, placeOf, toRequest } from './operation.ts';

const ONE = '5f0c9a34-1111-4222-8333-000000000001';
const TWO = '5f0c9a34-1111-4222-8333-000000000002';
const LIST = '/api/v2/tenants/t/databases/d/collections';

function equal(path: string, a: string, b: string, status = 200, method = 'GET'): boolean {
  const operation: Operation = { action: '', method, path };
  const [one, other] = [a, b].map((body) =>
    normalise(
      operation,
      { status, contentType: 'application/json', body: Buffer.from(body) },
      new IdSymbols(),
    ),
  );
  return one === other;
}

test('numbers are compared as they are written', () => {
  expect(equal('/x', '[1.0]', '[1]')).toBe(false);
  expect(equal('/x', '[9007199254740993]', '[9007199254740992]')).toBe(false);
  expect(equal('/x', '[-0.0]', '[0.0]')).toBe(false);
  expect(equal('/x', '[1e400]', '[1e401]')).toBe(false);
  expect(equal('/x', '["1"]', '[1]')).toBe(false);
});

test('the order of keys is free, that of elements is not', () => {
  expect(equal('/x', '{"a":1,"b":[2,3]}', '{"b":[2,3],"a":1}')).toBe(true);
  expect(equal('/x', '{"a":1,"b":[2,3]}', '{"b":[3,2],"a":1}')).toBe(false);
  expect(equal('/x', '{"a":1,"__proto__":2}', '{"a":1}')).toBe(false);
});

test('ids are free as long as they are consistent', () => {
  expect(equal('/x', `["${ONE}","${TWO}","${ONE}"]`, `["${TWO}","${ONE}","${TWO}"]`)).toBe(true);
  expect(equal('/x', `["${ONE}","${TWO}","${ONE}"]`, `["${TWO}","${ONE}","${ONE}"]`)).toBe(false);
  expect(equal('/x', `{"message":"Collection [${ONE}]"}`, `{"message":"Collection [${TWO}]"}`)).toBe(true);
  expect(equal('/x', `"${ONE}"`, '"00000000-0000-0000-0000-000000000000"')).toBe(false);
});

test('a heartbeat is any time, and nothing but a time', () => {
  const beat = (value: string): string => `{"nanosecond heartbeat":${value}}`;
  expect(equal('/api/v2/heartbeat', beat('1795260648808976213'), beat('1795260648808976214'))).toBe(true);
  expect(equal('/api/v2/heartbeat', beat('1795260648808976213'), beat('1795260648'))).toBe(false);
  expect(equal('/api/v2/version', beat('1795260648808976213'), beat('1795260648808976214'))).toBe(false);
});

test('a page is a part of the whole list, in its order', () => {
  const list = (...names: string[]): EndpointResponse => ({
    status: 200,
    contentType: '',
    body: Buffer.from(`[${names.map((name) => `{"n":1.0,"name":"${name}"}`).join()}]`),
  });
  const fault = (query: string, page: EndpointResponse): string | null =>
    pageFault({ action: '', method: 'GET', path: `${LIST}?${query}` }, page, list('a', 'b', 'c'));
  expect(fault('limit=2', list('a', 'b'))).toBeNull();
  expect(fault('limit=2&offset=1', list('b', 'c'))).toBeNull();
  expect(fault('offset=3', list())).toBeNull();
  expect(fault('limit=2', list('b', 'a'))).not.toBeNull();
  expect(fault('limit=1', list('b'))).not.toBeNull();
  expect(fault('limit=1', list())).not.toBeNull();
  expect(fault('limit=1', list('d'))).not.toBeNull();
  expect(fault('offset=1', list('b', 'c', 'a'))).not.toBeNull();
  expect(fault('limit=-1', { ...list(), status: 400 })).toBeNull();
});

test('a whole list of collections has no order, a page of it only a length', () => {
  const [a, b, c] = ['{"name":"a"}', '{"name":"b"}', '{"name":"c"}'];
  expect(equal(LIST, `[${a},${b}]`, `[${b},${a}]`)).toBe(true);
  expect(equal(LIST, `[${a},${b}]`, `[${a},${c}]`)).toBe(false);
  expect(equal(`${LIST}?limit=1`, `[${a}]`, `[${b}]`)).toBe(true);
  expect(equal(`${LIST}?limit=1`, `[${a}]`, '[]')).toBe(false);
  expect(equal('/api/v2/tenants/t/databases', `[${a},${b}]`, `[${b},${a}]`)).toBe(false);
});

test('accepts several faults in any order', () => {
  const said = (message: string): string => JSON.stringify({ error: 'InvalidArgumentError', message });
  const short = 'name: Validation error: length [{"value": String("x"), "min": Number(3)}]';
  const swapped = 'name: Validation error: length [{"min": Number(3), "value": String("x")}]';
  const more = 'metadata: Metadata cannot be empty';
  const faults = (...lines: string[]): string => said(`Validation error: ${lines.join('\n')}`);
  expect(equal('/x', faults(short, more), faults(more, swapped), 400)).toBe(true);
  expect(equal('/x', faults(short), faults(swapped.replace('3', '4')), 400)).toBe(false);
  expect(equal('/x', faults(short, more), faults(short), 400)).toBe(false);
  expect(equal('/x', said('a\nb'), said('b\na'), 400)).toBe(false);
});

test('bytes that are no UTF-8 are compared as bytes', () => {
  const of = (byte: number): string =>
    normalise(
      { action: '', method: 'GET', path: '/x' },
      { status: 200, contentType: '', body: Buffer.from([byte]) },
      new IdSymbols(),
    );
  expect(of(0xff)).not.toBe(of(0xfe));
});

test('placeholders become the ids of the side, in the form asked for', () => {
  const names = { tenant: 't', id: () => ONE };
  const path = (text: string): string => toRequest({ action: '', method: 'GET', path: text }, names).path;
  expect(path('/{tenant}/{id:x}')).toBe(`/t/${ONE}`);
  expect(path('/{upper:x}')).toBe(`/${ONE.toUpperCase()}`);
  expect(path('/{undashed:x}')).toBe(`/${ONE.replaceAll('-', '')}`);
  expect(path('/{urn:x}')).toBe(`/urn:uuid:${ONE}`);
  const { body } = toRequest(
    { action: '', method: 'POST', path: '/', body: '{"name":"{tenant}{id:x}"}' },
    names,
  );
  expect(body?.toString()).toBe('{"name":"t{id:x}"}');
});

test('a path is taken apart by its segments', () => {
  expect(placeOf('/api/v2/tenants/a%2Fb/databases/d/collections/get/query?x=1')).toEqual({
    tenant: 'a/b',
    database: 'd',
    collection: 'get',
    call: 'query',
  });
  expect(placeOf('/api/v1/tenants/t').tenant).toBeNull();
  expect(placeOf('/api/v2/tenants/%ff').tenant).toBeNull();
});

test('the numbers of one column are found, and no others', () => {
  const body = '{"ids":["1e39"],"embeddings":[[1,-2.5e3],[3]],"metadatas":[{"embeddings":4}],"limit":5}';
  expect(columnNumbers(body, 'embeddings')).toEqual(['1', '-2.5e3', '3']);
  expect(columnNumbers(body, 'metadatas')).toEqual(['4']);
});

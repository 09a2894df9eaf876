import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CallMerger, bodyBytes, mergeRecordCalls } from './merge.ts';
import { COLUMNS, type BodyCapabilities, type RecordCall, type RecordKind } from '../parse/record-call.ts';
import { scanRecordCall } from '../parse/scanner.ts';
import { isRefusal } from '../parse/refusal.ts';
import { splitCall, workOf, type SplitLimits } from './split.ts';

const CAPABILITIES: BodyCapabilities = {
  maxBatchSize: 100_000,
  base64Embeddings: true,
  metadataArrays: true,
  deleteLimit: true,
};
const NO_LIMITS: SplitLimits = { work: Infinity, maxIds: Infinity, maxBytes: Infinity };
const MIB = 1024 * 1024;

function scanned(kind: RecordKind, text: string): RecordCall {
  const found = scanRecordCall(kind, Buffer.from(text), CAPABILITIES);
  if (isRefusal(found)) throw new Error(found.message);
  return found;
}

function call(kind: RecordKind, body: object): RecordCall {
  return scanned(kind, JSON.stringify(body));
}

function parts(whole: RecordCall, limits: Partial<SplitLimits>): RecordCall[] {
  return [...splitCall(whole, { ...NO_LIMITS, ...limits })];
}

type Body = Record<string, unknown[]>;

function bodyOf(part: RecordCall): Body {
  return JSON.parse(Buffer.concat(mergeRecordCalls([part])).toString()) as Body;
}

const STRING = fc.oneof(
  fc.string(),
  fc.stringMatching(/^["\\,[\]{} ]*$/),
  // Around the length from which the end of strings is searched natively.
  fc.stringMatching(/^x{55,65}["\\]{0,6}x{0,80}["\\]{0,4}$/),
);
const METADATA = fc.dictionary(
  STRING.filter((key) => /^[^c#$]/.test(key) && key !== '__proto__'),
  fc.oneof(STRING, fc.integer(), fc.boolean(), fc.array(STRING, { maxLength: 2 })),
  { maxKeys: 3 },
);

const WHOLE_CALLS = fc
  .record({
    kind: fc.constantFrom<RecordKind>('add', 'upsert', 'update', 'delete'),
    ids: fc.array(
      STRING.filter((id) => id !== ''),
      { minLength: 1, maxLength: 8 },
    ),
    isBase64: fc.boolean(),
    indent: fc.nat(2),
  })
  .chain(({ kind, ids, isBase64, indent }) => {
    const column = <T>(item: fc.Arbitrary<T>) =>
      fc.array(item, { minLength: ids.length, maxLength: ids.length });
    const optional = <T>(item: fc.Arbitrary<T>) => column(fc.option(item, { nil: null }));
    const floats = fc.array(fc.integer(), { minLength: 2, maxLength: 2 });
    const base64 = floats.map((vector) => Buffer.from(new Float32Array(vector).buffer).toString('base64'));
    const vector: fc.Arbitrary<unknown> = isBase64 ? base64 : floats;
    const columns = {
      ids: fc.constant<unknown[]>(ids),
      embeddings: kind === 'update' ? optional(vector) : column(vector),
      documents: optional(STRING),
      metadatas: optional(METADATA),
      uris: optional(STRING),
    };
    const body =
      kind === 'delete'
        ? fc.record({ ids: columns.ids })
        : fc.record(columns, { requiredKeys: kind === 'update' ? ['ids'] : ['ids', 'embeddings'] });
    return body.map((value) => ({ kind, body: value as Body, text: JSON.stringify(value, null, indent) }));
  });

describe('the parts of a call', () => {
  test('hold its records in order, each part a body that a server accepts', () => {
    const limit = fc.record({
      maxIds: fc.integer({ min: 1, max: 4 }),
      maxBytes: fc.integer({ min: 1, max: 400 }),
    });
    fc.assert(
      fc.property(WHOLE_CALLS, limit, ({ kind, body, text }, limits) => {
        const whole = scanned(kind, text);
        const found = parts(whole, limits);
        expect(found.flatMap((part) => [...part.ids])).toEqual(body['ids']);
        for (const column of ['ids', ...COLUMNS]) {
          const present = body[column] !== undefined;
          expect(found.flatMap((part) => bodyOf(part)[column] ?? [])).toEqual(present ? body[column] : []);
        }
        for (const part of found) {
          const sent = Buffer.concat(mergeRecordCalls([part]));
          expect(isRefusal(scanRecordCall(kind, sent, CAPABILITIES))).toBe(false);
          expect(sent.length).toBe(bodyBytes(part));
          expect(part.ids.length).toBeLessThanOrEqual(limits.maxIds);
          if (part.ids.length > 1) expect(sent.length).toBeLessThanOrEqual(limits.maxBytes);
          expect(part).toMatchObject({ dimension: whole.dimension, encoding: whole.encoding });
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    [1_024, [1_024]],
    [1_100, [1_100]],
    [1_200, [601, 599]],
    [2_100, [1_051, 1_049]],
    [3_400, [851, 851, 851, 847]],
  ])('of %i similar records are of similar size', (count, sizes) => {
    const whole = call('upsert', {
      ids: Array.from({ length: count }, (_, n) => `${n}`),
      embeddings: Array.from({ length: count }, () => [1]),
    });
    expect(parts(whole, { work: 1 }).map((part) => part.ids.length)).toEqual(sizes);
  });

  test('are ranges of records that follow one another', () => {
    const ids = Array.from({ length: 10 }, (_, index) => `${index}`);
    const found = parts(call('delete', { ids }), { maxIds: 4 });
    expect(found.map((part) => part.part)).toEqual([
      { from: 0, to: 4 },
      { from: 4, to: 8 },
      { from: 8, to: 10 },
    ]);
  });

  test('can be split again, into ranges of the whole call', () => {
    const body = { ids: ['a', 'b', 'c', 'd'], documents: ['1', '2', '3', '4'] };
    const [, second] = parts(scanned('update', JSON.stringify(body, null, 2)), { maxIds: 2 });
    if (second === undefined) throw new Error('no second part');
    const found = parts(second, { maxIds: 1 });
    expect(found.map((part) => part.part)).toEqual([
      { from: 2, to: 3 },
      { from: 3, to: 4 },
    ]);
    expect(found.map(bodyOf)).toEqual([
      { ids: ['c'], documents: ['3'] },
      { ids: ['d'], documents: ['4'] },
    ]);
  });

  test('merge with other calls', () => {
    const [first] = parts(call('update', { ids: ['a', 'b'], documents: ['1', '2'] }), { maxIds: 1 });
    if (first === undefined) throw new Error('no part');
    const merger = new CallMerger({ maxIds: 10, maxBytes: 1000 });
    for (const next of [first, call('update', { ids: ['c'], uris: ['u'] })])
      expect(merger.tryAdd(next)).toBe(true);
    const text = Buffer.concat(merger.chunks()).toString();
    expect(text).toBe('{"ids":["a","c"],"documents":["1",null],"uris":[null,"u"]}');
    expect(merger.byteLength).toBe(text.length);
  });

  test('share the bytes of the whole body', () => {
    const embeddings = ['a', 'b'].map(() => Array.from({ length: 5000 }, (_, index) => index));
    const whole = call('add', { ids: ['a', 'b'], embeddings });
    for (const part of parts(whole, { maxIds: 1 })) {
      const long = mergeRecordCalls([part]).filter((chunk) => chunk.length > 10_000);
      expect(long.map((chunk) => chunk.buffer)).toEqual([whole.body.buffer]);
    }
  });

  test('are found one at a time, when requested', () => {
    const whole = call('add', { ids: ['a', 'b', 'c'], embeddings: [[1], [2], [3]] });
    const split = splitCall(whole, { ...NO_LIMITS, maxIds: 1 });
    expect(split.next().value).toMatchObject({ ids: ['a'] });
    // The second part is found with the third record, which is damaged only now.
    whole.body.fill('x', whole.columns.embeddings?.start);
    expect(split.next().value).toMatchObject({ ids: ['b'] });
  });
});

describe('a call is not split', () => {
  const records = { ids: ['a', 'b'], embeddings: [[1], [2]] };

  test('when it is within the limits', () => {
    const whole = call('add', records);
    expect(parts(whole, { maxIds: 2, maxBytes: whole.body.length, work: workOf(whole) })).toEqual([whole]);
    expect(parts(whole, { maxBytes: whole.body.length - 1 })).toHaveLength(2);
    expect(parts(whole, { work: workOf(whole) * 0.99 })).toEqual([whole]);
    expect(parts(whole, { work: workOf(whole) * 0.8 })).toHaveLength(2);
  });

  test('when it is a conditional delete', () => {
    const whole = call('delete', { ids: ['a', 'b'], where: { k: 1 } });
    expect(parts(whole, { maxIds: 1 })).toEqual([whole]);
  });

  test('when it has a single record or none', () => {
    const single = call('add', { ids: ['a'], embeddings: [[1]] });
    const empty = call('add', { ids: [], embeddings: [] });
    for (const whole of [single, empty]) expect(parts(whole, { work: 0, maxBytes: 1 })).toEqual([whole]);
  });
});

describe('the work of a call', () => {
  const ofEach = (count: number, columns: Record<string, unknown> = {}): RecordCall => {
    const repeated = Object.entries({ embeddings: [1], ...columns }).map(([column, item]) => [
      column,
      Array.from({ length: count }, () => item),
    ]);
    const ids = Array.from({ length: count }, (_, index) => `${index}`);
    return call('upsert', { ids, ...Object.fromEntries(repeated) });
  };

  test.each([
    ['its records', ofEach(2048), 2],
    ['the bytes of its embeddings', ofEach(8, { embeddings: Array.from({ length: MIB }, () => 1) }), 2],
    [
      'the bytes of its embeddings in base64',
      ofEach(8, { embeddings: Buffer.alloc((MIB / 4) * 3).toString('base64') }),
      2,
    ],
    ['the bytes of its documents', ofEach(8, { documents: 'x'.repeat(MIB / 4) }), 2],
    ['the bytes of its metadata', ofEach(8, { metadatas: { key: 'x'.repeat(MIB / 4) } }), 2],
    ['the bytes of its uris', ofEach(8, { uris: 'x'.repeat(MIB) }), 2],
    ['the bytes of its ids', call('delete', { ids: ['x'.repeat(MIB - 2), 'y'.repeat(MIB - 2)] }), 2],
    ['the number of ids it deletes', call('delete', { ids: Array.from({ length: 8192 }, () => 'x') }), 2],
  ])('is that of %s', (_, whole, expected) => {
    expect(workOf(whole)).toBeCloseTo(expected, 2);
    const found = parts(whole, { work: 1 });
    expect(found.length).toBeGreaterThanOrEqual(2);
    expect(found.length).toBeLessThanOrEqual(4);
    for (const part of found) expect(workOf(part)).toBeLessThanOrEqual(1.1);
  });
});

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CallMerger, deleteByIdsBodies, ID_BYTES_MAX, mergeRecordCalls, type MergeLimits } from './merge.ts';
import type { BodyCapabilities, RecordCall, RecordKind } from '../parse/record-call.ts';
import { scanRecordCall } from '../parse/scanner.ts';
import { isRefusal } from '../parse/refusal.ts';

const CAPABILITIES: BodyCapabilities = {
  maxBatchSize: 5461,
  base64Embeddings: true,
  metadataArrays: true,
  deleteLimit: true,
};
const LIMITS = { maxIds: 100, maxBytes: 100_000 };

interface Columns {
  ids: string[];
  embeddings?: (number[] | string | null)[];
  documents?: (string | null)[];
  metadatas?: (Record<string, unknown> | null)[];
  uris?: (string | null)[];
}

function call(kind: RecordKind, body: object): RecordCall {
  const scanned = scanRecordCall(kind, Buffer.from(JSON.stringify(body, null, 1)), CAPABILITIES);
  if (isRefusal(scanned)) throw new Error(scanned.message);
  return scanned;
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString();
}

function merged(calls: readonly RecordCall[], limits = LIMITS): CallMerger | null {
  const merger = new CallMerger(limits);
  return calls.every((next) => merger.tryAdd(next)) ? merger : null;
}

// A Chroma collection (docs/chroma-behaviour.md#writing-records): add keeps existing records, upsert and update merge
// metadata, null changes nothing, a null metadata value removes the key.
interface Stored {
  embedding: unknown;
  document: string | null;
  uri: string | null;
  metadata: Record<string, unknown>;
}

function apply(collection: Map<string, Stored>, kind: RecordKind, columns: Columns): void {
  for (const [index, id] of columns.ids.entries()) {
    if (kind === 'delete') {
      collection.delete(id);
      continue;
    }
    const old = collection.get(id);
    if (kind === 'add' ? old !== undefined : kind === 'update' && old === undefined) continue;
    const metadata = { ...old?.metadata, ...columns.metadatas?.[index] };
    for (const [key, value] of Object.entries(metadata)) if (value === null) delete metadata[key];
    collection.set(id, {
      embedding: columns.embeddings?.[index] ?? old?.embedding ?? null,
      document: columns.documents?.[index] ?? old?.document ?? null,
      uri: columns.uris?.[index] ?? old?.uri ?? null,
      metadata,
    });
  }
}

const ID = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'é"\n');

function columnsOf(kind: RecordKind, embedded: boolean): fc.Arbitrary<Columns> {
  if (kind === 'delete') return fc.record({ ids: fc.array(ID, { minLength: 1, maxLength: 3 }) });
  const value = kind === 'add' ? fc.integer() : fc.option(fc.integer(), { nil: null });
  const vector = fc.array(fc.integer(), { minLength: 2, maxLength: 2 });
  return fc.array(ID, { maxLength: 3 }).chain((ids) => {
    const column = <T>(item: fc.Arbitrary<T>) =>
      fc.array(item, { minLength: ids.length, maxLength: ids.length });
    const optional = <T>(item: fc.Arbitrary<T>) => column(fc.option(item, { nil: null }));
    const embeddings = kind === 'update' ? optional(vector) : column(vector);
    return fc.record(
      {
        ids: fc.constant(ids),
        ...(embedded ? { embeddings } : {}),
        documents: optional(fc.string()),
        metadatas: optional(fc.dictionary(fc.constantFrom('x', 'y'), value)),
        uris: optional(fc.string()),
      },
      { requiredKeys: embedded ? ['ids', 'embeddings'] : ['ids'] },
    );
  });
}

const CALLS = fc.constantFrom<RecordKind>('add', 'upsert', 'update', 'delete').chain((kind) => {
  const embedded = kind === 'update' ? fc.boolean() : fc.constant(true);
  const one = embedded.chain((hasEmbeddings) => columnsOf(kind, hasEmbeddings));
  return fc.record({ kind: fc.constant(kind), all: fc.array(one, { minLength: 1, maxLength: 6 }) });
});

describe('a merged call', () => {
  test('has the effect of its calls made one after the other', () => {
    let mergedSome = 0;
    fc.assert(
      fc.property(CALLS, fc.array(ID, { maxLength: 4 }), ({ kind, all }, present) => {
        const one = new Map<string, Stored>();
        apply(one, 'add', { ids: present, embeddings: present.map(() => [9, 9]) });
        const many = structuredClone(one);
        const merger = new CallMerger(LIMITS);
        for (const columns of all) {
          if (!merger.tryAdd(call(kind, columns))) break;
          apply(many, kind, columns);
        }
        const body = text(merger.chunks());
        expect(Buffer.byteLength(body)).toBe(merger.byteLength);
        if (body.startsWith('{"ids":[')) mergedSome++;
        const columns: Columns = JSON.parse(body);
        apply(one, kind, columns);
        expect(one).toEqual(many);
        expect(isRefusal(scanRecordCall(kind, Buffer.from(body), CAPABILITIES))).toBe(false);
      }),
      { numRuns: 500 },
    );
    expect(mergedSome).toBeGreaterThan(20);
  });

  test('keeps the bytes of every item as they were sent', () => {
    const first = scanRecordCall('add', Buffer.from('{"ids":["a"],"embeddings":[[1.0, 2e0]]}'), CAPABILITIES);
    const body = '{"embeddings":[[ 3,4 ]],"ids":["\\u0062"],"metadatas":[{"n":9007199254740993}]}';
    const second = scanRecordCall('add', Buffer.from(body), CAPABILITIES);
    if (isRefusal(first) || isRefusal(second)) throw new Error('refused');
    expect(text(mergeRecordCalls([first, second]))).toBe(
      '{"ids":["a","\\u0062"],"embeddings":[[1.0, 2e0],[ 3,4 ]],"metadatas":[null,{"n":9007199254740993}]}',
    );
  });

  test('is the received body when there is one call', () => {
    const body = Buffer.from('{ "ids" : ["a"], "embeddings":[[1]], "unknown": 1.50 }');
    const scanned = scanRecordCall('add', body, CAPABILITIES);
    if (isRefusal(scanned)) throw new Error(scanned.message);
    expect(mergeRecordCalls([scanned])).toEqual([body]);
  });

  test('shares long columns with the received bodies instead of copying them', () => {
    const long = Array.from({ length: 5000 }, (_, index) => index);
    const calls = ['a', 'b'].map((id) => call('add', { ids: [id], embeddings: [long] }));
    const shared = mergeRecordCalls(calls).filter((chunk) =>
      calls.some(({ body }) => chunk.buffer === body.buffer && chunk.length > 10_000),
    );
    expect(shared).toHaveLength(2);
  });
});

function joins(first: RecordCall, next: RecordCall, limits: MergeLimits = LIMITS): boolean {
  return merged([first, next], limits) !== null;
}

describe('calls do not merge', () => {
  const add = (id: string, extra: object = {}): RecordCall =>
    call('add', { ids: [id], embeddings: [[1, 2]], ...extra });
  const base64 = Buffer.from(new Float32Array([1, 2]).buffer).toString('base64');
  const cases: [string, RecordCall, RecordCall][] = [
    ['when their kinds differ', add('a'), call('upsert', { ids: ['b'], embeddings: [[1, 2]] })],
    ['when they touch the same id', add('a'), add('a')],
    ['when their encodings differ', add('a'), call('add', { ids: ['b'], embeddings: [base64] })],
    ['when their dimensions differ', add('a'), call('add', { ids: ['b'], embeddings: [[1]] })],
    [
      'when only one has embeddings',
      call('update', { ids: ['a'], embeddings: [[1, 2]] }),
      call('update', { ids: ['b'], documents: ['x'] }),
    ],
    ['when one is a conditional delete', call('delete', { ids: ['a'] }), call('delete', { where: { k: 1 } })],
    ['after a conditional delete', call('delete', { where: { k: 1 } }), call('delete', { ids: ['a'] })],
  ];
  test.each(cases)('%s', (_, first, second) => {
    expect(joins(first, second)).toBe(false);
    expect(joins(first, first.kind === 'delete' ? first : second)).toBe(
      first.kind === 'delete' && !first.conditional,
    );
  });

  test('beyond the largest number of ids', () => {
    expect(joins(add('a'), add('b'), { ...LIMITS, maxIds: 1 })).toBe(false);
    expect(joins(add('a'), add('b'), { ...LIMITS, maxIds: 2 })).toBe(true);
  });

  test('beyond the largest body, to the byte', () => {
    const size = merged([add('a'), add('b', { documents: ['x'] })])?.byteLength ?? 0;
    expect(joins(add('a'), add('b', { documents: ['x'] }), { ...LIMITS, maxBytes: size })).toBe(true);
    expect(joins(add('a'), add('b', { documents: ['x'] }), { ...LIMITS, maxBytes: size - 1 })).toBe(false);
  });
});

test('a call that cannot be merged does not change the merger', () => {
  const merger = new CallMerger(LIMITS);
  merger.tryAdd(call('add', { ids: ['a'], embeddings: [[1]] }));
  const before = [merger.count, merger.byteLength, text(merger.chunks())];
  expect(merger.tryAdd(call('add', { ids: ['b', 'a'], embeddings: [[1], [1]], uris: ['u', 'v'] }))).toBe(
    false,
  );
  expect([merger.count, merger.byteLength, text(merger.chunks())]).toEqual(before);
  expect(merger.tryAdd(call('add', { ids: ['b'], embeddings: [[1]] }))).toBe(true);
});

test('calls without records merge with any call of their kind', () => {
  const empty = call('add', { ids: [], embeddings: [] });
  const one = call('add', { ids: ['a'], embeddings: [[1]] });
  expect(text(merged([empty, one, empty])?.chunks() ?? [])).toBe(one.body.toString());
  expect(text(merged([empty, empty])?.chunks() ?? [])).toBe(empty.body.toString());
});

test('ids to delete are split into bodies of the given size', () => {
  const bodies = deleteByIdsBodies(['a', 'b"', 'ü'], 2).map(String);
  expect(bodies).toEqual(['{"ids":["a","b\\""]}', '{"ids":["ü"]}']);
  expect(deleteByIdsBodies([], 2)).toEqual([]);
  expect(() => deleteByIdsBodies(['a'], 0)).toThrow(RangeError);
});

test('ids to delete are split into bodies of at most 1 MiB, or of one longer id', () => {
  const third = 'é'.repeat(ID_BYTES_MAX / 2 / 3);
  const ids = [third, third, third, 'x'.repeat(ID_BYTES_MAX + 1), 'short'];
  const bodies = deleteByIdsBodies(ids, 100);
  expect(bodies.map((body) => (JSON.parse(body.toString()) as Columns).ids.length)).toEqual([2, 1, 1, 1]);
  expect(bodies.flatMap((body) => (JSON.parse(body.toString()) as Columns).ids)).toEqual(ids);
  expect(bodies.filter((body) => body.length > ID_BYTES_MAX)).toHaveLength(1);
});

test('calls are compared by whole ids when ids are longer than 16,383 characters', () => {
  const long = 'x'.repeat(20_000);
  const add = (id: string): RecordCall => call('add', { ids: [id], embeddings: [[1]] });
  expect(joins(add(`${long}a`), add(`${long}b`))).toBe(true);
  expect(joins(add(`${long}a`), add(`${long}a`))).toBe(false);
});

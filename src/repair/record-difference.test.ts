import { expect, test } from 'vitest';
import type { StoredRecord } from './copy-content.ts';
import { recordDifference, vectorIn } from './record-difference.ts';

const record = (
  columns: Partial<Record<'embedding' | 'document' | 'uri' | 'metadata', string>>,
): StoredRecord => ({
  id: 'a',
  embedding: Buffer.from(columns.embedding ?? '[0.6,0.8]'),
  document: Buffer.from(columns.document ?? 'null'),
  uri: Buffer.from(columns.uri ?? 'null'),
  metadata: Buffer.from(columns.metadata ?? 'null'),
});

test.each([
  // One metadata value is another type, or differs in its last bit.
  ['metadata', { metadata: '{"n":1.0}' }, { metadata: '{"n":1}' }],
  ['metadata', { metadata: '{"n":true}' }, { metadata: '{"n":1}' }],
  ['metadata', { metadata: '{"n":"1"}' }, { metadata: '{"n":1}' }],
  ['metadata', { metadata: '{"n":9007199254740993}' }, { metadata: '{"n":9007199254740992}' }],
  ['metadata', { metadata: '{"n":0.1}' }, { metadata: '{"n":0.10000000000000002}' }],
  ['metadata', { metadata: '{"n":0.0}' }, { metadata: '{"n":-0.0}' }],
  ['metadata', { metadata: '{"n":1,"m":2}' }, { metadata: '{"n":1}' }],
  ['metadata', { metadata: '{"n":1}' }, { metadata: '{"m":1}' }],
  ['metadata', { metadata: '{"n":[1,2]}' }, { metadata: '{"n":[2,1]}' }],
  ['metadata', { metadata: '{"n":[1,2]}' }, { metadata: '{"n":[1]}' }],
  ['metadata', { metadata: '{"n":[1.0]}' }, { metadata: '{"n":[1]}' }],
  ['metadata', { metadata: 'null' }, { metadata: '{"n":1}' }],
  ['document', { document: 'null' }, { document: '""' }],
  ['document', { document: '"null"' }, { document: 'null' }],
  ['document', { document: '"a"' }, { document: '"b"' }],
  ['uri', { uri: '"a"' }, { uri: 'null' }],
  ['embedding', { embedding: '[0.6,0.8]' }, { embedding: '[0.6,0.80002]' }],
  ['embedding', { embedding: '[0.6,0.8]' }, { embedding: '[0.8,0.6]' }],
  // The same direction, and another length.
  ['embedding', { embedding: '[0.6,0.8]' }, { embedding: '[0.60002,0.80002]' }],
  ['embedding', { embedding: '[0.0,0.0]' }, { embedding: '[0.0,1e-40]' }],
  ['embedding', { embedding: '[0.6,0.8]' }, { embedding: '[0.6]' }],
  ['embedding', { embedding: '[0.6,0.8]' }, { embedding: 'null' }],
  ['embedding', { embedding: '[0.6,null]' }, { embedding: '[0.6,0.8]' }],
] as const)('finds a difference of the %s: %j, %j', (field, a, b) => {
  const rule = { isCosine: true };
  expect(recordDifference(record(a), record(b), rule)).toBe(field);
  expect(recordDifference(record(b), record(a), rule)).toBe(field);
});

test.each([
  ['another order of keys', { metadata: '{"n":1.0,"m":"x"}' }, { metadata: '{"m":"x","n":1.0}' }],
  ['another text of a double', { metadata: '{"n":1e16}' }, { metadata: '{"n":1e+16}' }],
  ['another escape', { document: '"\\u00e9"' }, { document: '"é"' }],
  ['rounding of a long cosine vector', { embedding: '[30000.0,0.1]' }, { embedding: '[30000.002,0.1]' }],
  ['rounding of a cosine vector', { embedding: '[0.6,0.8]' }, { embedding: '[0.6000001,0.7999999]' }],
] as const)('accepts %s', (_what, a, b) => {
  expect(recordDifference(record(a), record(b), { isCosine: true })).toBeNull();
});

test('compares vectors of other spaces exactly', () => {
  const [a, b] = [record({ embedding: '[0.6,0.8]' }), record({ embedding: '[0.6,0.80000001]' })];
  expect(recordDifference(a, record({ embedding: '[0.6,0.8000001]' }), { isCosine: false })).toBe(
    'embedding',
  );
  // Two texts of one 32-bit float.
  expect(recordDifference(a, b, { isCosine: false })).toBeNull();
});

test('reads 32-bit floats exactly from the shortest decimal that identifies them', () => {
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  let state = 1;
  for (let count = 0; count < 20_000; count++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bits[0] = state;
    const value = float[0] as number;
    if (!Number.isFinite(value)) continue;
    let text = '';
    for (let digits = 1; digits <= 9; digits++) {
      text = value.toPrecision(digits);
      if (Math.fround(Number(text)) === value) break;
    }
    expect(vectorIn(Buffer.from(`[${text}]`))?.[0]).toBe(value);
  }
});

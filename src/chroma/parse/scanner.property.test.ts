// Compares the scanner with JSON.parse: on valid bodies in any notation, and on damaged bodies, which must not be accepted.

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { COLUMNS, type BodyCapabilities, type RecordCall, type RecordKind } from './record-call.ts';
import { scanRecordCall } from './scanner.ts';
import { isRefusal } from './refusal.ts';

const CAPABILITIES: BodyCapabilities = {
  maxBatchSize: 100,
  base64Embeddings: true,
  metadataArrays: true,
  deleteLimit: true,
};

interface Body {
  ids?: string[] | null;
  embeddings?: (number[] | string | null)[] | null;
  [field: string]: unknown;
}

/** Writes JSON with white space and escapes chosen by `tape`, to the same meaning. */
function spell(value: unknown, tape: () => number): string {
  const space = (): string => ['', '', '', ' ', '\n\t', '\r\n  '][tape() % 6] ?? '';
  const string = (text: string): string => {
    const units = Array.from(JSON.stringify(text).slice(1, -1), (character) => {
      const code = character.codePointAt(0) ?? 0;
      const plain = character !== '\\' && code < 0x10000 && tape() % 4 === 0;
      return plain && !/["\\a-zA-Z0-9]/.test(character)
        ? `\\u${code.toString(16).padStart(4, '0')}`
        : character;
    });
    return `"${units.join('')}"`;
  };
  const write = (item: unknown): string => {
    if (typeof item === 'string') return string(item);
    if (Array.isArray(item))
      return `[${item.map((each) => space() + write(each) + space()).join(',')}${space()}]`;
    if (item === null || typeof item !== 'object') return JSON.stringify(item);
    const members = Object.entries(item).map(
      ([name, each]) => `${space()}${string(name)}${space()}:${space()}${write(each)}${space()}`,
    );
    return `{${members.join(',')}${space()}}`;
  };
  return space() + write(value) + space();
}

/** What the scanner must have found, said in terms of JSON.parse. */
function expectFound(kind: RecordKind, call: RecordCall, body: Body): void {
  const inside = (slice: { start: number; end: number }): unknown =>
    JSON.parse(`[${call.body.toString('utf8', slice.start, slice.end)}]`);
  expect(call.ids).toEqual(body.ids ?? []);
  expect(inside(call.idSlice)).toEqual(body.ids ?? []);
  for (const column of COLUMNS) {
    const slice = call.columns[column];
    const items = kind === 'delete' ? undefined : (body[column] ?? undefined);
    expect(slice === undefined ? undefined : inside(slice)).toEqual(items);
  }
  const embeddings = kind === 'delete' ? [] : (body.embeddings ?? []).filter((item) => item !== null);
  const lengths = new Set(
    embeddings.map((item) =>
      typeof item === 'string' ? Buffer.from(item, 'base64').length / 4 : item.length,
    ),
  );
  expect(lengths.size).toBeLessThanOrEqual(1);
  expect(call.dimension).toBe([...lengths][0] ?? null);
  const encoding = typeof embeddings[0] === 'string' ? 'base64' : 'floats';
  expect(call.encoding).toBe(embeddings.length === 0 ? null : encoding);
  const conditions = [body['where'], body['where_document'], body['limit']];
  expect(call.conditional).toBe(kind === 'delete' && conditions.some((item) => (item ?? null) !== null));
}

// Strings without lone surrogates, which serde does not have.
const TEXT = fc.string({ unit: 'grapheme', maxLength: 8 });
const KEY = TEXT.filter(
  (key) => key !== '' && !/^[#$]/.test(key) && !key.startsWith('chroma:') && key !== '__proto__',
);
const FLOAT = fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.integer());
const SCALAR = fc.oneof(
  TEXT,
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.maxSafeInteger(),
);

function bodies(kind: RecordKind): fc.Arbitrary<Body> {
  const ids = fc.array(
    TEXT.filter((id) => id !== ''),
    { minLength: kind === 'delete' ? 1 : 0, maxLength: 4 },
  );
  const unknown = fc.dictionary(fc.constantFrom('x', 'y', 'idz'), fc.jsonValue({ noUnicodeString: false }), {
    maxKeys: 2,
  });
  if (kind === 'delete') {
    const where = fc.option(fc.constant({ k: { $gt: 1 } }), { nil: null });
    const body = fc.record({ ids: fc.option(ids, { nil: null }), where }, { requiredKeys: [] });
    return fc.tuple(body, unknown).map(([known, other]) => Object.assign({}, known, other));
  }
  return fc
    .tuple(ids, fc.integer({ min: 1, max: 6 }), fc.boolean(), unknown)
    .chain(([list, width, packed, other]) => {
      const size = { minLength: list.length, maxLength: list.length };
      const floats = fc.array(FLOAT, { minLength: width, maxLength: width });
      const packedFloats = floats.map((item) =>
        Buffer.from(new Float32Array(item).buffer).toString('base64'),
      );
      const vector: fc.Arbitrary<number[] | string> = packed ? packedFloats : floats;
      const embeddings = fc.array(kind === 'update' ? fc.option(vector, { nil: null }) : vector, size);
      const texts = fc.option(fc.array(fc.option(TEXT, { nil: null }), size), { nil: null });
      const metadata = fc.dictionary(KEY, fc.oneof(SCALAR, fc.array(TEXT, { maxLength: 3 })), { maxKeys: 3 });
      const metadatas = fc.option(fc.array(fc.option(metadata, { nil: null }), size), { nil: null });
      return fc
        .record(
          { ids: fc.constant(list), embeddings, documents: texts, metadatas, uris: texts },
          { requiredKeys: kind === 'update' ? ['ids'] : ['ids', 'embeddings'] },
        )
        .map((known) => Object.assign({}, other, known));
    });
}

const CASES = fc
  .constantFrom<RecordKind>('add', 'upsert', 'update', 'delete')
  .chain((kind) =>
    fc.tuple(fc.constant(kind), bodies(kind), fc.array(fc.nat(), { minLength: 1, maxLength: 40 })),
  )
  .map(([kind, body, choices]) => {
    let next = 0;
    return { kind, body, text: spell(body, () => choices[next++ % choices.length] ?? 0) };
  });

test('the scanner finds in a valid body what JSON.parse finds', () => {
  fc.assert(
    fc.property(CASES, ({ kind, text }) => {
      const call = scanRecordCall(kind, Buffer.from(text), CAPABILITIES);
      if (isRefusal(call)) throw new Error(`${text}: ${call.message}`);
      const body: Body = JSON.parse(text);
      expectFound(kind, call, body);
    }),
    { numRuns: 400 },
  );
});

test('a body with one byte changed, removed or added is refused, or agrees with JSON.parse', () => {
  const edit = fc.constantFrom('change', 'remove', 'add');
  const byte = fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('"\\{}[],:0123456789.eE+-nt \n')));
  let passed = 0;
  let refused = 0;
  fc.assert(
    fc.property(CASES, edit, byte, fc.nat(), ({ kind, text }, how, value, place) => {
      const valid = Buffer.from(text);
      const at = place % valid.length;
      const middle = how === 'remove' ? [] : [value];
      const after = valid.subarray(how === 'add' ? at : at + 1);
      const body = Buffer.concat([valid.subarray(0, at), Buffer.from(middle), after]);
      const call = scanRecordCall(kind, body, CAPABILITIES);
      if (isRefusal(call)) {
        refused++;
        expect([400, 422]).toContain(call.status);
        return;
      }
      passed++;
      // Invalid UTF-8 is accepted only in fields that no server reads.
      const decoded = new TextDecoder('utf8', { ignoreBOM: true }).decode(body);
      const parsed: Body = JSON.parse(decoded);
      expectFound(kind, call, parsed);
    }),
    { numRuns: 1000 },
  );
  expect(Math.min(passed, refused)).toBeGreaterThan(100);
});

test('every truncated body is refused', () => {
  fc.assert(
    fc.property(CASES, fc.nat(), ({ kind, text }, place) => {
      const body = Buffer.from(text.trimEnd());
      expect(isRefusal(scanRecordCall(kind, body.subarray(0, place % body.length), CAPABILITIES))).toBe(true);
    }),
    { numRuns: 200 },
  );
});

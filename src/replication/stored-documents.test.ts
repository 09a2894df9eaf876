import { beforeEach, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import type { RecordCall, RecordKind } from '../chroma/parse/record-call.ts';
import { scanRecordCall } from '../chroma/parse/scanner.ts';
import { replacesDocuments, StoredDocuments } from './stored-documents.ts';

const MIB = 1024 * 1024;
const TARGET = { physical: 'p', tenant: 't', database: 'd', name: 'n', fromLSN: 0, copy: 0, suspect: null };

let sampled: number;
let stored: StoredDocuments;

beforeEach(() => {
  sampled = 0;
  stored = new StoredDocuments(async () => (sampled++, MIB / 16));
});

function call(kind: RecordKind, count: number, documentLength: number | null): RecordCall {
  const ids = Array.from({ length: count }, (_, n) => `r${n}`);
  const documents = documentLength === null ? undefined : ids.map(() => 'x'.repeat(documentLength));
  const embeddings = kind === 'delete' ? undefined : ids.map(() => [1]);
  const body = Buffer.from(JSON.stringify({ ids, embeddings, documents }));
  return scanRecordCall(kind, body, CHROMA_1_0_5) as RecordCall;
}

test('the size of documents is known from the writes of this process', async () => {
  stored.written('s', call('add', 100, 10_000));
  const work = await stored.removalWork('s', TARGET, 100);
  expect(work).toBeGreaterThan(0.9);
  expect(work).toBeLessThan(1);
  expect(sampled).toBe(0);
});

test('a shard that this process has not written to is sampled once', async () => {
  expect(await stored.removalWork('s', TARGET, 32)).toBe(2);
  expect(await stored.removalWork('s', TARGET, 16)).toBe(1);
  expect(sampled).toBe(1);
});

test('writes without documents make the average smaller, updates of other columns do not', async () => {
  stored.written('s', call('add', 100, 10_000));
  const before = await stored.removalWork('s', TARGET, 100);
  stored.written('s', call('update', 100, null));
  expect(await stored.removalWork('s', TARGET, 100)).toBe(before);
  stored.written('s', call('upsert', 100, null));
  expect(await stored.removalWork('s', TARGET, 100)).toBeCloseTo(before / 2);
});

test.each([
  ['yes', 'delete', null],
  ['yes', 'update', 5],
  ['maybe', 'upsert', 5],
  ['no', 'update', null],
  ['no', 'upsert', null],
  ['no', 'add', 5],
] as const)('whether documents are replaced is %s for %s with documents of %s', (replaces, kind, length) => {
  expect(replacesDocuments(call(kind, 1, length))).toBe(replaces);
});

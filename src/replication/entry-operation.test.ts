import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { StoredScan } from '../chroma/parse/large-scanner.ts';
import type { RecordCall, RecordKind } from '../chroma/parse/record-call.ts';
import type { Capabilities } from '../chroma/protocol/capabilities.ts';
import { scanFirstAccepted, scanRecordCall } from '../chroma/parse/scanner.ts';
import { isRefusal } from '../chroma/parse/refusal.ts';
import type { Entry } from '../log/entry.ts';
import { listedBytes, scannedEntries, toDraft, toOperation } from './entry-operation.ts';

/** The call as a node finds it that reads its entry from the log. */
function readBack(call: RecordCall): unknown {
  const { kind, target, header, body } = toDraft({ type: 'records', shard: 's', call });
  const entry: Entry = { lsn: 1, kind, target, header, body, batch: 'b', appendedAt: 0 };
  return toOperation(entry);
}

const LEVELS: fc.Arbitrary<Capabilities> = fc.record({
  maxBatchSize: fc.constant(100),
  base64Embeddings: fc.boolean(),
  metadataArrays: fc.boolean(),
  deleteLimit: fc.boolean(),
  schema: fc.boolean(),
});

const DELETE_FIELDS = [
  '"ids":["a"]',
  '"ids":null',
  '"limit":null',
  '"limit":null',
  '"limit":2',
  '"where":{"k":1}',
  '"where":null',
  '"where_document":{"$contains":"x"}',
  '"li\\u006dit":null',
  '"other":[1]',
];
const RECORD_FIELDS = [
  '"ids":["a"]',
  '"ids":["a"]',
  '"embeddings":[[1,2]]',
  '"embeddings":[[1,2]]',
  '"embeddings":["AACAPw=="]',
  '"embeddings":[null]',
  '"metadatas":[{"#k":1}]',
  '"metadatas":[{"":null}]',
  '"metadatas":[{"k":[1]}]',
  '"metadatas":[{"k":1}]',
  '"documents":["x"]',
  '"uris":null',
  '"limit":null',
  '"limit":2',
];
const BODIES = fc.constantFrom<RecordKind>('add', 'upsert', 'update', 'delete', 'delete').chain((kind) => {
  const fields = fc.array(fc.constantFrom(...(kind === 'delete' ? DELETE_FIELDS : RECORD_FIELDS)), {
    maxLength: 4,
  });
  const after = fc.constantFrom('', '', '\n', 'x');
  return fc.tuple(fields, after).map(([list, rest]) => ({ kind, text: `{${list.join(',')}}${rest}` }));
});

test('what any level took is read back from the log as the same call', () => {
  let taken = 0;
  fc.assert(
    fc.property(BODIES, LEVELS, ({ kind, text }, level) => {
      const call = scanRecordCall(kind, Buffer.from(text), level);
      if (isRefusal(call)) return;
      taken++;
      expect(readBack(call)).toEqual({ type: 'records', shard: 's', call });
    }),
    { numRuns: 4000 },
  );
  expect(taken).toBeGreaterThan(300);
});

test('a limit of null given twice, which only servers that know no limit take', () => {
  const level = { maxBatchSize: 1, base64Embeddings: true, metadataArrays: false };
  const body = Buffer.from('{"ids":["a"],"limit":null,"limit":null}');
  const call = scanRecordCall('delete', body, { ...level, deleteLimit: false });
  expect(isRefusal(call)).toBe(false);
  expect(readBack(call as RecordCall)).toMatchObject({
    call: { kind: 'delete', ids: ['a'], conditional: false },
  });
});

test('entries that were read are scanned once; one that cannot be scanned is reported where it is used', async () => {
  const read = (lsn: number, kind: string, text: string): Entry => {
    return { lsn, kind, target: 's', header: '{}', body: Buffer.from(text), batch: 'b', appendedAt: 0 };
  };
  const bodies: string[] = [];
  const scanner = {
    scanStored: (kind: RecordKind, body: Buffer, levels: readonly Capabilities[]): StoredScan => {
      bodies.push(body.toString());
      return { scanned: scanFirstAccepted(kind, body, levels), body };
    },
  };
  const large = `{"ids":["${'x'.repeat(1_500_000)}"]}`;
  const entries = await scannedEntries(
    [
      read(1, 'delete', large),
      read(2, 'delete_where', '{"where":{"n":1}}'),
      read(3, 'delete', '{'),
      read(4, 'note', ''),
    ],
    scanner,
  );
  expect(entries.map(({ lsn, parsed }) => [lsn, parsed !== undefined])).toEqual([
    [1, true],
    [2, true],
    [3, false],
    [4, false],
  ]);
  expect(toOperation(entries[1] as Entry)).toMatchObject({ shard: 's', call: { conditional: true } });
  expect(bodies.length).toBe(3);
  expect(() => toOperation(entries[2] as Entry)).toThrow('LSN 3 no longer passes the scanner');
});

test('counts the ids that the parsed form lists, and none that stay in the body', () => {
  const level = { maxBatchSize: 1e6, base64Embeddings: true, metadataArrays: true, deleteLimit: true };
  const bytesOf = (count: number): number => {
    const ids = Array.from({ length: count }, (_, n) => `id-${String(n).padStart(5, '0')}`);
    const call = scanRecordCall('delete', Buffer.from(JSON.stringify({ ids })), level) as RecordCall;
    return listedBytes(toDraft({ type: 'records', shard: 's', call }).parsed);
  };
  // A string of 8 characters takes 32 bytes with its place in the array.
  expect(bytesOf(16_384)).toBeGreaterThan(16_384 * 32);
  expect(bytesOf(16_385)).toBe(0);
  expect(listedBytes(undefined)).toBe(0);
});

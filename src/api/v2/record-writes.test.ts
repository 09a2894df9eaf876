// The limits of records and filters apply to a write before it is appended.

import { afterAll, expect, test } from 'vitest';
import { COMMON_1_0_5 } from '../../../test/support/capability-levels.ts';
import { LargeScanner } from '../../chroma/parse/large-scanner.ts';
import type { FilterLimits } from '../../chroma/parse/filter-limits.ts';
import type { RecordKind } from '../../chroma/parse/record-call.ts';
import type { Operation } from '../../chroma/protocol/operation.ts';
import type { WholeResponse } from '../../http/response.ts';
import { systemClock } from '../../util/clock.ts';
import type { Names } from './resolve.ts';
import { recordWrites, type RecordWritesOptions } from './record-writes.ts';
import type { ClientRequest } from '../../http/router.ts';
import type { Writer } from '../../write/writer.ts';

const MEBIBYTE = 1024 * 1024;

const scanner = new LargeScanner();
afterAll(() => scanner.close());

interface WriteResult {
  readonly status: number;
  readonly said: string;
  readonly logged: string[];
}

/** The response to a write, and the bodies that were appended. */
async function write(
  kind: RecordKind,
  body: object,
  options: Partial<RecordWritesOptions> = {},
): Promise<WriteResult> {
  const logged: string[] = [];
  const writer = {
    write: async (operation: Operation) => {
      if (operation.type === 'records') logged.push(operation.call.body.toString());
      return { lsn: 1, decision: null };
    },
  };
  const collection = { shards: [{ id: 'shard', dimension: null }] };
  const handlers = recordWrites({
    writer: writer as unknown as Writer,
    scanner,
    names: { byId: async () => collection } as unknown as Names,
    selection: { isOutOfUse: () => false },
    capabilities: () => COMMON_1_0_5,
    ackLevel: 'primary',
    recordsMax: 100_000,
    clock: systemClock,
    timeoutMs: 1_000,
    ...options,
  });
  const text = JSON.stringify(body);
  // Not a slice of Buffer's pool, as a body from a socket.
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  const request = { headers: {}, params: {}, body: bytes } as unknown as ClientRequest;
  const { status, body: said } = (await handlers[kind](request)) as WholeResponse;
  return { status, said: String(said), logged };
}

const deletion = (body: object, filterLimits?: FilterLimits): Promise<WriteResult> =>
  write('delete', body, filterLimits === undefined ? {} : { filterLimits });

const or = (count: number, padding = ''): object => ({
  $or: Array.from({ length: count }, (_, index) => ({ k: `${index}${padding}` })),
});

test.each([
  ['conditions', { where: or(989) }, 'FILTER_CONDITIONS_MAX'],
  [
    'conditions in a large body',
    { where: or(989, 'x'.repeat((3 * MEBIBYTE) / 989)) },
    'FILTER_CONDITIONS_MAX',
  ],
  [
    'values',
    { where: { k: { $in: Array.from({ length: 16_381 }, (_, value) => value) } } },
    'FILTER_OPERANDS_MAX',
  ],
])('a delete with too many %s is refused and not appended', async (_what, body, setting) => {
  const { status, said, logged } = await deletion(body);
  expect([status, said, logged]).toEqual([400, expect.stringContaining(setting), []]);
});

test('a delete at the limit is appended unchanged, whatever its size', async () => {
  const body = { where: or(899, 'x'.repeat((3 * MEBIBYTE) / 899)) };
  const { status, logged } = await deletion(body);
  expect(status).toBe(200);
  expect(logged).toEqual([JSON.stringify(body)]);
});

test('a delete of very many ids is appended in steps, above the limit of other calls too', async () => {
  const ids = Array.from({ length: 30_000 }, (_, index) => `id-${index}`);
  const { status, logged } = await write('delete', { ids }, { recordsMax: 10_000 });
  expect(status).toBe(200);
  expect(logged.length).toBeGreaterThan(1);
  expect(logged.flatMap((body) => (JSON.parse(body) as { ids: string[] }).ids)).toEqual(ids);
});

test('reports all ids of a delete in steps where servers report how many', async () => {
  const ids = Array.from({ length: 20_000 }, (_, index) => `id-${index}`);
  const capabilities = () => ({ ...COMMON_1_0_5, deleteLimit: true });
  expect((await write('delete', { ids }, { capabilities })).said).toBe('{"deleted":20000}');
});

test.each(['small', 'large'])('a %s update of more records than allowed is refused', async (size) => {
  const count = size === 'small' ? 11 : 40_001;
  const body = { ids: Array.from({ length: count }, (_, index) => String(index)) };
  const { status, said, logged } = await write('update', body, { recordsMax: count - 1 });
  expect([status, said, logged]).toEqual([400, expect.stringContaining('WRITE_RECORDS_MAX'), []]);
  expect((await write('update', body, { recordsMax: count })).logged.length).toBe(1);
});

test('the limits are those of the settings', async () => {
  const limits = { conditionsMax: 2, operandsMax: 100, depthMax: 1, patternBytesMax: 10 };
  const contains = (text: string): object => ({ where_document: { $contains: text } });
  expect((await deletion({ where: or(1) }, limits)).status).toBe(200);
  expect((await deletion({ where: or(2) }, limits)).said).toContain('at most 2 are allowed');
  expect((await deletion({ where: { $or: [or(1)] } }, limits)).said).toContain('at most a depth of 1');
  expect((await deletion(contains('ten bytes!'), limits)).status).toBe(200);
  expect((await deletion(contains('ten_bytes!'), limits)).said).toContain('at most 10 are allowed');
});

import { afterAll, describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../../test/support/capability-levels.ts';
import { LargeScanner } from './large-scanner.ts';
import type { RecordCall } from './record-call.ts';
import { isListed, LISTED_IDS_MAX } from './record-ids.ts';
import { scanRecordCall } from './scanner.ts';

const WITH_LIMIT = { ...CHROMA_1_0_5, deleteLimit: true };
const scanner = new LargeScanner();
afterAll(() => scanner.close());

const bodyOf = (records: number, dimension: number): Buffer => {
  const ids = Array.from({ length: records }, (_, n) => `"id-${n}"`).join(',');
  const vector = `[${Array.from({ length: dimension }, (_, n) => n / 7).join(',')}]`;
  const text = `{"ids":[${ids}],"embeddings":[${Array.from({ length: records }, () => vector).join(',')}]}`;
  // A separate allocation, as the server makes for a body.
  const body = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  body.write(text);
  return body;
};

describe('a large body', () => {
  test('is scanned in the thread with the same result, and its bytes come back', async () => {
    const body = bodyOf(100, 768);
    const copy = Buffer.from(body);
    const here = scanRecordCall('add', copy, CHROMA_1_0_5) as RecordCall;
    const calls = await Promise.all([
      scanner.scan('add', body, CHROMA_1_0_5),
      scanner.scan('add', bodyOf(101, 768), CHROMA_1_0_5),
    ]);
    expect(body.length).toBe(0);
    expect(calls[0]).toEqual(here);
    expect((calls[1] as RecordCall).ids.length).toBe(101);
  });

  test('is refused with the same message', async () => {
    const broken = bodyOf(100, 768);
    broken[broken.length - 1] = 0x20;
    const here = scanRecordCall('add', Buffer.from(broken), CHROMA_1_0_5);
    expect(await scanner.scan('add', broken, CHROMA_1_0_5)).toEqual(here);
  });

  test('keeps very many ids in the body only, and decodes them where they are needed', async () => {
    const ids = Array.from({ length: 2 * LISTED_IDS_MAX }, (_, n) => (n % 2 === 0 ? `id ${n}` : `"é\\${n}`));
    const text = Buffer.from(JSON.stringify({ ids }));
    const body = Buffer.allocUnsafeSlow(text.length);
    text.copy(body);
    const call = (await scanner.scan('delete', body, WITH_LIMIT)) as RecordCall;
    expect(body.length).toBe(0);
    expect(isListed(call.ids)).toBe(false);
    expect(call.ids.length).toBe(ids.length);
    expect([...call.ids]).toEqual(ids);
  });

  test('of a stored entry is scanned by the first level that accepts it', async () => {
    const text = Buffer.from(JSON.stringify({ ids: ['a'.repeat(300_000)], where: { n: 1 }, limit: 2 }));
    const copy = Buffer.allocUnsafeSlow(text.length);
    text.copy(copy);
    const { scanned, body } = await scanner.scanStored('delete', copy, [CHROMA_1_0_5, WITH_LIMIT]);
    expect(scanned).toMatchObject({ conditional: true });
    expect(body).toEqual(text);
  });

  test('is scanned on the event loop when it is small', () => {
    expect(scanner.scan('add', bodyOf(1, 2), CHROMA_1_0_5)).not.toBeInstanceOf(Promise);
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import { Quarantine } from './quarantine.ts';

let postgres: TestPostgres;
let database: Database;
let quarantine: Quarantine;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

const SHARD = '00000000-0000-4000-8000-000000000001';
const FIRST_PAGE = { after: 0, limit: 100, includesClosed: false };

beforeEach(async () => {
  database = await postgres.database();
  quarantine = new Quarantine(database);
  for (const lsn of [3, 5, 9]) {
    await database.query(
      `insert into ${database.schema}.quarantine (lsn, kind, target, header, body, status, response)
       values ($1, 'add', $2, '{}', $3, 500, $4)`,
      [lsn, SHARD, Buffer.from(`{"ids":["${lsn}"]}`), Buffer.alloc(5_000, 'x')],
    );
  }
});

const listed = async (page: Partial<typeof FIRST_PAGE> = {}): Promise<number[]> =>
  (await quarantine.list({ ...FIRST_PAGE, ...page })).map(({ lsn }) => lsn);

describe('the quarantine', () => {
  test('lists records in LSN order and in pages', async () => {
    expect(await listed()).toEqual([3, 5, 9]);
    expect(await listed({ limit: 2 })).toEqual([3, 5]);
    expect(await listed({ after: 5 })).toEqual([9]);
  });

  test('shows a record without its body, with the first bytes of the response', async () => {
    const record = await quarantine.find(5);
    expect(record).toMatchObject({ lsn: 5, kind: 'add', target: SHARD, bodyBytes: 13, status: 500 });
    expect(record).toMatchObject({ closed: null, closedAt: null, retriedLSN: null });
    expect(record?.response.length).toBe(4_096);
    expect(record?.quarantinedAt).toBeInstanceOf(Date);
    expect(await quarantine.find(4)).toBeNull();
  });

  test('returns the body verbatim, or its first bytes', async () => {
    expect((await quarantine.body(5))?.toString()).toBe('{"ids":["5"]}');
    expect((await quarantine.body(5, 6))?.toString()).toBe('{"ids"');
    expect(await quarantine.body(4)).toBeNull();
  });

  test('closes a record once', async () => {
    const closed = await Promise.all([quarantine.close(5, 'discarded'), quarantine.close(5, 'retried')]);
    expect(closed.filter(Boolean)).toHaveLength(1);
    expect(await quarantine.close(4, 'discarded')).toBe(false);
    expect(await listed()).toEqual([3, 9]);
    expect(await listed({ includesClosed: true })).toEqual([3, 5, 9]);
    expect((await quarantine.find(5))?.closedAt).toBeInstanceOf(Date);
  });

  test('opens a record again only while no retry was appended', async () => {
    await quarantine.close(5, 'retried');
    await quarantine.reopen(5);
    expect(await listed()).toEqual([3, 5, 9]);

    await quarantine.close(5, 'retried');
    await quarantine.recordRetry(5, 12);
    await quarantine.reopen(5);
    expect(await quarantine.find(5)).toMatchObject({ closed: 'retried', retriedLSN: 12 });

    await quarantine.close(3, 'discarded');
    await quarantine.reopen(3);
    expect(await quarantine.find(3)).toMatchObject({ closed: 'discarded' });
  });
});

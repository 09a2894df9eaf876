// No LSN is used twice: nothing is appended to a log that lacks what was seen of it.

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import { checksum, type AppendResult, type Draft } from './entry.ts';
import { isContinuityError, LogContinuity, type SeenEntry } from './log-continuity.ts';
import { PostgresAppendStore } from './postgres-append-store.ts';
import { PostgresLog } from './postgres-log.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

let database: Database;
let log: PostgresLog;
let continuity: LogContinuity;
let logId: string;
let names = 0;
beforeEach(async () => {
  database = await postgres.database();
  log = new PostgresLog(database);
  continuity = new LogContinuity(database);
  ({ logId } = await log.head());
});

/** Appends one entry as a gateway that has seen this much of the log. */
async function append(
  head = 0,
  newest: SeenEntry | null = null,
  token = randomUUID(),
): Promise<AppendResult> {
  const seen = (): { head: number; newest: SeenEntry | null } => ({ head, newest });
  const store = new PostgresAppendStore(database, { logId: () => logId, takeWarning: () => null, seen });
  const header = JSON.stringify({ tenant: `t${++names}` });
  const draft: Draft = {
    kind: 'create_tenant',
    target: null,
    header,
    dimension: null,
    body: Buffer.alloc(0),
  };
  const [result] = await store.append(token, [draft], [checksum(draft)]);
  return result!;
}

const refusal = (appended: Promise<unknown>): Promise<[boolean, string]> =>
  appended.then(
    () => [false, 'appended'],
    (error: Error) => [isContinuityError(error), error.message],
  );

test('an entry is appended while the log has all that was seen', async () => {
  const token = randomUUID();
  expect(await append(0, null, token)).toEqual({ s: 'ok', lsn: 1 });
  expect(await append(1, { lsn: 1, token })).toEqual({ s: 'ok', lsn: 2 });
  expect(await append(2, { lsn: 1, token })).toEqual({ s: 'ok', lsn: 3 });
});

test('nothing is appended when the log is shorter, or has another entry at an LSN that was seen', async () => {
  await append();
  expect(await refusal(append(2))).toEqual([true, 'the log ends at LSN 1, and this gateway has seen LSN 2']);
  expect(await refusal(append(1, { lsn: 1, token: randomUUID() }))).toEqual([
    true,
    'the log lacks the entry at LSN 1 that this gateway has seen',
  ]);
  expect((await log.head()).lsn).toBe(1);
});

test('an entry that was trimmed counts as seen', async () => {
  await append();
  await database.query(`update ${database.schema}.head set trimmed = 1`);
  expect(await append(1, { lsn: 1, token: randomUUID() })).toEqual({ s: 'ok', lsn: 2 });
});

test('after a promotion nothing is appended before the leader has compared the log', async () => {
  const s = database.schema;
  await database.query(`update ${s}.lease set epoch = 7`);
  await continuity.confirm(7, 1);
  expect(await continuity.state()).toEqual({ isCompared: true, rewound: null, timeline: 1 });
  // As the row looks on a standby that was promoted: its timeline is another.
  await database.query(`update ${s}.head set timeline = timeline + 1`);
  expect(await continuity.state()).toEqual({ isCompared: false, rewound: null, timeline: 1 });
  expect(await refusal(append())).toEqual([
    true,
    'this server was promoted, and its log has not been compared yet',
  ]);
  await expect(continuity.confirm(6, 1)).rejects.toThrow('the lease has moved on');
  await expect(continuity.confirm(7, 2)).rejects.toThrow('was promoted again');
  await continuity.confirm(7, 1);
  expect(await append()).toEqual({ s: 'ok', lsn: 1 });
});

test('PostgreSQL reports its timeline', async () => {
  const [row] = await database.query(`select ${database.schema}.timeline() as timeline`);
  expect(row).toEqual({ timeline: 1 });
});

const report = (epoch: number | null, lsn: number, reason: string): Promise<boolean> =>
  continuity.reportRewound({ epoch, lsn, reason });

test('a loss is recorded only when the log lacks the entry at that moment', async () => {
  await append();
  const [row] = await database.query<{ batch: string }>(`select batch from ${database.schema}.log`);
  const loss = { epoch: null, lsn: 1, reason: 'log_rewound: lost' };
  expect(await continuity.reportRewound(loss, { lsn: 1, token: row!.batch })).toBe(false);
  expect(await continuity.reportRewound(loss, { lsn: 1, token: null })).toBe(false);
  expect(await continuity.state()).toMatchObject({ rewound: null });
  expect(await continuity.reportRewound(loss, { lsn: 1, token: randomUUID() })).toBe(true);
  expect(await continuity.state()).toMatchObject({ rewound: 'log_rewound: lost' });
});

test('an entry is lost until a note takes its LSN', async () => {
  await append();
  const seen = { lsn: 1, token: randomUUID() };
  expect(await continuity.hasLost({ ...seen, lsn: 2 })).toBe(true);
  expect(await continuity.hasLost(seen)).toBe(true);
  await database.query(`update ${database.schema}.log set kind = 'note'`);
  expect(await continuity.hasLost(seen)).toBe(false);
});

test('a log that is known to have lost entries is never appended to, by any gateway', async () => {
  await append();
  await database.query(`update ${database.schema}.lease set epoch = 7`);
  await expect(report(6, 9, 'log_rewound: other')).rejects.toThrow('the lease has moved on');
  await report(7, 9, 'log_rewound: first');
  await report(7, 5, 'log_rewound: second');
  await report(null, 8, 'log_rewound: of a gateway that does not lead');
  expect(await continuity.state()).toMatchObject({ rewound: 'log_rewound: first' });
  expect(await refusal(append())).toEqual([true, 'the log has lost its last entries: log_rewound: first']);
  await expect(continuity.confirm(0, 1)).rejects.toThrow('was not recorded');
  const [row] = await database.query(`select rewound_lsn as lsn from ${database.schema}.head`);
  expect(row).toEqual({ lsn: 9 });
});

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import { systemClock } from '../util/clock.ts';
import { Appender } from './appender.ts';
import { checksum, LogDamaged, LogTrimmed, type Draft, type Entry, type AppendResult } from './entry.ts';
import { PostgresAppendStore, PostgresLog } from './postgres-log.ts';
import { LogBuffer } from './log-buffer.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

interface Fixture {
  database: Database;
  log: PostgresLog;
  store: PostgresAppendStore;
  /** A ready collection's shard. */
  shard: string;
}

async function fixture(): Promise<Fixture> {
  const database = await postgres.database();
  const log = new PostgresLog(database);
  const { logId } = await log.head();
  const store = new PostgresAppendStore(
    database,
    () => logId,
    () => null,
  );
  const shard = randomUUID();
  const [created] = await append(store, create('first', { shard }));
  await database.query(`select ${database.schema}.acquire_lease('test', 0, 0)`);
  await database.query(`update ${database.schema}.head set primary_node = 'n', primary_generation = 1`);
  await decide(database, (created as { lsn: number }).lsn, 'accepted');
  return { database, log, store, shard };
}

const decide = (database: Database, lsn: number, outcome: string): Promise<unknown> =>
  database.query(`select ${database.schema}.decide(1, 'n', 1, $1, $2, 200, '')`, [lsn, outcome]);

const append = (store: PostgresAppendStore, ...drafts: Draft[]): Promise<AppendResult[]> =>
  store.append(randomUUID(), drafts, drafts.map(checksum));

function create(name: string, ids: { collection?: string; shard?: string } = {}): Draft {
  const { collection = randomUUID(), shard = randomUUID() } = ids;
  const header = { shard, tenant: 'default_tenant', database: 'default_database', name };
  const body = Buffer.from(JSON.stringify({ name }));
  return {
    kind: 'create_collection',
    target: collection,
    header: JSON.stringify(header),
    dimension: null,
    body,
  };
}

const add = (shard: string, text: string, dimension: number | null = null): Draft => ({
  kind: 'add',
  target: shard,
  header: '{}',
  dimension,
  body: Buffer.from(text),
});

describe('the log', () => {
  test('gives LSNs without gaps, in the order of commits, whoever appends', async () => {
    const { store, log, shard } = await fixture();
    const appended = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        append(store, add(shard, `a${i}`), add(randomUUID(), 'lost'), add(shard, 'b')),
      ),
    );
    const lsns = appended.flat().flatMap((verdict) => (verdict.s === 'ok' ? [verdict.lsn] : []));
    expect(lsns.length).toBe(80);
    expect([...lsns].sort((a, b) => a - b)).toEqual(Array.from({ length: 80 }, (_, i) => i + 2));
    expect((await log.read(0, 1_000, 1e9)).map((entry) => entry.lsn)).toEqual(
      Array.from({ length: 81 }, (_, i) => i + 1),
    );
  });

  test('answers a repeated token with what it answered the first time, and appends nothing', async () => {
    const { store, log, shard } = await fixture();
    const token = randomUUID();
    const drafts = [add(shard, 'once'), add(randomUUID(), 'nowhere')];
    const first = await store.append(token, drafts, drafts.map(checksum));
    const again = await store.append(token, drafts, drafts.map(checksum));
    expect(again).toEqual(first);
    expect((await log.head()).lsn).toBe(2);
  });

  test('keeps the bytes as they came, across the partition boundary too', async () => {
    const { store, log, shard, database } = await fixture();
    await database.query(`update ${database.schema}.head set lsn = 16382`);
    const bodies = [Buffer.from([0, 255, 10, 92, 39]), Buffer.alloc(100_000, 7), Buffer.alloc(0)];
    await append(store, ...bodies.map((body) => ({ ...add(shard, ''), body })));
    expect((await log.read(16_382, 10, 1e9)).map((entry) => entry.body)).toEqual(bodies);
  });

  test('keeps long bodies, which are neither sent nor read as one value, and sees a change in any part', async () => {
    const { store, log, shard, database } = await fixture();
    const body = Buffer.from(Array.from({ length: 3_500_001 }, (_, n) => (n * 7) % 251));
    const drafts = [add(shard, 'short'), { ...add(shard, ''), body }, add(shard, 'behind')];
    await append(store, ...drafts);
    expect((await log.read(1, 10, 1e9)).map((entry) => entry.body.equals(body))).toEqual([
      false,
      true,
      false,
    ]);
    await database.query(
      `update ${database.schema}.log set body = set_byte(body, 3000000, (get_byte(body, 3000000) + 1) % 256)
       where lsn = 3`,
    );
    await expect(log.read(2, 10, 1e9)).rejects.toThrow(LogDamaged);
    expect(await log.read(1, 10, 1e9)).toHaveLength(1);
  });

  test('fixes the dimension with the first write that brings one, in the same batch already', async () => {
    const { store, shard } = await fixture();
    const verdicts = await append(
      store,
      add(shard, 'x'),
      add(shard, 'y', 3),
      add(shard, 'z', 4),
      add(shard, 'w', 3),
    );
    expect(verdicts.map((verdict) => verdict.s)).toEqual(['ok', 'ok', 'dimension', 'ok']);
    expect(verdicts[2]).toEqual({ s: 'dimension', expected: 3 });
  });

  test('gives a name to one of those who ask for it; the others wait for the decision', async () => {
    const { store, database } = await fixture();
    const asked = await Promise.all(Array.from({ length: 8 }, () => append(store, create('wanted'))));
    const verdicts = asked.map(([verdict]) => verdict as AppendResult);
    const winner = verdicts.find((verdict) => verdict.s === 'ok') as { lsn: number };
    expect(verdicts.filter((verdict) => verdict.s === 'busy').length).toBe(7);
    await decide(database, winner.lsn, 'accepted');
    expect((await append(store, create('wanted')))[0]?.s).toBe('exists');
  });

  test('frees the name of a creation that was refused', async () => {
    const { store, database } = await fixture();
    const [taken] = await append(store, create('refused'));
    await decide(database, (taken as { lsn: number }).lsn, 'refused');
    expect((await append(store, create('refused')))[0]?.s).toBe('ok');
  });

  test('takes no records for a collection that is not decided yet, or is deleted', async () => {
    const { store, shard } = await fixture();
    const undecided = randomUUID();
    await append(store, create('later', { shard: undecided }));
    expect((await append(store, add(undecided, 'x')))[0]?.s).toBe('no_collection');
    expect((await append(store, add(shard, 'x')))[0]?.s).toBe('ok');
  });

  test('decides once: a second decision is answered with the first', async () => {
    const { store, database } = await fixture();
    const [taken] = await append(store, create('once'));
    const { lsn } = taken as { lsn: number };
    await decide(database, lsn, 'accepted');
    await decide(database, lsn, 'refused');
    const rows = await database.query(`select outcome from ${database.schema}.decision where lsn = $1`, [
      lsn,
    ]);
    expect(rows).toEqual([{ outcome: 'accepted' }]);
  });

  test('refuses to be read beyond a damaged or a missing entry', async () => {
    const { store, log, shard, database } = await fixture();
    await append(store, add(shard, 'one'), add(shard, 'two'), add(shard, 'three'));
    const s = database.schema;
    await database.query(`update ${s}.log set body = 'tow' where lsn = 3`);
    expect((await log.read(0, 10, 1e9)).map((entry) => entry.lsn)).toEqual([1, 2]);
    await expect(log.read(2, 10, 1e9)).rejects.toThrow(LogDamaged);
    await database.query(`update ${s}.log set body = 'two' where lsn = 3`);
    expect((await log.read(0, 10, 1e9)).length).toBe(4);
    await database.query(`delete from ${s}.log where lsn = 3`);
    await expect(log.read(2, 10, 1e9)).rejects.toThrow('LSN 3');
    await database.query(`delete from ${s}.log where lsn = 4`);
    await expect(log.read(2, 10, 1e9)).rejects.toThrow(LogDamaged);
    expect(await log.read(4, 10, 1e9)).toEqual([]);
  });

  test('stops reading at a bound of bytes, with one entry at least', async () => {
    const { store, log, shard } = await fixture();
    await append(store, add(shard, 'x'.repeat(1_000)), add(shard, 'y'.repeat(1_000)), add(shard, 'z'));
    expect((await log.read(1, 10, 1)).length).toBe(1);
    expect((await log.read(1, 10, 1_500)).length).toBe(2);
  });

  test('trims whole partitions and says from where on it is gone', async () => {
    const { store, log, shard, database } = await fixture();
    await database.query(`update ${database.schema}.head set lsn = 40000`);
    await append(store, add(shard, 'x'));
    await expect(log.trim(40_000, 2)).rejects.toThrow('the lease has moved on');
    expect(await log.trim(40_000, 1)).toBe(32_767);
    expect((await log.read(40_000, 10, 1e9)).length).toBe(1);
    await expect(log.read(5, 10, 1e9)).rejects.toThrow(LogTrimmed);
  });
});

describe('group commit', () => {
  test('takes what waits as one batch and hands entries on in order before anybody is told', async () => {
    const { store, log, shard } = await fixture();
    const events: string[] = [];
    const batches: Entry[][] = [];
    const appender = new Appender({
      store,
      clock: systemClock,
      newToken: randomUUID,
      timeoutMs: 5_000,
      onCommitted: (entries) => {
        batches.push([...entries]);
        events.push('handed on');
      },
      onError: () => undefined,
    });
    const logBuffer = new LogBuffer(log, (await log.head()).lsn);
    await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        appender
          .append(add(shard, `n${i}`), (lsn) => events.push(`lsn ${lsn}`))
          .then(() => events.push('told')),
      ),
    );
    expect(batches.flat().map((entry) => entry.lsn)).toEqual(Array.from({ length: 100 }, (_, i) => i + 2));
    expect(batches.length).toBeLessThan(10);
    expect(events.indexOf('told')).toBeGreaterThan(events.indexOf('handed on'));
    for (const batch of batches) logBuffer.committed(batch);
    const signal = new AbortController().signal;
    expect((await logBuffer.next(1, 1_000, 1e9, signal)).length).toBe(100);
    expect((await logBuffer.next(0, 1, 1e9, signal))[0]?.kind).toBe('create_collection');
  });

  test('refuses one entry that cannot be stored, and takes the others of its batch', async () => {
    const { store, log, shard } = await fixture();
    const appender = new Appender({
      store,
      clock: systemClock,
      newToken: randomUUID,
      timeoutMs: 5_000,
      onCommitted: () => undefined,
      onError: () => undefined,
    });
    const drafts = ['a', 'b', 'c'].map((text) => add(shard, text));
    drafts.splice(1, 0, create('nul \0 in a name'));
    const settled = await Promise.allSettled(drafts.map((draft) => appender.append(draft)));
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    expect((await log.read(1, 10, 1e9)).map(({ body }) => body.toString())).toEqual(['a', 'b', 'c']);
  });
});

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import { systemClock } from '../util/clock.ts';
import { Appender } from './appender.ts';
import { checksum, LogDamaged, LogTrimmed, type Draft, type Entry, type AppendResult } from './entry.ts';
import { PostgresAppendStore } from './postgres-append-store.ts';
import { PostgresLog } from './postgres-log.ts';
import { LogBuffer } from './log-buffer.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

interface Fixture {
  readonly epoch: number;
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
  const store = new PostgresAppendStore(database, {
    logId: () => logId,
    takeWarning: () => null,
    seen: () => ({ head: 0, newest: null }),
  });
  const shard = randomUUID();
  const [created] = await append(store, create('first', { shard }));
  const [lease] = await database.query<{ epoch: number }>(
    `select ${database.schema}.acquire_lease('test', 0, 0) as epoch`,
  );
  const { epoch } = lease!;
  await database.query(`update ${database.schema}.head set primary_node = 'n', primary_generation = 1`);
  await decide({ database, epoch }, (created as { lsn: number }).lsn, 'accepted');
  return { database, log, store, shard, epoch };
}

const decide = (
  { database, epoch }: { database: Database; epoch: number },
  lsn: number,
  outcome: string,
): Promise<unknown> =>
  database.query(`select ${database.schema}.decide($1, 'n', 1, $2, $3, 200, '', 0)`, [epoch, lsn, outcome]);

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
  test('reports its head and those of shards at one moment', async () => {
    const { store, log, shard } = await fixture();
    const missing = randomUUID();
    await append(store, add(shard, 'a'), create('second'));
    expect(await log.lastChanges()).toEqual({ schema: 3, shards: expect.any(Map), otherShards: 0 });
    expect((await log.lastChanges()).shards.get(shard)).toBe(2);
    expect(await log.positions([shard, missing])).toEqual({ head: 3, shards: new Map([[shard, 2]]) });
    expect(await log.positions([])).toEqual({ head: 3, shards: new Map() });
  });

  test('numbers concurrent appends without gaps, in commit order', async () => {
    const { store, log, shard } = await fixture();
    const appended = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        append(store, add(shard, `a${i}`), add(randomUUID(), 'lost'), add(shard, 'b')),
      ),
    );
    const lsns = appended.flat().flatMap((result) => (result.s === 'ok' ? [result.lsn] : []));
    expect(lsns.length).toBe(80);
    expect([...lsns].sort((a, b) => a - b)).toEqual(Array.from({ length: 80 }, (_, i) => i + 2));
    expect((await log.read(0, 1_000, 1e9)).map((entry) => entry.lsn)).toEqual(
      Array.from({ length: 81 }, (_, i) => i + 1),
    );
  });

  test('returns the first results for a repeated token and appends nothing', async () => {
    const { store, log, shard } = await fixture();
    const token = randomUUID();
    const drafts = [add(shard, 'once'), add(randomUUID(), 'nowhere')];
    const first = await store.append(token, drafts, drafts.map(checksum));
    const again = await store.append(token, drafts, drafts.map(checksum));
    expect(again).toEqual(first);
    expect((await log.head()).lsn).toBe(2);
  });

  test('stores bodies verbatim, also across a partition boundary', async () => {
    const { store, log, shard, database } = await fixture();
    await database.query(`update ${database.schema}.head set lsn = 16382`);
    const bodies = [Buffer.from([0, 255, 10, 92, 39]), Buffer.alloc(100_000, 7), Buffer.alloc(0)];
    await append(store, ...bodies.map((body) => ({ ...add(shard, ''), body })));
    expect((await log.read(16_382, 10, 1e9)).map((entry) => entry.body)).toEqual(bodies);
  });

  test('stores long bodies and detects a change in any part of them', async () => {
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

  test('fixes the dimension with the first embedding, also for later entries of the same batch', async () => {
    const { store, shard } = await fixture();
    const results = await append(
      store,
      add(shard, 'x'),
      add(shard, 'y', 3),
      add(shard, 'z', 4),
      add(shard, 'w', 3),
    );
    expect(results.map(({ s }) => s)).toEqual(['ok', 'ok', 'dimension', 'ok']);
    expect(results[2]).toEqual({ s: 'dimension', expected: 3 });
  });

  test('reserves a name for one of several concurrent creations and reports the others as busy', async () => {
    const { store, ...at } = await fixture();
    const responses = await Promise.all(Array.from({ length: 8 }, () => append(store, create('wanted'))));
    const results = responses.map(([result]) => result as AppendResult);
    const winner = results.find(({ s }) => s === 'ok') as { lsn: number };
    expect(results.filter(({ s }) => s === 'busy').length).toBe(7);
    await decide(at, winner.lsn, 'accepted');
    expect((await append(store, create('wanted')))[0]?.s).toBe('exists');
  });

  test('frees the name when its creation is refused', async () => {
    const { store, ...at } = await fixture();
    const [taken] = await append(store, create('refused'));
    await decide(at, (taken as { lsn: number }).lsn, 'refused');
    expect((await append(store, create('refused')))[0]?.s).toBe('ok');
  });

  test('refuses records for a collection that is not decided yet', async () => {
    const { store, shard } = await fixture();
    const undecided = randomUUID();
    await append(store, create('later', { shard: undecided }));
    expect((await append(store, add(undecided, 'x')))[0]?.s).toBe('no_collection');
    expect((await append(store, add(shard, 'x')))[0]?.s).toBe('ok');
  });

  test('keeps the first of two decisions on an entry', async () => {
    const { store, ...at } = await fixture();
    const [taken] = await append(store, create('once'));
    const { lsn } = taken as { lsn: number };
    await decide(at, lsn, 'accepted');
    await decide(at, lsn, 'refused');
    const { database } = at;
    const rows = await database.query(`select outcome from ${database.schema}.decision where lsn = $1`, [
      lsn,
    ]);
    expect(rows).toEqual([{ outcome: 'accepted' }]);
  });

  test('ends reads before a damaged or missing entry', async () => {
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

  test('ends reads at the byte bound, after at least one entry', async () => {
    const { store, log, shard } = await fixture();
    await append(store, add(shard, 'x'.repeat(1_000)), add(shard, 'y'.repeat(1_000)), add(shard, 'z'));
    expect((await log.read(1, 10, 1)).length).toBe(1);
    expect((await log.read(1, 10, 1_500)).length).toBe(2);
  });

  test('trims whole partitions and reports the trimmed LSN', async () => {
    const { store, log, shard, database, epoch } = await fixture();
    await database.query(`update ${database.schema}.head set lsn = 40000`);
    await append(store, add(shard, 'x'));
    await expect(log.trim(40_000, epoch + 1)).rejects.toThrow('another gateway holds the lease');
    expect(await log.trim(40_000, epoch)).toBe(32_767);
    expect((await log.read(40_000, 10, 1e9)).length).toBe(1);
    await expect(log.read(5, 10, 1e9)).rejects.toThrow(LogTrimmed);
  });
});

describe('group commit', () => {
  test('appends waiting entries as one batch and publishes them in order before any append resolves', async () => {
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
        events.push('published');
      },
      onError: () => undefined,
    });
    const logBuffer = new LogBuffer(log, (await log.head()).lsn);
    await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        appender
          .append(add(shard, `n${i}`), (lsn) => events.push(`lsn ${lsn}`))
          .then(() => events.push('resolved')),
      ),
    );
    expect(batches.flat().map((entry) => entry.lsn)).toEqual(Array.from({ length: 100 }, (_, i) => i + 2));
    expect(batches.length).toBeLessThan(10);
    expect(events.indexOf('resolved')).toBeGreaterThan(events.indexOf('published'));
    for (const batch of batches) logBuffer.committed(batch);
    const signal = new AbortController().signal;
    expect((await logBuffer.next(1, 1_000, 1e9, signal)).length).toBe(100);
    expect((await logBuffer.next(0, 1, 1e9, signal))[0]?.kind).toBe('create_collection');
  });

  test('refuses only the entry of a batch that cannot be stored', async () => {
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

// I5, I16: what is decided about an entry, and what is kept of one that no node can apply.

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { takeLease, testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { NodeStore } from '../nodes/node-store.ts';
import { checksum, type Draft } from '../log/entry.ts';
import { PostgresAppendStore } from '../log/postgres-append-store.ts';
import { PostgresLog } from '../log/postgres-log.ts';
import { Quarantine } from '../log/quarantine.ts';
import type { Database } from '../postgres/database.ts';
import {
  appliedRecords,
  Decisions,
  selectedCount,
  type Decider,
  type Decision,
  type Ruling,
} from './decisions.ts';

const [COLLECTION, SHARD] = [randomUUID(), randomUUID()];
const [CREATE, UPSERT, DELETE] = [1, 2, 3];
const BODY = '{"ids":["a"],"documents":["pear"]}';
/** On evidence that no node can apply the entry. */
let epoch: number;
let leader: Decider;

let postgres: TestPostgres;
let database: Database;
let nodes: NodeStore;
let decisions: Decisions;
/** The primary, in its generation. */
let primary: Decider;

beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

/** A log with a collection, an upsert and a conditional delete, the last undecided. */
beforeEach(async () => {
  database = await postgres.database();
  epoch = await takeLease(database);
  leader = { epoch, node: null, generation: 0 };
  nodes = new NodeStore(database);
  for (const id of ['a', 'b'])
    await nodes.add(epoch, { id, url: `http://${id}`, incarnation: randomUUID(), checkpoint: 0 });
  primary = { epoch, node: 'a', generation: await nodes.setPrimary(epoch, 'a') };
  decisions = new Decisions(database);
  const header = { shard: SHARD, tenant: 'default_tenant', database: 'default_database', name: 'pears' };
  await append({ kind: 'create_collection', target: COLLECTION, header, body: '{"name":"pears"}' });
  await decisions.record(primary, CREATE, ruling('accepted', '{}'));
  await append({ kind: 'upsert', target: SHARD, header: {}, body: BODY });
  await append({ kind: 'delete_where', target: SHARD, header: {}, body: '{"where":{"n":1}}' });
});

async function append({
  kind,
  target,
  header,
  body,
}: {
  kind: string;
  target: string;
  header: object;
  body: string;
}): Promise<void> {
  const { logId } = await new PostgresLog(database).head();
  const store = new PostgresAppendStore(database, {
    logId: () => logId,
    takeWarning: () => null,
    seen: () => ({ head: 0, newest: null }),
  });
  const draft: Draft = {
    kind,
    target,
    header: JSON.stringify(header),
    dimension: null,
    body: Buffer.from(body),
  };
  await store.append(randomUUID(), [draft], [checksum(draft)]);
}

const ruling = (outcome: Decision['outcome'], body: string, status = 200): Ruling => ({
  outcome,
  status,
  body: Buffer.from(body),
});

async function pagesOf(decision: Decision): Promise<string[][]> {
  const pages: string[][] = [];
  for await (const page of decisions.idPages(decision)) pages.push([...page]);
  return pages;
}

const rows = (table: string): Promise<Record<string, unknown>[]> =>
  database.query(`select * from ${database.schema}.${table}`);

test('nothing is decided about an LSN that the log lacks: a promoted server would decide about its next entry', async () => {
  for (const by of [primary, leader])
    await expect(decisions.record(by, DELETE + 1, ruling('refused', '{}'))).rejects.toThrow(
      'lacks the entry',
    );
  expect(await decisions.find(DELETE + 1)).toBeNull();
});

test('a decision that was recorded without a response wakes those who wait for it once it is found', async () => {
  const found = new Decisions(database);
  const woken = found.recorded.wait(AbortSignal.timeout(10_000)).then(() => 'woken');
  await decisions.record(primary, DELETE, ruling('accepted', '["a"]'));
  await found.find(DELETE);
  expect(await Promise.race([woken, new Promise(setImmediate)])).toBe('woken');
});

describe('the selection of a conditional delete', () => {
  test('is read from the decision itself when it is small', async () => {
    const made = await decisions.record(primary, DELETE, ruling('accepted', '["x","y"]'));
    expect(await pagesOf(made!)).toEqual([['x', 'y']]);
    expect(selectedCount(made!)).toBe(2);
  });

  test('is no decision while its closing row is missing, however many pages there are', async () => {
    expect(await decisions.addPage(primary, DELETE, 0, Buffer.from('["x"]'))).toBe(true);
    expect(await decisions.addPage(primary, DELETE, 1, Buffer.from('["y"]'))).toBe(true);
    expect(await decisions.find(DELETE)).toBeNull();
    const made = await decisions.record(primary, DELETE, {
      ...ruling('accepted', '{"deleted":2}'),
      pages: 2,
    });
    expect(await pagesOf(made!)).toEqual([['x'], ['y']]);
    expect(selectedCount(made!)).toBe(2);
    expect(await pagesOf((await new Decisions(database).find(DELETE))!)).toEqual([['x'], ['y']]);
  });

  test('is begun again by a new primary, and pages of the former one do not count', async () => {
    for (const page of [0, 1, 2]) await decisions.addPage(primary, DELETE, page, Buffer.from('["old"]'));
    const next = { epoch, node: 'b', generation: await nodes.setPrimary(epoch, 'b') };
    await decisions.addPage(next, DELETE, 0, Buffer.from('["new"]'));
    const made = await decisions.record(next, DELETE, { ...ruling('accepted', '{"deleted":1}'), pages: 1 });
    expect(made?.generation).toBe(next.generation);
    expect(await pagesOf(made!)).toEqual([['new']]);
  });

  test('takes no page and no closing row from a former primary', async () => {
    await nodes.setPrimary(epoch, 'b');
    expect(await decisions.addPage(primary, DELETE, 0, Buffer.from('["x"]'))).toBe(false);
    expect(await decisions.record(primary, DELETE, ruling('accepted', '["x"]'))).toBeNull();
    expect(await rows('decision_page')).toEqual([]);
  });

  test('replaces a page that is stored again', async () => {
    await decisions.addPage(primary, DELETE, 0, Buffer.from('["x"]'));
    await decisions.addPage(primary, DELETE, 0, Buffer.from('["y"]'));
    const made = await decisions.record(primary, DELETE, {
      ...ruling('accepted', '{"deleted":1}'),
      pages: 1,
    });
    expect(await pagesOf(made!)).toEqual([['y']]);
  });

  test('is an error when a page is missing', async () => {
    const made = await decisions.record(primary, DELETE, {
      ...ruling('accepted', '{"deleted":1}'),
      pages: 1,
    });
    await expect(pagesOf(made!)).rejects.toThrow('page 0 of the decision for LSN 3 is missing');
  });
});

describe('a quarantined entry', () => {
  test('is kept with its body and the response outside the log', async () => {
    await decisions.record(leader, UPSERT, ruling('quarantined', '{"error":"InternalError"}', 500));
    const [kept, ...others] = await rows('quarantine');
    expect(others).toEqual([]);
    expect(kept).toMatchObject({ lsn: UPSERT, kind: 'upsert', target: SHARD, status: 500, closed: null });
    expect(String(kept!['body'])).toBe(BODY);
    expect(String(kept!['response'])).toBe('{"error":"InternalError"}');
    await database.query(`delete from ${database.schema}.log where lsn = ${UPSERT}`);
    expect(await rows('quarantine')).toHaveLength(1);
  });

  test('is known as one to this process and to the next leader', async () => {
    await decisions.record(leader, UPSERT, ruling('quarantined', '{}', 500));
    const next = new Decisions(database);
    await next.load();
    for (const each of [decisions, next]) {
      expect([each.isQuarantined(UPSERT), each.openQuarantine]).toEqual([true, [UPSERT]]);
      expect(each.exception(UPSERT)).toMatchObject({ outcome: 'quarantined', status: 500 });
    }
  });

  test('is kept once when two leaders come to the same conclusion', async () => {
    await decisions.record(leader, UPSERT, ruling('quarantined', '{}', 500));
    const second = await new Decisions(database).record(leader, UPSERT, ruling('quarantined', '{}', 400));
    expect(second).toMatchObject({ status: 500 });
    expect(await rows('quarantine')).toHaveLength(1);
  });

  test('may be a conditional delete whose selection was accepted but that no node can carry out', async () => {
    await decisions.record(primary, DELETE, ruling('accepted', '["x"]'));
    const stands = await decisions.record(leader, DELETE, ruling('quarantined', '{}', 500));
    expect(stands).toMatchObject({ outcome: 'quarantined', status: 500, pages: 0 });
    expect(decisions.isQuarantined(DELETE)).toBe(true);
    expect((await new Decisions(database).find(DELETE))?.outcome).toBe('quarantined');
    expect(await rows('quarantine')).toHaveLength(1);
  });

  test('stays quarantined when the primary accepts it later', async () => {
    await decisions.record(leader, DELETE, ruling('quarantined', '{}', 500));
    expect(await decisions.record(primary, DELETE, ruling('accepted', '["x"]'))).toMatchObject({
      outcome: 'quarantined',
    });
  });
});

describe("the leader's decision", () => {
  test('is recorded although the leader names no primary', async () => {
    const stands = await decisions.record(leader, DELETE, ruling('refused', '{}', 500));
    expect(stands).toMatchObject({ lsn: DELETE, outcome: 'refused', status: 500 });
  });

  test('is not recorded when the lease has moved on', async () => {
    expect(
      await decisions.record({ ...leader, epoch: epoch + 1 }, UPSERT, ruling('quarantined', '{}')),
    ).toBeNull();
    expect(await rows('quarantine')).toEqual([]);
  });

  test('does not overturn what the primary has accepted or refused', async () => {
    expect(await decisions.record(leader, CREATE, ruling('refused', '{}', 500))).toMatchObject({
      outcome: 'accepted',
    });
    await decisions.record(primary, DELETE, ruling('refused', '{}', 400));
    expect(await decisions.record(leader, DELETE, ruling('quarantined', '{}', 500))).toMatchObject({
      outcome: 'refused',
      status: 400,
    });
    expect(await rows('quarantine')).toEqual([]);
  });

  test('notifies waiters of a decision', async () => {
    const notified = decisions.recorded.wait(AbortSignal.timeout(10_000)).then(() => true);
    await decisions.record(leader, UPSERT, ruling('quarantined', '{}', 500));
    expect(await notified).toBe(true);
  });
});

test('a partly applied entry names the records every node applies, and is an exception, not quarantined', async () => {
  const made = await decisions.record(
    leader,
    UPSERT,
    ruling('partly_applied', '{"message":"cut","applied":7}', 500),
  );
  expect(appliedRecords(made!)).toBe(7);
  const next = new Decisions(database);
  await next.load();
  expect(appliedRecords(next.exception(UPSERT)!)).toBe(7);
  expect([next.isQuarantined(UPSERT), next.openQuarantine]).toEqual([false, []]);
  expect(await rows('quarantine')).toEqual([]);
});

test('a quarantined entry is open until an operator closes it, here and for the next leader', async () => {
  await decisions.record(leader, UPSERT, ruling('quarantined', '{}', 500));
  const quarantine = new Quarantine(database, (lsn, isClosed) => decisions.quarantineClosed(lsn, isClosed));
  expect(decisions.openQuarantine).toEqual([UPSERT]);
  await quarantine.close(UPSERT, 'retried');
  expect(decisions.openQuarantine).toEqual([]);
  await quarantine.reopen(UPSERT);
  expect(decisions.openQuarantine).toEqual([UPSERT]);
  await quarantine.close(UPSERT, 'discarded');
  const next = new Decisions(database);
  await next.load();
  expect([decisions.openQuarantine, next.openQuarantine, next.isQuarantined(UPSERT)]).toEqual([[], [], true]);
});

import { beforeEach, expect, test } from 'vitest';
import { FakeCopy } from '../../test/support/fake-copy.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Term } from '../coordination/term.ts';
import type { Entry } from '../log/entry.ts';
import { FullTextVerification } from './full-text-verification.ts';

const SHARD = '00000000-0000-4000-8000-000000000001';
const TERM: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };

let copy: FakeCopy;
let clock: ManualClock;
let log: Entry[];
let verification: FullTextVerification;

beforeEach(() => {
  copy = new FakeCopy(20);
  clock = new ManualClock();
  log = [];
  verification = new FullTextVerification({
    log: { read: async (after) => log.filter(({ lsn }) => lsn > after) },
    decisions: { find: async () => null, idPages: async function* () {} },
    applied: () => 0,
    head: () => log.length,
    clock,
  });
});

async function verify(isUnlimited = false, yields = false): Promise<string[]> {
  const copies = [{ node: 'a', location: { tenant: 't', database: 'd', physical: 'p' }, read: copy.read }];
  const ids = [...copy.records.keys()];
  const request = { ids, suspects: [], comparedMs: 0, isUnlimited, yields, rest: 0, term: TERM };
  const ended = new AbortController();
  const work = verification.verify(SHARD, copies, request).finally(() => ended.abort());
  while (!ended.signal.aborted) await clock.pass(200, 200);
  return [...(await work).keys()];
}

test('finds what two checks in a row show', async () => {
  copy.filtered.set('r3', null);
  expect(await verify()).toEqual(['a']);
});

test('finds nothing that an entry explains', async () => {
  copy.filtered.set('r3', null);
  const body = Buffer.from('{"ids":["r3"],"embeddings":[[3,1]],"documents":["r3"]}');
  log = [{ lsn: 1, kind: 'upsert', target: SHARD, header: '{}', body, batch: 'b', appendedAt: 0 }];
  expect(await verify()).toEqual([]);
});

test('lets a node spend no more time than it has, and goes on later', async () => {
  const scans = (): number => copy.reads.length;
  // Each scan takes much longer than a verification may spend.
  copy.onRead = async () => {
    await clock.pass(3_000, 3_000);
    return null;
  };
  await verify();
  expect(scans()).toBe(1);
  let later = 0;
  while (scans() === 1) {
    await verify();
    later += 1;
  }
  expect(later).toBeGreaterThan(50);
  copy.filtered.set('r3', null);
  expect(await verify(true)).toEqual(['a']);
});

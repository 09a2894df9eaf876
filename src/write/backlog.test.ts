import { beforeEach, describe, expect, test } from 'vitest';
import { Notifier } from '../util/notifier.ts';
import { Backlog, type Reservation } from './backlog.ts';

let applied: number;
let changed: Notifier;
let msPerUnit: number;
let backlog: Backlog;
let lsn: number;
let deadline: AbortController;

beforeEach(() => {
  [applied, lsn, msPerUnit] = [0, 0, 1_000];
  changed = new Notifier();
  deadline = new AbortController();
  backlog = new Backlog({
    view: { primary: () => 'a', applied: () => applied, changed },
    msOf: (work) => work * msPerUnit,
  });
});

const settle = (): Promise<void> => new Promise(setImmediate);

/** A write of this work: appended as soon as there is room. */
function write(work: number): { lsn: number | null; error: Error | null } {
  const state: { lsn: number | null; error: Error | null } = { lsn: null, error: null };
  backlog.reserve(work, deadline.signal).then(
    (room) => room.appended((state.lsn = ++lsn)),
    (error: Error) => (state.error = error),
  );
  return state;
}

async function primaryApplied(upTo: number): Promise<void> {
  applied = upTo;
  changed.notify();
  await settle();
}

describe('a large write', () => {
  test('is appended at once while the primary has little left to do', async () => {
    const writes = [write(1), write(1), write(1)];
    await settle();
    expect(writes.map((each) => each.lsn)).toEqual([1, 2, 3]);
  });

  test('waits until the primary has applied enough, in the order of arrival', async () => {
    const writes = [write(2), write(2), write(1)];
    await settle();
    expect(writes.map((each) => each.lsn)).toEqual([1, null, null]);
    await primaryApplied(1);
    expect(writes.map((each) => each.lsn)).toEqual([1, 2, 3]);
  });

  test('of any size is appended once little is left', async () => {
    const first = write(1);
    await settle();
    const [huge, small] = [write(100), write(0.01)];
    await settle();
    expect([first.lsn, huge.lsn, small.lsn]).toEqual([1, null, 2]);
    await primaryApplied(1);
    expect(huge.lsn).toBe(3);
  });

  test('waits for a write that is being appended', async () => {
    const room: Reservation = await backlog.reserve(3, deadline.signal);
    const waiting = write(1);
    await settle();
    expect(waiting.lsn).toBeNull();
    room.discarded();
    await settle();
    expect(waiting.lsn).toBe(1);
  });

  test('is refused at its deadline, with nothing changed, and the next one waits on', async () => {
    const other = new AbortController();
    write(3);
    await settle();
    const refused = expect(backlog.reserve(1, other.signal)).rejects.toMatchObject({
      code: 'overloaded',
      message: expect.stringContaining('nothing was changed'),
    });
    const next = write(1);
    other.abort();
    await refused;
    await primaryApplied(1);
    expect(next.lsn).toBe(2);
  });
});

test('a small write never waits', async () => {
  write(3);
  const writes = Array.from({ length: 1_000 }, () => write(0.01));
  await settle();
  expect(writes.every((each) => each.lsn !== null)).toBe(true);
});

test('the backlog is the work that the primary has not applied, at its own rate', async () => {
  for (const work of [1, 1, 0.5]) write(work);
  await settle();
  expect(backlog.ms).toBe(2_500);
  msPerUnit = 4_000;
  await primaryApplied(2);
  expect(backlog.ms).toBe(2_000);
  await primaryApplied(3);
  expect(backlog.ms).toBe(0);
});

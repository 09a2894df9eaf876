import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Trials, type Failure, type TrialStore } from './trials.ts';

const DROPPED: Failure = { kind: 'dropped', status: 0, body: Buffer.from('the connection ended') };
const REFUSED: Failure = { kind: 'response', status: 500, body: Buffer.from('no') };

let clock: ManualClock;
let trials: Trials;
let stored: Awaited<ReturnType<TrialStore['load']>>;
let saves: Parameters<TrialStore['save']>[];
let repeated: [string, number, number][];
let storeErrors: string[];
let saveFailure: Error | null;

beforeEach(() => {
  clock = new ManualClock();
  [stored, saves, repeated, storeErrors, saveFailure] = [[], [], [], [], null];
  trials = new Trials({
    store: {
      load: async () => stored,
      save: async (...args) => {
        saves.push(args);
        if (saveFailure !== null) throw saveFailure;
      },
    },
    clock,
    onRepeated: (node, lsn, { attempts }) => void repeated.push([node, lsn, attempts]),
    onStoreError: (error) => void storeErrors.push(error.message),
  });
});

describe('a failed call', () => {
  test('counts for every entry in it, and as alone only when it brought one', () => {
    trials.failed('a', [5, 6], REFUSED);
    trials.failed('a', [6], DROPPED);
    expect(trials.of(5).get('a')).toMatchObject({ attempts: 1, alone: 0, failure: REFUSED });
    expect(trials.of(6).get('a')).toMatchObject({ attempts: 2, alone: 1, failure: DROPPED });
    expect(trials.of(6).has('b')).toBe(false);
  });

  test('keeps the time of the first failure when it fails again', () => {
    const firstMs = clock.monotonic();
    trials.failed('a', [5], REFUSED);
    clock.advance(5_000);
    trials.failed('a', [5], REFUSED);
    expect(trials.of(5).get('a')?.sinceMs).toBe(firstMs);
  });

  test('is stored under the epoch with all entries it brought', async () => {
    await trials.load(3);
    trials.failed('a', [5, 6], REFUSED);
    expect(saves).toHaveLength(1);
    const [epoch, attempts] = saves[0]!;
    expect([epoch, attempts.map(({ node, lsn }) => [node, lsn])]).toEqual([
      3,
      [
        ['a', 5],
        ['a', 6],
      ],
    ]);
  });

  test('counts although it cannot be stored, and the error is reported', async () => {
    saveFailure = new Error('PostgreSQL is away');
    trials.failed('a', [5], REFUSED);
    await clock.pass(1);
    expect(trials.isOpen(5)).toBe(true);
    expect(storeErrors).toEqual(['PostgreSQL is away']);
  });

  test('is reported from the second attempt on', () => {
    for (let n = 0; n < 3; n++) trials.failed('a', [5, 6], REFUSED);
    expect(repeated).toEqual([
      ['a', 5, 2],
      ['a', 5, 3],
    ]);
  });
});

describe('an entry', () => {
  test('is open from its first failure until a node has applied it', () => {
    expect(trials.isOpen(5)).toBe(false);
    trials.failed('a', [5], REFUSED);
    expect(trials.isOpen(5)).toBe(true);
    trials.applied([5]);
    expect(trials.isOpen(5)).toBe(false);
    expect(trials.of(5).size).toBe(0);
  });

  test('is isolated after two failed attempts on any nodes', () => {
    trials.failed('a', [5, 6], REFUSED);
    expect(trials.isIsolated(5)).toBe(false);
    trials.failed('b', [5], REFUSED);
    expect([trials.isIsolated(5), trials.isIsolated(6)]).toEqual([true, false]);
  });

  test('is forgotten when every node has gone past it', () => {
    trials.failed('a', [5], REFUSED);
    trials.failed('a', [6], REFUSED);
    trials.forget(5);
    expect([trials.isOpen(5), trials.isOpen(6)]).toEqual([false, true]);
  });

  test('no longer counts on a node that begins again without content', () => {
    trials.failed('a', [5], REFUSED);
    trials.failed('b', [5], REFUSED);
    trials.failed('a', [6], REFUSED);
    trials.beganAgain('a');
    expect([[...trials.of(5).keys()], trials.isOpen(6)]).toEqual([['b'], false]);
  });

  test('is shown as the one that fails most often on a node', () => {
    trials.failed('a', [5], REFUSED);
    expect(trials.worst('a')).toBeNull();
    for (let n = 0; n < 2; n++) trials.failed('a', [6], REFUSED);
    for (let n = 0; n < 3; n++) trials.failed('a', [7], DROPPED);
    expect(trials.worst('a')).toMatchObject({ node: 'a', lsn: 7, attempts: 3, failure: DROPPED });
    expect(trials.worst('b')).toBeNull();
  });

  test('is the oldest to be dropped when there are too many', () => {
    for (let lsn = 1; lsn <= 4_097; lsn++) trials.failed('a', [lsn], REFUSED);
    expect([trials.isOpen(1), trials.isOpen(2), trials.isOpen(4_097)]).toEqual([false, true, true]);
  });
});

describe('a dropped connection', () => {
  const kind = (): string | undefined => trials.of(5).get('a')?.failure.kind;

  test('counts as the death of the process when the process is found to be gone soon afterwards', () => {
    trials.failed('a', [5], DROPPED);
    clock.advance(2_000);
    trials.died('a');
    expect(kind()).toBe('died');
  });

  test('counts as the death of the process when that was noticed just before', () => {
    trials.died('a');
    clock.advance(1_000);
    trials.failed('a', [5], DROPPED);
    expect(kind()).toBe('died');
  });

  test('stays a dropped connection when the process ends much later, or on another node', () => {
    trials.failed('a', [5], DROPPED);
    trials.died('b');
    clock.advance(2_001);
    trials.died('a');
    expect(kind()).toBe('dropped');
  });

  test('does not turn a response into a death', () => {
    trials.failed('a', [5], REFUSED);
    trials.died('a');
    expect(kind()).toBe('response');
  });
});

describe('at the start of a term', () => {
  test('what earlier leaders found is known', async () => {
    stored = [{ lsn: 5, node: 'a', attempts: 4, alone: 2, failure: REFUSED, appliedRecords: 0 }];
    await trials.load(3);
    expect(trials.of(5).get('a')).toMatchObject({ attempts: 4, alone: 2, failure: REFUSED });
    expect(trials.isIsolated(5)).toBe(true);
  });

  test('how far earlier leaders found an entry applied is known', async () => {
    stored = [{ lsn: 5, node: 'a', attempts: 0, alone: 0, failure: REFUSED, appliedRecords: 512 }];
    await trials.load(3);
    expect([trials.appliedRecords(5), trials.isOpen(5)]).toEqual([512, false]);
  });

  test('what this process found itself stands', async () => {
    trials.failed('a', [5], DROPPED);
    stored = [{ lsn: 5, node: 'a', attempts: 4, alone: 2, failure: REFUSED, appliedRecords: 0 }];
    await trials.load(3);
    expect(trials.of(5).get('a')).toMatchObject({ attempts: 1, failure: DROPPED });
  });
});

describe('how far a split entry is applied', () => {
  test('is stored with each failed attempt', () => {
    trials.progressed('a', 5, 512);
    trials.failed('a', [5], REFUSED);
    expect(saves.at(-1)?.[1]).toMatchObject([{ lsn: 5, node: 'a', attempts: 1, appliedRecords: 512 }]);
  });

  test('is stored when there were failed attempts, which no longer count', () => {
    trials.failed('a', [5], REFUSED);
    trials.progressed('a', 5, 512);
    expect(saves.at(-1)?.[1]).toMatchObject([{ lsn: 5, node: 'a', attempts: 0, appliedRecords: 512 }]);
  });

  test('is not stored for an entry that never failed', () => {
    trials.progressed('a', 5, 512);
    expect(saves).toEqual([]);
  });
});

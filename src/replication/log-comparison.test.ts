import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { LogProgress } from '../chroma/client/identity.ts';
import type { Term } from '../coordination/term.ts';
import type { SeenEntry } from '../log/log-continuity.ts';
import type { Head } from '../log/postgres-log.ts';
import type { Follower } from './follower.ts';
import { LogComparison } from './log-comparison.ts';

/** The token of the entry at each LSN; the first is at LSN 1. */
let entries: string[];
let isCompared: boolean;
/** Responses to `confirm` that are lost. */
let lostResponses: number;
let rewound: string | null;
let memory: { head: number; newest: SeenEntry | null };
let markers: Record<string, LogProgress | null>;
let reported: number[];
/** Whether the log lacks an entry at the moment at which that is recorded. */
let isLost: boolean;
/** What happens between the reading of the head and its arrival. */
let onHead: () => void;
let clock: ManualClock;
let leads: boolean;
let comparison: LogComparison;

const marker = (checkpoint: number, token: string, log = 'log'): LogProgress => ({ log, checkpoint, token });

beforeEach(() => {
  entries = ['t1', 't2', 't3'];
  [isCompared, lostResponses] = [false, 0];
  rewound = null;
  memory = { head: 3, newest: { lsn: 3, token: 't3' } };
  markers = { a: marker(3, 't3'), b: null, c: marker(0, '') };
  [reported, isLost] = [[], true];
  onHead = () => undefined;
  clock = new ManualClock();
  leads = true;
  comparison = new LogComparison({
    continuity: {
      state: async () => ({ isCompared, rewound, timeline: 1 }),
      contains: async ({ lsn, token }) => entries[lsn - 1] === token,
      confirm: async () => {
        isCompared = true;
        if (lostResponses-- > 0) throw new Error('connection terminated');
      },
      reportRewound: async ({ lsn, reason }) => {
        if (!isLost) return false;
        reported.push(lsn);
        rewound = reason;
        return true;
      },
    },
    head: async () => {
      const head = { lsn: entries.length, logId: 'log' } as Head;
      onHead();
      return head;
    },
    logBuffer: {
      get head() {
        return memory.head;
      },
      get newest() {
        return memory.newest;
      },
    },
    followers: {
      all: () =>
        Object.entries(markers).map(
          ([id, progress]) =>
            ({ member: { id }, admission: { progress: async () => progress } }) as unknown as Follower,
        ),
    },
    leads: () => leads,
    clock,
    logger: { info: () => undefined, warn: () => undefined },
  });
});

const compare = (): Promise<string | null> => comparison.compare({ epoch: 1 });

describe('a log', () => {
  test('that has all that was seen is recorded as compared', async () => {
    expect(await compare()).toBeNull();
    expect([isCompared, reported]).toEqual([true, []]);
  });

  test('that grows while it is compared has lost nothing', async () => {
    memory = { head: 3, newest: { lsn: 3, token: 't3' } };
    onHead = () => {
      entries.push('t4');
      memory = { head: 4, newest: { lsn: 4, token: 't4' } };
    };
    expect(await compare()).toBeNull();
    expect([isCompared, reported]).toEqual([true, []]);
  });

  test.each([
    ['is shorter than this gateway has seen', () => (memory = { head: 4, newest: null }), 4],
    ['has another entry than this gateway has seen', () => (entries[2] = 'other'), 3],
    ['lacks what a node has applied', () => (markers['b'] = marker(9, 't9')), 9],
    ['has another entry than a node has applied', () => (markers['b'] = marker(2, 'other')), 2],
  ])('that %s has lost entries: recorded for all gateways', async (_what, damage, lsn) => {
    damage();
    expect(await compare()).toMatch(/^log_rewound: /);
    expect([isCompared, reported]).toEqual([false, [lsn]]);
    expect(await compare()).toBe(rewound);
  });

  test('is not compared with the marker of another log', async () => {
    markers['b'] = marker(9, 't9', 'another');
    expect(await compare()).toBeNull();
  });
});

describe('while a term lasts', () => {
  let reasons: string[];
  let compared: number;
  let over: AbortController;
  let running: Promise<void>;

  beforeEach(async () => {
    [reasons, compared] = [[], 0];
    over = new AbortController();
    await compare();
    const term: Term = { epoch: 1, clean: true, signal: over.signal, held: () => true };
    running = comparison.run(term, {
      onRewound: (reason) => reasons.push(reason),
      onCompared: () => void (compared += 1),
    });
  });

  const end = async (): Promise<void> => {
    over.abort();
    await running;
  };

  test('a promotion is noticed and the log compared within a second', async () => {
    isCompared = false;
    await clock.pass(1_100);
    expect([isCompared, reasons, compared]).toEqual([true, [], 1]);
    await clock.pass(1_100);
    expect(compared).toBe(1);
    await end();
  });

  test('what follows from a comparison is done, also when it was recorded without a response', async () => {
    [isCompared, lostResponses] = [false, 1];
    await clock.pass(3_000);
    expect([reasons, compared]).toEqual([[], 1]);
    await end();
  });

  test('the log is compared at once when an append was refused', async () => {
    isCompared = false;
    await clock.pass(10);
    comparison.request(false);
    await clock.pass(10);
    expect(isCompared).toBe(true);
    await end();
  });

  test('the log is compared when it lacks what this gateway has seen, promoted or not', async () => {
    await clock.pass(10);
    entries.pop();
    comparison.request(false);
    await clock.pass(1_100);
    expect(reasons).toEqual([]);
    comparison.request(true);
    await clock.pass(10);
    expect(reasons).toEqual(['log_rewound: the log ends at LSN 2, and had reached 3']);
    await end();
  });

  test('a comparison that was asked for is made as soon as PostgreSQL responds', async () => {
    await clock.pass(10);
    entries.pop();
    onHead = () => {
      throw new Error('unreachable');
    };
    comparison.request(true);
    await clock.pass(10);
    onHead = () => undefined;
    await clock.pass(1_100);
    expect(reasons).toHaveLength(1);
    await end();
  });

  test('entries that a node brings to light later are reported, until that is recorded', async () => {
    await clock.pass(10);
    expect(comparison.found('n2', 25)).toBe('log_rewound: n2 has applied LSN 25, which the log lacks');
    await clock.pass(10);
    expect([reported, rewound]).toEqual([[25], 'log_rewound: n2 has applied LSN 25, which the log lacks']);
    rewound = null;
    await clock.pass(1_100);
    expect(reported).toEqual([25, 25]);
    await end();
  });

  test('lost entries are reported', async () => {
    isCompared = false;
    entries.pop();
    await clock.pass(1_100);
    expect(reasons).toEqual(['log_rewound: the log ends at LSN 2, and had reached 3']);
    expect(compared).toBe(0);
    await end();
  });

  test('lost entries are recorded again on a server that is promoted later without that record', async () => {
    isCompared = false;
    entries.pop();
    await clock.pass(1_100);
    expect(reported).toEqual([3]);
    rewound = null;
    await clock.pass(2_200);
    const reason = 'log_rewound: the log ends at LSN 2, and had reached 3';
    expect([reported, rewound, reasons, isCompared]).toEqual([[3, 3], reason, [reason], false]);
    await end();
  });
});

test.each([
  ['is reported by a gateway that does not lead, when its append finds out', false, [4]],
  ['is left to the comparison of the gateway that leads', true, []],
])('a loss %s', async (_what, isLeading, expected) => {
  leads = isLeading;
  memory = { head: 4, newest: { lsn: 4, token: 't4' } };
  comparison.request(true);
  comparison.request(true);
  await clock.pass(0);
  expect(reported).toEqual(expected);
});

test('a loss that could not be reported is reported once PostgreSQL responds again, and asked for once a second', async () => {
  leads = false;
  memory = { head: 4, newest: null };
  let asked = 0;
  onHead = () => {
    asked += 1;
    throw new Error('unreachable');
  };
  comparison.request(true);
  for (let n = 0; n < 20; n++) {
    await clock.pass(100);
    comparison.resume();
  }
  await clock.pass(10);
  expect([asked, reported]).toEqual([3, []]);
  onHead = () => undefined;
  await clock.pass(1_000);
  comparison.resume();
  await clock.pass(10);
  expect(reported).toEqual([4]);
});

test('what the log has after all is no loss', async () => {
  memory = { head: 4, newest: null };
  isLost = false;
  expect(await compare()).toBeNull();
  expect([isCompared, reported]).toEqual([true, []]);
});

test('a loss after the reads of a comparison in progress is found by the next one', async () => {
  leads = false;
  onHead = () => {
    memory = { head: 4, newest: null };
    comparison.request(true);
    onHead = () => undefined;
  };
  comparison.request(true);
  await clock.pass(10);
  expect(reported).toEqual([]);
  await clock.pass(1_000);
  comparison.resume();
  await clock.pass(10);
  expect(reported).toEqual([4]);
});

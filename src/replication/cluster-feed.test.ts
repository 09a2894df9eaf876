import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { ClusterSnapshot, RecordedNode } from '../coordination/cluster-snapshot.ts';
import { CurrentTerm } from '../coordination/current-term.ts';
import { Knowledge } from '../coordination/knowledge.ts';
import { sleep } from '../util/clock.ts';
import { ClusterFeed } from './cluster-feed.ts';
import { Positions } from './positions.ts';

const LEASE_MS = 1_000;
const node = (checkpoint: number): RecordedNode => ({
  id: 'a',
  resets: 0,
  drained: false,
  counts: true,
  checkpoint,
  markerLSN: 0,
  state: 'serving',
  reason: null,
  stateEpoch: 1,
  isBusy: false,
});

let clock: ManualClock;
let row: ClusterSnapshot;
let read: () => Promise<ClusterSnapshot>;
let current: CurrentTerm;
let knowledge: Knowledge;
let steps: string[];
let polls: number;
let loading: Promise<void>;
let floor: number;
/** What this gateway knows of the log; null: all of it. */
let known: number | null;
let replaced: number;
let feed: ClusterFeed;
let stop: AbortController;
let running: Promise<void>;
beforeEach(() => {
  clock = new ManualClock();
  row = {
    head: 0,
    view: 1,
    timeline: 1,
    exceptions: 0,
    decided: 0,
    rewound: null,
    primary: 'a',
    primaryGeneration: 1,
    epoch: 1,
    holder: 'other',
    renewal: 1,
    otherGateways: 1,
    newestGateway: 1,
    nodes: [node(0)],
  };
  [steps, polls, floor, loading] = [[], 0, 0, Promise.resolve()];
  [known, replaced] = [null, 0];
  read = async () => row;
  current = new CurrentTerm();
  knowledge = new Knowledge(clock, LEASE_MS);
  knowledge.registered(clock.monotonic(), 0);
  feed = new ClusterFeed({
    store: {
      read: () => {
        polls += 1;
        return read();
      },
    },
    current,
    knowledge,
    logFeed: { advance: async (head) => void steps.push(`entries up to ${head}`) },
    knownHead: () => known ?? row.head,
    onReplaced: () => (replaced += 1),
    positions: new Positions(() => false),
    loadView: async ({ view }, before) => {
      await loading;
      steps.push(`view ${view} after ${before?.view ?? 'none'}`);
    },
    loadCatalog: async ({ view }) => void steps.push(`catalog ${view}`),
    onLoaded: () => undefined,
    follow: ({ nodes }) => steps.push(`checkpoint ${nodes[0]?.checkpoint}`),
    onAlone: () => steps.push('alone'),
    raiseSchemaFloor: (lsn) => (floor = lsn),
    leaseMs: LEASE_MS,
    clock,
    logger: { warn: () => undefined },
  });
  stop = new AbortController();
  running = feed.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await clock.pass(100);
  await running;
});

const term = { epoch: 2, clean: true, signal: new AbortController().signal, held: () => true };

test('R16: loads the view and the entries before it uses a checkpoint', async () => {
  await clock.pass(50);
  expect(steps).toEqual(['view 1 after none', 'entries up to 0', 'checkpoint 0']);
  steps.length = 0;
  const loaded = Promise.withResolvers<void>();
  loading = loaded.promise;
  row = { ...row, view: 2, head: 5, nodes: [node(5)] };
  feed.poke();
  await clock.pass(50);
  expect(steps).toEqual([]);
  loaded.resolve();
  await clock.pass(10, 1);
  expect(steps).toEqual(['view 2 after 1', 'entries up to 5', 'checkpoint 5']);
});

describe('a comparison of the log is requested', () => {
  const polled = async (changes: Partial<ClusterSnapshot>): Promise<number> => {
    row = { ...row, ...changes };
    feed.poke();
    await clock.pass(50);
    return replaced;
  };
  beforeEach(async () => {
    await polled({ head: 5 });
    expect(replaced).toBe(0);
  });

  test('when PostgreSQL is on another timeline', async () => {
    expect(await polled({ timeline: 2 })).toBe(1);
    expect(await polled({ head: 6 })).toBe(1);
  });

  test('when the log ends before what is known', async () => {
    known = 5;
    expect(await polled({ head: 4 })).toBe(1);
  });

  test('not while this gateway leads, which compares the log by itself', async () => {
    current.begin(term);
    expect(await polled({ timeline: 2 })).toBe(0);
  });

  test('not once a loss is recorded', async () => {
    expect(await polled({ timeline: 2, rewound: 'log_rewound: lost' })).toBe(0);
  });
});

test('what a promoted server has is loaded, whether its view is lower or that of another server', async () => {
  row = { ...row, view: 3 };
  await clock.pass(300);
  steps.length = 0;
  row = { ...row, view: 2 };
  await clock.pass(300);
  expect(steps[0]).toBe('view 2 after 3');
  steps.length = 0;
  row = { ...row, timeline: 2 };
  await clock.pass(300);
  expect(steps[0]).toBe('view 2 after 2');
  current.begin(term);
  steps.length = 0;
  row = { ...row, timeline: 3 };
  await clock.pass(300);
  expect(steps).toContain('catalog 2');
});

test('a request waits for a read that began after it came, and shares it', async () => {
  const first = Promise.withResolvers<ClusterSnapshot>();
  await clock.pass(50);
  read = () => first.promise;
  feed.poke();
  await clock.pass(10, 1);
  let served = 0;
  for (let n = 0; n < 3; n++) void feed.refreshed().then(() => (served += 1));
  const before = polls;
  read = async () => row;
  expect(served).toBe(0);
  first.resolve(row);
  await clock.pass(10, 1);
  expect([served, polls - before]).toEqual([3, 1]);
});

test('while this gateway leads, only the catalog and the entries of others are taken over', async () => {
  await clock.pass(50);
  steps.length = 0;
  current.begin(term);
  row = { ...row, view: 2, head: 5 };
  await clock.pass(300);
  expect(new Set(steps)).toEqual(new Set(['catalog 2', 'entries up to 5']));
  steps.length = 0;
  current.end();
  await clock.pass(300);
  expect(steps[0]).toBe('view 2 after none');
});

test('a schema change counts for reads once the primary has applied it', async () => {
  await clock.pass(50);
  feed.entries([
    { lsn: 3, kind: 'modify_collection', target: 'c' },
    { lsn: 4, kind: 'add', target: 's' },
  ]);
  row = { ...row, head: 4, nodes: [node(2)] };
  await clock.pass(300);
  expect(floor).toBe(0);
  row = { ...row, nodes: [node(4)] };
  await clock.pass(300);
  expect(floor).toBe(3);
});

test('a schema change counts for reads once its outcome is decided', async () => {
  await clock.pass(50);
  feed.entries([{ lsn: 3, kind: 'modify_collection', target: 'c' }]);
  row = { ...row, head: 4, decided: 3 };
  await clock.pass(300);
  expect(floor).toBe(3);
});

test('when the other gateways are gone, all that they can have acknowledged counts for reads', async () => {
  await clock.pass(50);
  steps.length = 0;
  feed.entries([{ lsn: 3, kind: 'modify_collection', target: 'c' }]);
  row = { ...row, head: 4, otherGateways: 0 };
  await clock.pass(300);
  expect(steps.indexOf('alone')).toBeGreaterThan(steps.indexOf('entries up to 4'));
  expect(floor).toBe(3);
  await clock.pass(600);
  expect(steps.filter((step) => step === 'alone').length).toBe(1);
});

describe('when PostgreSQL does not respond', () => {
  test('requests that wait are refused, and the knowledge ends', async () => {
    await clock.pass(50);
    read = () => Promise.reject(new Error('gone'));
    const refused = expect(feed.refreshed()).rejects.toMatchObject({ code: 'log_unavailable' });
    await clock.pass(200);
    await refused;
    await clock.pass(LEASE_MS);
    expect(knowledge.refusal()).toMatchObject({ code: 'not_leader' });
    expect(knowledge.refusal({ seesAnyState: true })).toBeNull();
    read = async () => row;
    knowledge.seen(clock.monotonic());
    await clock.pass(200);
    expect(knowledge.refusal()).toBeNull();
  });

  test('a read that hangs counts as none after a lease', async () => {
    await clock.pass(50);
    const hanging = Promise.withResolvers<ClusterSnapshot>();
    read = () => hanging.promise;
    const refused = expect(feed.refreshed()).rejects.toMatchObject({ code: 'log_unavailable' });
    await clock.pass(LEASE_MS + 50);
    await refused;
    expect(knowledge.refusal({ seesAnyState: true })).toBeNull();
    read = async () => row;
    hanging.resolve(row);
  });

  test('the only gateway never refuses a read, even if the read before took long', async () => {
    row = { ...row, otherGateways: 0 };
    await clock.pass(50);
    read = async () => {
      await sleep(clock, LEASE_MS * 0.45);
      return row;
    };
    feed.poke();
    await clock.pass(LEASE_MS * 0.45, 10);
    const hanging = Promise.withResolvers<ClusterSnapshot>();
    read = () => hanging.promise;
    for (let passed = 0; passed < 2 * LEASE_MS; passed += 10) {
      await clock.pass(10);
      expect(knowledge.refusal()).toBeNull();
    }
    hanging.resolve(row);
  });
});

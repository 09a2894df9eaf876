import { beforeEach, describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { scanRecordCall } from '../chroma/parse/scanner.ts';
import type { Term } from '../coordination/term.ts';
import type { Entry } from '../log/entry.ts';
import { Arbiter, type Opinion, type Resolution } from './arbiter.ts';
import type { Decider, Decision, Ruling } from './decisions.ts';
import { TermOver } from '../coordination/term.ts';
import type { Trace } from './earlier-calls.ts';
import { Endings } from './endings.ts';
import { toDraft } from './entry-operation.ts';
import { type Operation } from '../chroma/protocol/operation.ts';
import { Positions } from './positions.ts';
import { Trials, type Failure, type FailureKind } from './trials.ts';

const LSN = 7;
const SHARD = 's';
const LIMITS = { attempts: 5, timeoutMs: 60_000 };

const call = (kind: 'upsert' | 'delete', body: object): RecordCall =>
  scanRecordCall(kind, Buffer.from(JSON.stringify(body)), CHROMA_1_0_5) as RecordCall;
const UPSERT: Operation = {
  type: 'records',
  shard: SHARD,
  call: call('upsert', { ids: ['a', 'b', 'c'], embeddings: [[1], [2], [3]] }),
};
const DELETE_WHERE: Operation = { type: 'records', shard: SHARD, call: call('delete', { where: { n: 1 } }) };

let clock: ManualClock;
let members: string[];
/** Nodes that respond. */
let working: Set<string>;
let suspects: Set<string>;
/** LSN up to which nodes that are away may have applied the log. */
let reach: number;
let takenEarlier: number;
let opinion: Opinion;
let asked: string[];
let ended: string[];
let recorded: { by: Decider; ruling: Ruling }[];
let decision: Decision | null;
let canRecord: boolean;
/** The decision is about another entry than a delete. */
let isFirstKept: boolean;
/** Called when a decision is about to be recorded. */
let recording: () => Promise<void>;
/** What the content of nodes shows of the entry; nothing unless stated. */
let traces: Map<string, Trace>;
let endings: Endings;
let positions: Positions;
let trials: Trials;
let arbiter: Arbiter;
let over: AbortController;
let leads: boolean;

beforeEach(() => {
  clock = new ManualClock();
  [members, working, suspects] = [['a', 'b', 'c'], new Set(['a', 'b', 'c']), new Set()];
  [reach, takenEarlier, opinion, decision, canRecord] = [0, 0, 'untried', null, true];
  [asked, ended, recorded] = [[], [], []];
  [over, leads] = [new AbortController(), true];
  isFirstKept = false;
  [recording, traces, endings] = [async () => undefined, new Map(), new Endings()];
  positions = new Positions(() => false);
  positions.setCluster(members, 'a');
  trials = new Trials({
    store: { load: async () => [], save: async () => undefined },
    clock,
    onRepeated: () => undefined,
    onStoreError: () => undefined,
  });
  const exception = (): Decision | null =>
    decision?.outcome === 'quarantined' || decision?.outcome === 'partly_applied' ? decision : null;
  arbiter = new Arbiter({
    trials,
    decisions: {
      exception,
      find: async () => decision,
      record: async (by, lsn, ruling) => {
        await recording();
        if (!canRecord) return null;
        // The first decision stands; only that no node can carry out an accepted delete is another matter.
        if (decision !== null && (isFirstKept || ruling.outcome !== 'quarantined')) return decision;
        recorded.push({ by, ruling });
        return (decision = { lsn, pages: 0, generation: by.generation, ...ruling });
      },
    },
    positions,
    endings,
    clock,
    limits: LIMITS,
    members: () => members,
    works: (node) => working.has(node),
    isSuspect: (node) => suspects.has(node),
    isHealthy: (node) => !suspects.has(node),
    takenEarlier: async () => takenEarlier,
    mayHaveApplied: async () => reach,
    leads: () => leads,
    trace: async (node) => traces.get(node) ?? 'none',
    ask: async (node) => (asked.push(node), opinion),
    onEnded: ({ lsn }, { outcome }) => void ended.push(`${lsn} ${outcome}`),
    onRecordError: () => undefined,
  });
});

const response = (status: number, body = '{"error":"InternalError","message":"no"}'): Failure => ({
  kind: 'response',
  status,
  body: Buffer.from(body),
});
const ACCEPTED = { lsn: LSN, outcome: 'accepted', status: 200, pages: 0, generation: 1 } as const;
const accepted = (body: string): Decision => ({ ...ACCEPTED, body: Buffer.from(body) });
const silent = (kind: FailureKind): Failure => ({ kind, status: 0, body: Buffer.from('no response') });

function fails(node: string, failure: Failure, times = 1): void {
  for (let n = 0; n < times; n++) trials.failed(node, [LSN], failure);
}

/** Resolves the entry at a node; the resolution after some time, null while it waits. */
async function resolve(
  node: string,
  {
    operation = UPSERT,
    applied = 0,
    withinMs = 1_000,
  }: { operation?: Operation; applied?: number; withinMs?: number } = {},
): Promise<Resolution | 'TermOver' | null> {
  const entry: Entry = { lsn: LSN, ...toDraft(operation), batch: 't', appendedAt: 0 };
  const { signal } = over;
  const term: Term = { epoch: 3, clean: true, signal, held: () => !signal.aborted };
  let resolution: Resolution | 'TermOver' | null = null;
  arbiter.resolve({ node, entry, operation, applied }, term).then(
    (found) => (resolution = found),
    (error: unknown) => {
      if (!(error instanceof TermOver)) throw error;
      resolution = 'TermOver';
    },
  );
  for (let passed = 0; passed <= withinMs; passed += 500) {
    await clock.pass(500, 250);
    if (resolution !== null) break;
  }
  return resolution;
}

describe('an entry that two nodes fail in the same way', () => {
  test('is quarantined with the response of the server when it is a write of records', async () => {
    fails('a', response(500), LIMITS.attempts);
    opinion = response(500);
    expect(await resolve('a')).toBe('ended');
    expect(asked).toEqual(['b']);
    expect(recorded).toHaveLength(1);
    const [{ by, ruling }] = recorded as [(typeof recorded)[number]];
    expect(by).toEqual({ epoch: 3, node: null, generation: 0 });
    expect([ruling.outcome, ruling.status, String(ruling.body)]).toEqual([
      'quarantined',
      500,
      '{"error":"InternalError","message":"no"}',
    ]);
    expect(ended).toEqual([`${LSN} quarantined`]);
  });

  test('is kept when a node that has lost its content since had applied it: their copies are suspect', async () => {
    takenEarlier = LSN;
    for (const node of ['a', 'b']) fails(node, response(500), LIMITS.attempts);
    expect([await resolve('c'), await resolve('a'), recorded]).toEqual(['offer', 'suspect', []]);
    takenEarlier = LSN - 1;
    expect(await resolve('b')).toBe('ended');
  });

  test('is refused when it was not decided yet', async () => {
    fails('a', response(500), LIMITS.attempts);
    opinion = response(500);
    expect(await resolve('a', { operation: DELETE_WHERE })).toBe('ended');
    expect(recorded[0]?.ruling).toMatchObject({ outcome: 'refused', status: 500 });
  });

  test('counts for no level any more, so that its writer gets its response', async () => {
    let isReached = false;
    void positions
      .reached({ lsn: LSN, shard: SHARD }, 'primary', new AbortController().signal)
      .then(() => (isReached = true));
    positions.nodeApplied('a', LSN);
    fails('a', response(500), LIMITS.attempts);
    opinion = response(500);
    await resolve('a');
    expect(isReached).toBe(true);
  });

  test('ends with 500 in the shape of Chroma when the servers hang on it', async () => {
    for (const node of ['a', 'a', 'b']) fails(node, silent('hung'));
    expect(await resolve('a')).toBe('ended');
    const { status, body } = recorded[0]!.ruling;
    expect([status, JSON.parse(String(body))]).toEqual([
      500,
      { error: 'InternalError', message: expect.stringContaining('it was refused') },
    ]);
  });

  test('is partly applied when the node has applied its first records', async () => {
    fails('a', response(500), LIMITS.attempts);
    opinion = response(500);
    expect(await resolve('a', { applied: 2 })).toBe('ended');
    const { outcome, status, body } = recorded[0]!.ruling;
    expect([outcome, status]).toEqual(['partly_applied', 500]);
    expect(JSON.parse(String(body))).toMatchObject({
      applied: 2,
      message: expect.stringMatching(/first 2 records .* other 1 .* HTTP 500/),
    });
  });

  test('is ended again later when the decision could not be recorded', async () => {
    fails('a', response(500), LIMITS.attempts);
    [opinion, canRecord] = [response(500), false];
    expect(await resolve('a')).toBeNull();
    canRecord = true;
    await clock.pass(500);
    expect(ended).toEqual([`${LSN} quarantined`]);
  });
});

describe('a node is suspect', () => {
  test('when it fails what another node can apply to a scratch collection', async () => {
    fails('a', response(500), LIMITS.attempts);
    opinion = 'applies';
    expect(await resolve('a')).toBe('suspect');
    expect(recorded).toEqual([]);
  });

  test('when it fails what another node has applied, and no other node is asked', async () => {
    positions.nodeApplied('b', LSN);
    fails('a', response(500), LIMITS.attempts);
    opinion = response(500);
    expect(await resolve('a')).toBe('suspect');
    expect([asked, recorded]).toEqual([[], []]);
  });

  test('when it fails what a node that is away may have applied', async () => {
    working.delete('b');
    [reach, opinion] = [LSN, response(500)];
    fails('a', response(500), LIMITS.attempts);
    expect(await resolve('a', { withinMs: LIMITS.timeoutMs })).toBe('suspect');
    expect(recorded).toEqual([]);
  });
});

describe('while the end of an entry is being recorded', () => {
  beforeEach(() => {
    fails('a', response(500), LIMITS.attempts);
    opinion = response(500);
  });

  test('its end is open, and known once it is recorded', async () => {
    const { promise, resolve: finish } = Promise.withResolvers<void>();
    recording = () => promise;
    expect(await resolve('a')).toBeNull();
    expect(endings.isOpen([LSN])).toBe(true);
    finish();
    await clock.pass(500);
    expect([endings.isOpen([LSN]), ended]).toEqual([false, [`${LSN} quarantined`]]);
  });

  test.each([
    ['until the record is confirmed', false],
    ['also while the node that failed it is down', true],
  ])('it stays open when PostgreSQL fails, %s', async (_until, isDown) => {
    recording = () => Promise.reject(new Error('connection lost'));
    expect(await resolve('a')).toBeNull();
    expect(endings.isOpen([LSN])).toBe(true);
    if (isDown) over.abort();
    recording = async () => undefined;
    await clock.pass(2_000, 100);
    expect([endings.isOpen([LSN]), ended]).toEqual([false, [`${LSN} quarantined`]]);
  });

  test('it stays open when the term ends first', async () => {
    recording = () => Promise.reject(new Error('connection lost'));
    expect(await resolve('a', { withinMs: 0 })).toBeNull();
    over.abort();
    leads = false;
    await clock.pass(1_000, 100);
    expect(endings.isOpen([LSN])).toBe(true);
  });

  test('it is not ended when a node has applied it since the evidence was collected', async () => {
    const isOpen = endings.open.bind(endings);
    endings.open = (lsn) => {
      positions.lateApplied('c', [lsn]);
      return isOpen(lsn);
    };
    expect(await resolve('a')).toBe('suspect');
    expect([recorded, endings.isOpen([LSN])]).toEqual([[], false]);
  });
});

describe('an entry that an earlier leader may have sent', () => {
  beforeEach(() => {
    fails('a', response(500), LIMITS.attempts);
    opinion = response(500);
  });

  test('does not end while the content of a working node does not show whether it was applied', async () => {
    traces.set('b', 'unknown');
    expect(await resolve('a', { withinMs: LIMITS.timeoutMs })).toBe('suspect');
    expect(recorded).toEqual([]);
  });

  test('does not end while the content of the node that fails it does not show that either', async () => {
    traces.set('a', 'unknown');
    expect(await resolve('a', { withinMs: LIMITS.timeoutMs })).toBe('suspect');
    expect(recorded).toEqual([]);
  });

  test('counts as applied on a node whose content shows it, which goes on', async () => {
    traces.set('a', 'whole');
    expect(await resolve('a')).toBe('taken');
    fails('b', response(500), LIMITS.attempts);
    expect(await resolve('b')).toBe('suspect');
    expect(recorded).toEqual([]);
  });

  test('ends on the last healthy copy, which stays in use, when only suspect copies may hold it', async () => {
    traces.set('b', 'unknown');
    suspects.add('b').add('c');
    expect(await resolve('a')).toBe('ended');
  });

  test('takes only one of two healthy copies out of use when both fail it at the same moment', async () => {
    for (const node of ['a', 'b']) {
      traces.set(node, 'unknown');
      fails(node, response(500), LIMITS.attempts);
    }
    suspects.add('c');
    const both = await Promise.all(['a', 'b'].map((node) => resolve(node, { withinMs: LIMITS.timeoutMs })));
    expect(new Set(both)).toEqual(new Set(['ended', 'suspect']));
  });

  test('does not end while a suspect copy shows it, and does not count as applied there', async () => {
    traces.set('b', 'whole');
    suspects.add('b');
    expect(await resolve('a')).toBeNull();
    await clock.pass(LIMITS.timeoutMs);
    expect(recorded).toEqual([]);
  });
});

test('an entry that another node has applied only to a suspect shard counts as applied by none', async () => {
  positions.nodeApplied('b', LSN);
  suspects.add('b');
  fails('a', response(500), LIMITS.attempts);
  opinion = response(500);
  expect(await resolve('a')).toBe('ended');
});

test('an undecided entry ends although a node is away: that node takes back what it did', async () => {
  working.delete('b');
  [reach, opinion] = [LSN, response(500)];
  fails('a', response(500), LIMITS.attempts);
  expect(await resolve('a', { operation: DELETE_WHERE })).toBe('ended');
});

test('an accepted conditional delete is quarantined when no node can carry it out', async () => {
  decision = accepted('["x"]');
  fails('a', response(500), LIMITS.attempts);
  opinion = response(500);
  expect(await resolve('a', { operation: DELETE_WHERE })).toBe('ended');
  expect(recorded.map(({ ruling }) => ruling.outcome)).toEqual(['quarantined']);
  expect(ended).toEqual([`${LSN} quarantined`]);
});

describe('a change of the schema that was accepted', () => {
  const place = { collection: 'c', shard: SHARD, tenant: 't', database: 'd', name: 'pears' };
  const CREATE: Operation = { type: 'create_collection', ...place, body: Buffer.from('{}') };
  beforeEach(() => {
    decision = accepted('{}');
    isFirstKept = true;
  });

  test('is offered again to the only node, which has begun again without content', async () => {
    members = ['a'];
    fails('a', response(500), LIMITS.attempts);
    expect(await resolve('a', { operation: CREATE })).toBe('offer');
    fails('a', response(500));
    expect(await resolve('a', { operation: CREATE })).toBe('offer');
    expect(ended).toEqual([]);
  });

  test('makes the copy of a node suspect that fails it, and leaves the last healthy copy in use', async () => {
    const names = { collection: 'c', shards: [SHARD], newName: 'plums' };
    const operation: Operation = { type: 'modify_collection', ...names, body: Buffer.from('{}') };
    suspects = new Set(['a']);
    for (const node of ['b', 'c']) fails(node, response(500), LIMITS.attempts);
    const both = await Promise.all(['b', 'c'].map((node) => resolve(node, { operation })));
    expect(new Set(both)).toEqual(new Set(['offer', 'suspect']));
  });

  test('is offered again when two nodes fail it alike', async () => {
    for (const node of ['a', 'b']) fails(node, response(500), LIMITS.attempts);
    expect(await resolve('a', { operation: CREATE })).toBe('offer');
    expect(ended).toEqual([]);
  });
});

describe('without a second opinion', () => {
  test.each<[string, string[], Opinion]>([
    ['no other node could try it', ['a', 'b', 'c'], 'untried'],
    ['all others are away', ['a'], 'untried'],
    ['the asked node fails it in another way', ['a', 'b', 'c'], response(400)],
  ])('an entry waits, and ends after the timeout, when %s', async (_why, left, answer) => {
    [working, opinion] = [new Set(left), answer];
    fails('a', response(500), LIMITS.attempts);
    expect(await resolve('a', { withinMs: LIMITS.timeoutMs - 5_000 })).toBeNull();
    await clock.pass(10_000, 250);
    expect(ended).toEqual([`${LSN} quarantined`]);
  });

  test('an entry does not end because the asked node has trouble of its own', async () => {
    fails('a', response(500), LIMITS.attempts);
    opinion = silent('dropped');
    expect(await resolve('a')).toBeNull();
    expect([ended, trials.of(LSN).size]).toEqual([[], 1]);
  });

  test('an entry ends after five attempts when there is one node', async () => {
    members = ['a'];
    fails('a', response(500), LIMITS.attempts - 1);
    expect(await resolve('a')).toBe('offer');
    fails('a', response(500));
    expect(await resolve('a')).toBe('ended');
    expect(asked).toEqual([]);
  });
});

describe('an entry is offered', () => {
  test('while the node has failed it less often than it may', async () => {
    fails('a', response(500), LIMITS.attempts - 1);
    expect(await resolve('a')).toBe('offer');
    expect(asked).toEqual([]);
  });

  test('to the node that had applied it before its process ended, although two others fail it', async () => {
    positions.shardApplied('a', SHARD, [LSN]);
    positions.restarted('a', LSN - 1);
    for (const node of ['b', 'c']) fails(node, response(400), 5);
    expect(await resolve('a')).toBe('offer');
    expect(ended).toEqual([]);
  });

  test.each([
    ['by its response', response(400)],
    ['by its death', silent('died')],
  ])(
    'until the node that had applied it has failed it for good %s: then its copy is suspect',
    async (_how, failure) => {
      positions.shardApplied('a', SHARD, [LSN]);
      positions.restarted('a', LSN - 1);
      for (const node of ['b', 'c']) fails(node, failure, 5);
      fails('a', failure);
      expect(await resolve('a')).toBe('offer');
      fails('a', failure, LIMITS.attempts - 1);
      expect(await resolve('a')).toBe('suspect');
      expect(ended).toEqual([]);
    },
  );

  test('once more when two processes have ended during it', async () => {
    for (const node of ['a', 'b']) fails(node, silent('died'));
    expect(await resolve('a')).toBe('offer');
    fails('a', silent('died'));
    expect(await resolve('a')).toBe('ended');
    expect(asked).toEqual([]);
  });
});

describe('a decision that stands', () => {
  test('ends the entry at every node when it is an exception', async () => {
    decision = { ...ACCEPTED, outcome: 'quarantined', status: 500, body: Buffer.alloc(0) };
    expect(await resolve('c')).toBe('ended');
    expect(recorded).toEqual([]);
  });

  test('ends an entry that needs one when it is refused, and not when it is accepted', async () => {
    decision = { ...ACCEPTED, outcome: 'refused', status: 400, body: Buffer.alloc(0) };
    expect(await resolve('c', { operation: DELETE_WHERE })).toBe('ended');
    decision = { ...decision, outcome: 'accepted', status: 200 };
    expect(await resolve('c', { operation: DELETE_WHERE })).toBe('offer');
  });
});

test('a third node waits while two have failed, and does not outlive the term', async () => {
  fails('a', response(500));
  fails('b', silent('died'));
  expect(await resolve('c')).toBeNull();
  over.abort();
  expect(await resolve('c')).toBe('TermOver');
});

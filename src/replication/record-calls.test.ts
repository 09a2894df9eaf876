import { beforeEach, describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { scanRecordCall } from '../chroma/parse/scanner.ts';
import type { Term } from '../coordination/term.ts';
import type { Entry } from '../log/entry.ts';
import type { Case, Resolution } from './arbiter.ts';
import type { AssignedShard } from './checkpoints.ts';
import type { Decision } from './decisions.ts';
import { CallFailed, type Call } from './delivery.ts';
import { TermOver } from '../coordination/term.ts';
import { Endings } from './endings.ts';
import { toDraft } from './entry-operation.ts';
import { type RecordOperation } from '../chroma/protocol/operation.ts';
import { Positions } from './positions.ts';
import { RecordCalls, type RecordCallsOptions } from './record-calls.ts';
import { planRound, type ShardCall } from './round.ts';
import { StoredDocuments } from './stored-documents.ts';
import { Workload } from './workload.ts';

const SHARD = 's';
const LIMITS = { maxIds: 100_000, maxBytes: 100_000_000 };
const LEVEL = { ...CHROMA_1_0_5, maxBatchSize: 100_000 };
/** Records of one part of 2,500: three parts of equal size. */
const PART = 834;

/** A call as it reached the node. */
interface Sent {
  readonly lsns: readonly number[];
  readonly ids: readonly string[];
  readonly call: Call;
}

let clock: ManualClock;
let workload: Workload;
let positions: Positions;
let assigned: Map<string, AssignedShard>;
let sent: Sent[];
/** Makes of a call what the node does: a status, or `fail` when its attempts are used up. */
let node: (call: Sent) => Promise<number | 'fail'> | number | 'fail';
let resolutions: Resolution[];
let resolved: Case[];
let open: Set<number>;
let failures: (readonly [lsn: number, status: number])[];
let exceptions: Map<number, Decision>;
let endings: Endings;
/** Average size of the documents that a shard holds. */
let storedBytes: number;
let suspects: string[];
/** Announcements and turns in their order. */
let events: string[];
let announceFailure: Error | null;
let readable: boolean;
let isLastCopy: boolean;
/** When the reads that the node was sent before a long call have ended. */
let readsEnded: Promise<void>;
let progress: [number, number][];
let over: AbortController;
let term: Term;
let calls: RecordCalls;

beforeEach(() => {
  clock = new ManualClock();
  workload = new Workload(clock, 500);
  positions = new Positions(() => false);
  positions.setCluster(['a', 'b'], 'a');
  const place = { tenant: 't', database: 'd', name: 'n' };
  assigned = new Map([[SHARD, { ...place, physical: 'p', fromLSN: 0, copy: 0, suspect: null }]]);
  [sent, resolutions, resolved, failures, suspects, events] = [[], [], [], [], [], []];
  [open, exceptions, announceFailure, progress] = [new Set(), new Map(), null, []];
  endings = new Endings();
  [readable, isLastCopy, readsEnded, storedBytes] = [true, false, Promise.resolve(), 0];
  node = () => 200;
  over = new AbortController();
  term = { epoch: 1, clean: true, signal: over.signal, held: () => !over.signal.aborted };
  const delivery = {
    settled: async () => void events.push('settled'),
    call: async (call: Call): Promise<NodeResponse> => {
      const { ids } = JSON.parse(Buffer.concat(call.request.body as Buffer[]).toString()) as {
        ids: string[];
      };
      const each = { lsns: call.lsns, ids, call };
      sent.push(each);
      events.push('call');
      const status = await node(each);
      if (status !== 'fail') return { status, headers: {}, body: Buffer.from('{}') };
      for (const lsn of call.lsns) open.add(lsn);
      throw new CallFailed({ kind: 'response', status: 500, body: Buffer.alloc(0) });
    },
  };
  calls = new RecordCalls({
    node: 'a',
    clock,
    delivery,
    reads: {
      touch: async ({ path }: { path: string }) => {
        events.push(`read ${path}`);
        return readable;
      },
    },
    workload,
    stagger: {
      turn: async (id: string) => {
        events.push(`turn of ${id}`);
        return () => void events.push('release');
      },
    },
    arbiter: {
      resolve: async (trial: Case) => {
        resolved.push(trial);
        return resolutions.shift() ?? 'offer';
      },
    },
    trials: {
      isOpen: (lsn: number) => open.has(lsn),
      of: () => new Map(),
      progressed: (_node: string, lsn: number, records: number) => void progress.push([lsn, records]),
      applied: (lsns: readonly number[]) => lsns.forEach((lsn) => open.delete(lsn)),
      failed: (_node: string, lsns: readonly number[], { status }: { status: number }) =>
        lsns.forEach((lsn) => void (open.add(lsn), failures.push([lsn, status]))),
    },
    isLastCopy: () => isLastCopy,
    positions,
    decisions: {
      isQuarantined: (lsn: number) => exceptions.get(lsn)?.outcome === 'quarantined',
      exception: (lsn: number) => exceptions.get(lsn) ?? null,
    },
    endings,
    stored: new StoredDocuments(async () => storedBytes),
    limits: () => LIMITS,
    canary: async () => null,
    suspect: async (shard: string, reason: string) => {
      suspects.push(reason);
      assigned.set(shard, { ...assigned.get(shard)!, suspect: reason });
    },
    announce: async (lsn: number) => {
      if (announceFailure !== null) throw announceFailure;
      events.push(`announce ${lsn}`);
    },
    onLong: (isLong: boolean) => void events.push(isLong ? 'long' : 'no longer'),
    readsEnded: () => readsEnded,
  } as unknown as RecordCallsOptions);
});

function deletion(lsn: number, count: number): Entry {
  const ids = Array.from({ length: count }, (_, n) => `${lsn}-${n}`);
  const call = scanRecordCall('delete', Buffer.from(JSON.stringify({ ids })), LEVEL) as RecordCall;
  return { lsn, ...toDraft({ type: 'records', shard: SHARD, call }), batch: 't', appendedAt: 0 };
}

/** An upsert of so many records: ids `lsn-0`, `lsn-1`, … */
function upsert(lsn: number, count: number): Entry {
  const ids = Array.from({ length: count }, (_, n) => `${lsn}-${n}`);
  const body = Buffer.from(JSON.stringify({ ids, embeddings: ids.map(() => [1]) }));
  const operation: RecordOperation = {
    type: 'records',
    shard: SHARD,
    call: scanRecordCall('upsert', body, LEVEL) as RecordCall,
  };
  return { lsn, ...toDraft(operation), batch: 't', appendedAt: 0 };
}

/** One call of a round that brings these entries. */
function callOf(...entries: readonly Entry[]): ShardCall {
  const never = (): boolean => false;
  const round = planRound(entries, { limits: LIMITS, workMax: Infinity, skips: never, isolates: never });
  if (round.type !== 'records' || round.calls.length !== 1) throw new Error('not one call');
  return round.calls[0]!;
}

const apply = (...entries: readonly Entry[]): Promise<void> =>
  calls.apply(callOf(...entries), assigned, term);
/** Applies while time passes. */
async function applyInTime(...entries: readonly Entry[]): Promise<void> {
  const state = { isOver: false };
  const applying = apply(...entries).finally(() => (state.isOver = true));
  for (let passed = 0; !state.isOver && passed < 20_000; passed += 100) await clock.pass(100, 100);
  await applying;
}
/** By call: the first record and how many. */
const ranges = (): [number, number][] => sent.map(({ ids }) => [Number(ids[0]!.split('-')[1]), ids.length]);
const exception = (lsn: number, outcome: Decision['outcome'], body = '{}'): Decision => ({
  lsn,
  outcome,
  status: 500,
  body: Buffer.from(body),
  pages: 0,
  generation: 0,
});

describe('a large entry', () => {
  test('is sent in parts, in order, one after the other', async () => {
    let inFlight = 0;
    let inFlightMax = 0;
    node = async () => {
      inFlightMax = Math.max(inFlightMax, (inFlight += 1));
      await new Promise(setImmediate);
      inFlight -= 1;
      return 200;
    };
    await apply(upsert(7, 2_500));
    expect(ranges()).toEqual([
      [0, PART],
      [PART, PART],
      [2 * PART, 2_500 - 2 * PART],
    ]);
    expect(inFlightMax).toBe(1);
    expect(positions.appliedTo('a', SHARD)).toBe(7);
  });

  test('counts as applied only after its last part', async () => {
    node = () => {
      expect(positions.appliedTo('a', SHARD)).toBe(0);
      return 200;
    };
    await apply(upsert(7, 2_500));
    expect(sent).toHaveLength(3);
  });

  test('goes on from the part that failed when it is offered again', async () => {
    node = ({ ids }) => (ids[0] === `7-${PART}` && sent.length < 4 ? 'fail' : 200);
    await apply(upsert(7, 2_500));
    expect(ranges().map(([first]) => first)).toEqual([0, PART, PART, PART, 2 * PART]);
    expect(resolved.map(({ applied }) => applied)).toEqual([PART, PART]);
    expect(positions.appliedTo('a', SHARD)).toBe(7);
    expect(open.size).toBe(0);
  });

  test('repeats records, and leaves none out, when its parts have become smaller meanwhile', async () => {
    let isFirst = true;
    node = ({ ids }) => {
      if (ids[0] !== `7-${PART}` || !isFirst) return 200;
      isFirst = false;
      // Slow responses halve the parts.
      for (let n = 0; n < 3; n++) {
        const end = workload.begin({ lsns: [], work: workload.partWork });
        clock.advance(3_000);
        end(true);
      }
      return 'fail';
    };
    await apply(upsert(7, 2_500));
    const applied = sent.flatMap(({ ids }, index) => (index === 1 ? [] : ids));
    expect([...new Set(applied)]).toHaveLength(2_500);
    expect(sent.at(-1)!.ids.length).toBeLessThan(PART);
  });

  test('ends with the records that were applied when it is partly applied', async () => {
    node = ({ ids }) => {
      if (ids[0] !== `7-${PART}`) return 200;
      exceptions.set(7, exception(7, 'partly_applied', `{"applied":${PART}}`));
      return 'fail';
    };
    resolutions = ['ended'];
    await apply(upsert(7, 2_500));
    expect(Math.max(...ranges().map(([first]) => first))).toBeLessThanOrEqual(PART);
    expect(suspects).toEqual([]);
  });
});

test('reports the records that were applied before a later part fails', async () => {
  node = ({ ids }) => (ids[0] === '7-0' ? 200 : Promise.reject(new TermOver()));
  await expect(apply(upsert(7, 2_500))).rejects.toBeInstanceOf(TermOver);
  expect(progress).toEqual([[7, PART]]);
});

describe('an entry that was partly applied elsewhere', () => {
  test('is applied up to the same record on this node', async () => {
    exceptions.set(7, exception(7, 'partly_applied', '{"applied":1500}'));
    await apply(upsert(7, 2_500));
    expect(ranges()).toEqual([
      [0, PART],
      [PART, 1_500 - PART],
    ]);
    expect(positions.appliedTo('a', SHARD)).toBe(7);
  });
});

describe('several entries in one call', () => {
  test('are applied together', async () => {
    await apply(upsert(1, 2), upsert(2, 2), upsert(3, 2));
    expect(sent.map(({ lsns }) => lsns)).toEqual([[1, 2, 3]]);
    expect(positions.appliedTo('a', SHARD)).toBe(3);
  });

  test('are sent in halves until the one that fails is alone', async () => {
    node = ({ lsns }) => (lsns.includes(3) ? 'fail' : 200);
    resolutions = ['ended'];
    exceptions.set(3, exception(3, 'quarantined'));
    await apply(upsert(1, 1), upsert(2, 1), upsert(3, 1), upsert(4, 1));
    expect(sent.map(({ lsns }) => lsns)).toEqual([[1, 2, 3, 4], [1, 2], [3, 4], [4]]);
    // Those that were in a call with it are resolved too, and offered.
    expect(resolved.map(({ entry }) => entry.lsn)).toEqual([3, 4]);
    expect([...open]).toEqual([3]);
  });

  test('are sent in halves when the call is refused', async () => {
    node = ({ lsns }) => (lsns.length > 1 ? 400 : 200);
    await apply(upsert(1, 1), upsert(2, 1));
    expect(sent.map(({ lsns }) => lsns)).toEqual([[1, 2], [1], [2]]);
  });

  test('are sent no further when the shard becomes suspect in between', async () => {
    node = ({ lsns }) => (lsns.includes(1) ? 'fail' : 200);
    resolutions = ['suspect'];
    await apply(upsert(1, 1), upsert(2, 1));
    expect(sent.map(({ lsns }) => lsns)).toEqual([[1, 2]]);
    expect(suspects).toEqual(['fails LSN 1, which another node can apply, or may have applied']);
  });
});

describe('an entry that fails alone', () => {
  test('is not sent again before the arbiter offers it', async () => {
    open.add(7);
    resolutions = ['ended'];
    exceptions.set(7, exception(7, 'quarantined'));
    await apply(upsert(7, 1));
    expect([sent, suspects]).toEqual([[], []]);
  });

  test('makes the shard suspect when other nodes can apply it', async () => {
    open.add(7);
    resolutions = ['suspect'];
    await apply(upsert(7, 1));
    expect(suspects).toEqual(['fails LSN 7, which another node can apply, or may have applied']);
    expect(positions.appliedTo('a', SHARD)).toBe(0);
  });

  test('is counted as failed when the node refuses what passed every check', async () => {
    node = () => (sent.length < 3 ? 422 : 200);
    await applyInTime(upsert(7, 1));
    expect(failures).toEqual([
      [7, 422],
      [7, 422],
    ]);
    expect(positions.appliedTo('a', SHARD)).toBe(7);
  });

  test('makes the shard suspect when the node applies it after others had it quarantined', async () => {
    node = () => {
      exceptions.set(7, exception(7, 'quarantined'));
      return 200;
    };
    await apply(upsert(7, 1));
    expect(suspects).toEqual(['applied LSN 7, which is quarantined']);
    expect(positions.appliedTo('a', SHARD)).toBe(0);
  });
});

describe('a success while the end of the entry is being recorded', () => {
  beforeEach(() => {
    node = () => {
      endings.open(7);
      return 200;
    };
  });

  test('counts once the entry turns out not to have ended', async () => {
    const applied = apply(upsert(7, 1));
    await clock.pass(100, 10);
    expect(positions.appliedTo('a', SHARD)).toBe(0);
    endings.close(7);
    await applied;
    expect([positions.appliedTo('a', SHARD), suspects]).toEqual([7, []]);
  });

  test('counts for nothing once it is quarantined, and the shard becomes suspect', async () => {
    const applied = apply(upsert(7, 1));
    await clock.pass(100, 10);
    exceptions.set(7, exception(7, 'quarantined'));
    endings.close(7);
    await applied;
    expect([positions.appliedTo('a', SHARD), suspects]).toEqual([0, ['applied LSN 7, which is quarantined']]);
  });
});

test('the shard becomes suspect when the node applies the whole entry after others had it applied in part', async () => {
  node = () => {
    exceptions.set(7, { ...exception(7, 'partly_applied'), body: Buffer.from('{"applied":1}') });
    return 200;
  };
  await apply(upsert(7, 3));
  expect(suspects).toEqual(['applied LSN 7, which is applied only in part']);
});

test('no call goes to a suspect shard, and a missing one is made suspect', async () => {
  assigned.set(SHARD, { ...assigned.get(SHARD)!, suspect: 'it differs' });
  await apply(upsert(1, 1));
  expect([sent, suspects]).toEqual([[], []]);
  assigned.clear();
  await apply(upsert(1, 1));
  expect([sent, suspects]).toEqual([[], ['the node has no such shard']]);
});

describe('a late response', () => {
  /** Ends the term while a call of these entries is in flight, and returns what it then responds to. */
  async function cut(...entries: readonly Entry[]): Promise<Call> {
    node = () => Promise.reject(new TermOver());
    await expect(apply(...entries)).rejects.toBeInstanceOf(TermOver);
    return sent.at(-1)!.call;
  }
  const reached = async (lsn: number, then: () => void): Promise<boolean> => {
    let isReached = false;
    void positions
      .reached({ lsn, shard: SHARD }, 'primary', new AbortController().signal)
      .then(() => (isReached = true));
    then();
    await new Promise(setImmediate);
    return isReached;
  };
  const response = (status: number): NodeResponse => ({ status, headers: {}, body: Buffer.alloc(0) });

  test('counts for the level of every entry in the call', async () => {
    const { onLate } = await cut(upsert(1, 1), upsert(2, 1));
    expect(await reached(2, () => onLate!(response(200)))).toBe(true);
  });

  test('does not count when it is no success, or the entry is quarantined by then', async () => {
    const { onLate } = await cut(upsert(1, 1));
    expect(await reached(1, () => onLate!(response(500)))).toBe(false);
    exceptions.set(1, exception(1, 'quarantined'));
    expect(await reached(1, () => onLate!(response(200)))).toBe(false);
  });

  test('does not count when it is that of one part', async () => {
    const { onLate } = await cut(upsert(7, 2_500));
    expect(await reached(7, () => onLate!(response(200)))).toBe(false);
  });
});

describe('a long call', () => {
  test('takes its turn and is announced before it is sent', async () => {
    await apply(upsert(7, 600));
    expect(events).toEqual(['settled', 'turn of a', 'long', 'announce 7', 'call', 'no longer', 'release']);
  });

  test('is announced for each part of an entry, each in a turn of its own', async () => {
    await apply(upsert(7, 2_000));
    expect(events.filter((event) => event.startsWith('announce'))).toEqual(Array(2).fill('announce 7'));
    expect(events.filter((event) => event === 'turn of a')).toHaveLength(2);
    expect(events.filter((event) => event === 'release')).toHaveLength(2);
  });

  test('gives its turn back when it fails', async () => {
    node = () => Promise.reject(new TermOver());
    await expect(apply(upsert(7, 600))).rejects.toBeInstanceOf(TermOver);
    expect(events.slice(-2)).toEqual(['no longer', 'release']);
  });

  test('is not sent, and gives its turn back, when it cannot be announced', async () => {
    announceFailure = new Error('The lease has moved on');
    await expect(apply(upsert(7, 600))).rejects.toThrow('The lease has moved on');
    expect([events, sent]).toEqual([['settled', 'turn of a', 'long', 'no longer', 'release'], []]);
  });

  test('is sent when the reads that the node was sent before have ended', async () => {
    let end = (): void => undefined;
    readsEnded = new Promise((resolve) => (end = resolve));
    const applying = apply(upsert(7, 600));
    await clock.pass(0);
    expect(events).toEqual(['settled', 'turn of a', 'long', 'announce 7']);
    end();
    await applying;
    expect(events).toContain('call');
  });

  test('is one that replaces or deletes large documents, in parts of what they take', async () => {
    storedBytes = 2 ** 20 / 16;
    await apply(deletion(7, 64));
    expect(sent.map(({ ids }) => ids.length)).toEqual([16, 16, 16, 16]);
    expect(events.filter((event) => event === 'announce 7')).toHaveLength(4);
    expect(sent[0]!.call.work).toBeGreaterThan(1);
  });

  test('takes no turn when it is short', async () => {
    await apply(upsert(7, 10));
    expect(events).toEqual(['call']);
  });
});

test('an update with embeddings is followed by a read before anything else is written', async () => {
  const update = (text: string): Entry => {
    const call = scanRecordCall('update', Buffer.from(text), LEVEL) as RecordCall;
    return { lsn: 7, ...toDraft({ type: 'records', shard: SHARD, call }), batch: 't', appendedAt: 0 };
  };
  const embedding = update('{"ids":["a"],"embeddings":[[1]]}');
  await apply(embedding);
  expect(events).toEqual(['call', 'read /api/v2/tenants/t/databases/d/collections/p/count']);
  events.length = 0;
  await apply(update('{"ids":["a"],"documents":["x"]}'));
  expect(events).toEqual(['call']);
  [readable, isLastCopy] = [false, true];
  await apply(embedding);
  expect(suspects).toEqual([]);
  isLastCopy = false;
  await apply(embedding);
  expect(suspects).toEqual([expect.stringContaining('could not be read after an update')]);
});

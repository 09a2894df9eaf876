import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { type NodeClient } from '../chroma/client/node-client.ts';
import type { MutateRequest, NodeResponse } from '../chroma/client/node-request.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { Term } from '../coordination/term.ts';
import { Delivery, type Call } from './delivery.ts';
import { TermOver } from '../coordination/term.ts';
import { Trials } from './trials.ts';
import { Workload } from './workload.ts';

const SETTLE_MS = 500;
// Longer than any pause between attempts here.
const RETRY_MS = 100;

/** A call that has reached the node. */
interface Sent {
  readonly path: string;
  readonly beforeLast: () => void;
  respond(status: number): void;
  fail(code: 'unanswered' | 'refused' | 'aborted', sent: boolean): void;
}

const ATTEMPTS_MAX = 3;

let clock: ManualClock;
let sent: Sent[];
let troubles: string[];
let delivery: Delivery;
let workload: Workload;
let trials: Trials;
let over: AbortController;
let term: Term;
/** Why the node's canary fails, or null. */
let canary: string | null;
/** Bounds of the calls that may have a delayed duplicate, ms. */
let duplicates: number[];

beforeEach(() => {
  clock = new ManualClock();
  [sent, troubles, duplicates, canary] = [[], [], [], null];
  over = new AbortController();
  term = { epoch: 1, clean: true, signal: over.signal, held: () => !over.signal.aborted };
  workload = new Workload(clock, 500);
  trials = new Trials({
    store: { load: async () => [], save: async () => undefined },
    clock,
    onRepeated: () => undefined,
    onStoreError: () => undefined,
  });
  const mutate = ({ path, beforeLast }: MutateRequest): Promise<NodeResponse> =>
    new Promise((resolve, reject) =>
      sent.push({
        path,
        beforeLast: beforeLast!,
        respond: (status) => resolve({ status, headers: {}, body: Buffer.from('{}') }),
        fail: (code, wasSent) => reject(new NodeError(code, code, { sent: wasSent })),
      }),
    );
  delivery = new Delivery({
    node: 'a',
    client: { mutate } as unknown as NodeClient,
    clock,
    workload,
    trials,
    attemptsMax: ATTEMPTS_MAX,
    canary: async () => canary,
    settleMs: SETTLE_MS,
    onTrouble: (error) => void troubles.push(error.message),
    onDuplicate: (boundMs) => void duplicates.push(boundMs),
  });
});

const call = (path: string, more: Partial<Call> = {}): Promise<NodeResponse> =>
  delivery.call(
    { request: { method: 'POST', path }, lsns: [7, 9], work: 0.01, isFinal: () => false, ...more },
    term,
  );
const paths = (): string[] => sent.map(({ path }) => path);
const alone = { lsns: [7] };

/** Lets time pass until the node has been sent `count` calls. */
async function untilSent(count: number): Promise<void> {
  for (let passed = 0; sent.length < count; passed += 10) {
    if (passed > 60_000) throw new Error(`only ${sent.length} calls were sent`);
    await clock.pass(10, 10);
  }
}

describe('a call', () => {
  test('is sent once when the node responds', async () => {
    const response = call('/a');
    sent[0]!.respond(201);
    expect((await response).status).toBe(201);
    await clock.pass(10_000);
    expect(paths()).toEqual(['/a']);
  });

  test('is not repeated after a final response without effect', async () => {
    const response = call('/a', { ...alone, isFinal: ({ status }) => status === 400 });
    sent[0]!.respond(400);
    expect((await response).status).toBe(400);
  });

  test('that hangs has no second copy beside it, however long it takes', async () => {
    const response = call('/a');
    await clock.pass(600_000, 10_000);
    expect(paths()).toEqual(['/a']);
    expect(delivery.inFlight).toBe(1);
    sent[0]!.respond(200);
    await response;
  });

  test('is repeated until it succeeds', async () => {
    const response = call('/a', alone);
    sent[0]!.fail('unanswered', true);
    await untilSent(2);
    sent[1]!.respond(503);
    await untilSent(3);
    sent[2]!.respond(200);
    await response;
    expect(paths()).toEqual(['/a', '/a', '/a']);
    expect(troubles).toEqual(['unanswered', 'HTTP 503: {}']);
  });

  test('is repeated with growing pauses, of a second at most', async () => {
    const response = call('/a');
    const at: number[] = [];
    for (let n = 0; n < 12; n++) {
      at.push(clock.monotonic());
      sent[n]!.fail('refused', false);
      while (sent.length === n + 1) await clock.pass(10, 10);
    }
    const pauses = at.slice(1).map((time, n) => time - at[n]!);
    expect(pauses[0]).toBeLessThan(50);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1_010);
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    sent.at(-1)!.respond(200);
    await response;
  });
});

describe('a call that keeps failing', () => {
  /** The outcome of `work`, as text, once enough time has passed. */
  function outcome(work: Promise<NodeResponse>): () => Promise<string> {
    const state = { text: '' };
    work.then(
      ({ status }) => (state.text = `HTTP ${status}`),
      (error: Error) => (state.text = error.name),
    );
    return async () => {
      for (let passed = 0; state.text === '' && passed < 10_000; passed += 50) await clock.pass(50);
      return state.text;
    };
  }

  test('ends with CallFailed when one entry has failed as often as it may and the canary works', async () => {
    const ended = outcome(call('/a', alone));
    for (let n = 1; n <= ATTEMPTS_MAX; n++) {
      await untilSent(n);
      sent[n - 1]!.respond(500);
    }
    expect(await ended()).toBe('CallFailed');
    expect(sent).toHaveLength(ATTEMPTS_MAX);
    expect(trials.of(7).get('a')).toMatchObject({ attempts: ATTEMPTS_MAX, alone: ATTEMPTS_MAX });
  });

  test('ends after two attempts when it has several entries, and counts for each', async () => {
    const ended = outcome(call('/a'));
    for (const n of [1, 2]) {
      await untilSent(n);
      sent[n - 1]!.respond(500);
    }
    expect(await ended()).toBe('CallFailed');
    for (const lsn of [7, 9]) expect(trials.of(lsn).get('a')).toMatchObject({ attempts: 2, alone: 0 });
  });

  test('goes on without counting while the canary fails too: the node is at fault', async () => {
    canary = 'writes are refused';
    const ended = outcome(call('/a', alone));
    for (let n = 1; n <= 3 * ATTEMPTS_MAX; n++) {
      await untilSent(n);
      sent[n - 1]!.respond(500);
    }
    expect(trials.isOpen(7)).toBe(false);
    await untilSent(3 * ATTEMPTS_MAX + 1);
    sent.at(-1)!.respond(200);
    expect(await ended()).toBe('HTTP 200');
  });

  test('does not end while the canary fails after the last dropped connection', async () => {
    canary = 'the node hangs';
    const ended = outcome(call('/a', alone));
    for (let n = 1; n <= ATTEMPTS_MAX + 2; n++) {
      await untilSent(n);
      sent[n - 1]!.fail('unanswered', true);
    }
    await untilSent(ATTEMPTS_MAX + 3);
    canary = null;
    sent.at(-1)!.fail('unanswered', true);
    expect(await ended()).toBe('CallFailed');
  });

  test('counts no attempt when the node had no chance to carry it out', async () => {
    const ended = outcome(call('/a', alone));
    for (let n = 1; n <= 3 * ATTEMPTS_MAX; n++) {
      await untilSent(n);
      sent[n - 1]!.fail('refused', false);
    }
    expect(trials.isOpen(7)).toBe(false);
    await untilSent(3 * ATTEMPTS_MAX + 1);
    sent.at(-1)!.respond(200);
    expect(await ended()).toBe('HTTP 200');
  });

  test('counts a dropped connection also when it ends the term, as one does of which the node dies', async () => {
    for (let n = 1; n <= ATTEMPTS_MAX; n++) {
      const ended = outcome(call('/a', alone));
      await untilSent(n);
      over.abort();
      sent[n - 1]!.fail('unanswered', true);
      expect(await ended()).toBe('TermOver');
      await clock.pass(1, 1);
      over = new AbortController();
      term = { ...term, signal: over.signal };
      expect(trials.of(7).get('a')).toMatchObject({ attempts: n, failure: { kind: 'dropped' } });
    }
  });

  test('spreads the attempts that get a bad response over some seconds', async () => {
    const startMs = clock.monotonic();
    const ended = outcome(call('/a', alone));
    for (let n = 1; n <= ATTEMPTS_MAX; n++) {
      await untilSent(n);
      sent[n - 1]!.respond(500);
    }
    await ended();
    expect(clock.monotonic() - startMs).toBeGreaterThanOrEqual(700);
  });
});

/** A run of the applier ends with a call for LSN 7 that has had no response. */
async function leaveUnanswered(): Promise<void> {
  const run = new AbortController();
  const ended = { ...term, signal: run.signal, held: () => !run.signal.aborted };
  const request = { method: 'POST', path: '/a' } as const;
  const first = delivery.call({ request, ...alone, work: 0.01, isFinal: () => false }, ended);
  const outcome = first.catch((error: Error) => error.name);
  sent[0]!.fail('unanswered', true);
  run.abort();
  await clock.pass(10);
  expect(await outcome).toBe('TermOver');
}

test('a call that repeats an unanswered one of an earlier run is sent at once', async () => {
  await leaveUnanswered();
  const again = call('/a', alone);
  expect(paths()).toEqual(['/a', '/a']);
  sent.at(-1)!.respond(200);
  await again;
});

describe('a different call', () => {
  /** A call has no response, is repeated, and succeeds. */
  async function repeat({ wasSent = true } = {}): Promise<void> {
    const first = call('/a');
    sent[0]!.fail('unanswered', wasSent);
    await clock.pass(100);
    sent[1]!.respond(200);
    await first;
  }

  async function followsAtOnce(): Promise<void> {
    const second = call('/b');
    expect(paths().at(-1)).toBe('/b');
    sent.at(-1)!.respond(200);
    await second;
  }

  test('follows one without a response only after the node has responded for a settling time', async () => {
    await repeat();
    const second = call('/b');
    await clock.pass(SETTLE_MS - 10);
    expect(paths()).toEqual(['/a', '/a']);
    await clock.pass(20);
    expect(paths()).toEqual(['/a', '/a', '/b']);
    sent[2]!.respond(200);
    await second;
  });

  test('follows one that was given up without a response after a settling time', async () => {
    const first = call('/a', alone).catch((error: Error) => error.name);
    for (let n = 1; n <= ATTEMPTS_MAX; n++) {
      await untilSent(n);
      sent[n - 1]!.fail('unanswered', true);
    }
    await clock.pass(RETRY_MS);
    expect(await first).toBe('CallFailed');
    const second = call('/b');
    let isSettled = false;
    void delivery.settled(term).then(() => (isSettled = true));
    await clock.pass(SETTLE_MS - RETRY_MS - 10);
    expect([paths().includes('/b'), isSettled]).toEqual([false, false]);
    await clock.pass(RETRY_MS + 20);
    expect([paths().includes('/b'), isSettled]).toEqual([true, true]);
    sent.at(-1)!.respond(200);
    await second;
  });

  test('follows one that an earlier run left without a response once the node responds, after a settling time', async () => {
    await leaveUnanswered();
    canary = 'no response';
    const second = call('/b', { lsns: [8] });
    await clock.pass(10_000);
    expect(paths()).toEqual(['/a']);
    canary = null;
    await clock.pass(SETTLE_MS - 10);
    expect(paths()).toEqual(['/a']);
    await clock.pass(1_000);
    expect(paths()).toEqual(['/a', '/b']);
    sent.at(-1)!.respond(200);
    await second;
  });

  test('waits for an unanswered call of this gateway also when one of an earlier leader may be executing', async () => {
    await leaveUnanswered();
    delivery.assumeCallsInFlight(0);
    canary = 'no response';
    const second = call('/b', { lsns: [8] }).catch((error: Error) => error.name);
    await clock.pass(10_000);
    expect(paths()).toEqual(['/a']);
    over.abort();
    await clock.pass(1_000);
    expect(await second).toBe('TermOver');
  });

  test('follows at once when connections were refused in between: the process was gone', async () => {
    const first = call('/a');
    sent[0]!.fail('unanswered', true);
    await clock.pass(50);
    sent[1]!.fail('refused', false);
    await clock.pass(100);
    sent[2]!.respond(200);
    await first;
    await followsAtOnce();
  });

  test('follows at once, and no duplicate is reported, when the process was seen to be gone in between', async () => {
    const first = call('/a');
    sent[0]!.fail('unanswered', true);
    await clock.pass(1);
    delivery.processGone();
    await clock.pass(50);
    sent[1]!.respond(200);
    await first;
    await followsAtOnce();
    expect(duplicates).toEqual([]);
  });

  test('follows at once when the process was seen to be gone during the settling time', async () => {
    await repeat();
    delivery.processGone();
    await followsAtOnce();
  });

  test('follows at once when the one before never left this process', async () => {
    await repeat({ wasSent: false });
    await followsAtOnce();
  });

  test('follows an unanswered one after its bound when that is longer than the settling time', async () => {
    const boundMs = workload.boundMs(1);
    expect(boundMs).toBeGreaterThan(SETTLE_MS);
    const first = call('/a', { work: 1 });
    sent[0]!.fail('unanswered', true);
    await clock.pass(100);
    sent[1]!.respond(200);
    await first;
    const second = call('/b');
    await clock.pass(boundMs - 60);
    expect(paths()).toEqual(['/a', '/a']);
    await clock.pass(120);
    expect(paths()).toEqual(['/a', '/a', '/b']);
    sent[2]!.respond(200);
    await second;
    expect(duplicates).toEqual([boundMs]);
  });

  test('waits for the announced bound when an earlier leader may have left a long call in the node', async () => {
    delivery.assumeCallsInFlight(3_000);
    const first = call('/a');
    sent[0]!.respond(200);
    await first;
    const second = call('/b');
    await clock.pass(2_950);
    expect(paths()).toEqual(['/a']);
    await clock.pass(100);
    sent[1]!.respond(200);
    await second;
  });

  test('waits a settling time when an earlier leader may have left a call in the node', async () => {
    delivery.assumeCallsInFlight(0);
    const first = call('/a');
    sent[0]!.respond(200);
    await first;
    const second = call('/b');
    await clock.pass(SETTLE_MS - 10);
    expect(paths()).toEqual(['/a']);
    await clock.pass(20);
    sent[1]!.respond(200);
    await second;
  });
});

describe('when the term is over', () => {
  test('nothing more is sent, and the next term waits for a call in flight', async () => {
    const response = call('/a');
    over.abort();
    await expect(response).rejects.toBeInstanceOf(TermOver);
    await expect(call('/b')).rejects.toBeInstanceOf(TermOver);
    expect(paths()).toEqual(['/a']);

    const next: Term = { ...term, signal: new AbortController().signal, held: () => true };
    let idle = false;
    const waiting = delivery.idle(next).then(() => (idle = true));
    await clock.pass(1_000);
    expect(idle).toBe(false);
    sent[0]!.respond(200);
    await waiting;
    expect(delivery.inFlight).toBe(0);
  });

  test('the last bytes of a call are held back', () => {
    const response = call('/a');
    expect(() => sent[0]!.beforeLast()).not.toThrow();
    over.abort();
    expect(() => sent[0]!.beforeLast()).toThrow(TermOver);
    return expect(response).rejects.toBeInstanceOf(TermOver);
  });
});

describe('a late response', () => {
  test('is reported when it comes after the term has ended', async () => {
    const late: number[] = [];
    const response = call('/a', { onLate: ({ status }) => void late.push(status) });
    over.abort();
    await expect(response).rejects.toBeInstanceOf(TermOver);
    expect(workload.current).not.toBeNull();
    sent[0]!.respond(201);
    await delivery.ended();
    expect(late).toEqual([201]);
    expect(workload.current).toBeNull();
  });
});

describe('a delayed duplicate', () => {
  test('is reported with the bound of its call when a call that broke off was made again', async () => {
    const broken = call('/a');
    sent[0]!.fail('unanswered', true);
    await clock.pass(1_000);
    expect(duplicates).toEqual([]);
    sent[1]!.respond(200);
    await broken;
    expect(duplicates).toEqual([workload.boundMs(0.01)]);
  });

  test('is not reported when the connection was refused', async () => {
    const refused = call('/b');
    sent[0]!.fail('refused', false);
    await clock.pass(1_000);
    sent[1]!.respond(200);
    await refused;
    expect(duplicates).toEqual([]);
  });
});

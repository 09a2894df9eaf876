import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { NodeError, type MutateRequest, type NodeClient, type NodeResponse } from '../chroma/node-client.ts';
import type { Term } from '../cluster/lease.ts';
import { Delivery, TermOver } from './delivery.ts';

const SETTLE_MS = 500;

/** A call that has reached the node. */
interface Sent {
  readonly path: string;
  readonly beforeLast: () => void;
  answer(status: number): void;
  fail(code: 'unanswered' | 'refused' | 'aborted', sent: boolean): void;
}

let clock: ManualClock;
let sent: Sent[];
let troubles: string[];
let delivery: Delivery;
let over: AbortController;
let term: Term;

let twins = 0;
let told: number[];
beforeEach(() => {
  twins = 0;
  told = [];
  clock = new ManualClock();
  [sent, troubles] = [[], []];
  over = new AbortController();
  term = { epoch: 1, clean: true, signal: over.signal, held: () => !over.signal.aborted };
  const mutate = ({ path, beforeLast }: MutateRequest): Promise<NodeResponse> =>
    new Promise((resolve, reject) =>
      sent.push({
        path,
        beforeLast: beforeLast!,
        answer: (status) => resolve({ status, headers: {}, body: Buffer.from('{}') }),
        fail: (code, wasSent) => reject(new NodeError(code, code, { sent: wasSent })),
      }),
    );
  delivery = new Delivery({
    client: { mutate } as unknown as NodeClient,
    clock,
    settleMs: SETTLE_MS,
    onTrouble: (error) => void troubles.push(error.message),
    onTwin: () => void (twins += 1),
    onRepeated: ({ attempts }) => void told.push(attempts),
  });
});

const call = (
  path: string,
  lsns: readonly number[] = [7, 9],
  isFinal: (response: NodeResponse) => boolean = () => false,
): Promise<NodeResponse> => delivery.call({ method: 'POST', path }, lsns, isFinal, term);
const paths = (): string[] => sent.map(({ path }) => path);

describe('a call', () => {
  test('that is answered is made once', async () => {
    const answer = call('/a');
    sent[0]!.answer(201);
    expect((await answer).status).toBe(201);
    await clock.pass(10_000);
    expect(paths()).toEqual(['/a']);
  });

  test('that ends in an answer without effect is not repeated', async () => {
    const answer = call('/a', [7], ({ status }) => status === 400);
    sent[0]!.answer(400);
    expect((await answer).status).toBe(400);
  });

  test('that hangs has no second copy beside it, however long it takes', async () => {
    const answer = call('/a');
    await clock.pass(600_000, 10_000);
    expect(paths()).toEqual(['/a']);
    expect(delivery.inFlight).toBe(1);
    sent[0]!.answer(200);
    await answer;
  });

  test('is repeated until it is answered as it should be', async () => {
    const answer = call('/a');
    sent[0]!.fail('unanswered', true);
    await clock.pass(100);
    sent[1]!.answer(500);
    await clock.pass(100);
    sent[2]!.answer(200);
    await answer;
    expect(paths()).toEqual(['/a', '/a', '/a']);
    expect(troubles).toEqual(['unanswered', 'HTTP 500: {}']);
  });

  test('is repeated with growing pauses, of a second at most', async () => {
    const answer = call('/a');
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
    sent.at(-1)!.answer(200);
    await answer;
  });
});

describe('a call that is sent in vain', () => {
  async function inVain(path: string): Promise<void> {
    sent.findLast((one) => one.path === path)!.fail('unanswered', true);
    await clock.pass(1, 1);
  }

  test('more than once is shown with what it brings and what it came to, until it is answered', async () => {
    const answer = call('/a');
    await inVain('/a');
    expect(delivery.repeated).toBeNull();
    const sinceMs = clock.monotonic() - 1;
    await clock.pass(100);
    sent[1]!.answer(500);
    await clock.pass(100);
    expect(delivery.repeated).toEqual({ from: 7, to: 9, attempts: 2, sinceMs, error: 'HTTP 500: {}' });
    sent[2]!.answer(200);
    await answer;
    expect(delivery.repeated).toBeNull();
  });

  test('is no such call when the node had no chance to carry it out', async () => {
    const answer = call('/a');
    for (const n of [0, 1]) {
      sent[n]!.fail('refused', false);
      await clock.pass(100);
    }
    expect(delivery.repeated).toBeNull();
    sent[2]!.answer(200);
    await answer;
  });

  test('is counted on when it ends the term each time, as one does of which the node dies', async () => {
    for (let n = 0; n < 10; n++) {
      const answer = call('/a');
      over.abort();
      await expect(answer).rejects.toThrow(TermOver);
      await inVain('/a');
      over = new AbortController();
      term = { ...term, signal: over.signal };
    }
    expect(delivery.repeated).toMatchObject({ from: 7, to: 9, attempts: 10 });
    expect(told).toEqual([10]);
    delivery.passed(6);
    expect(delivery.repeated).not.toBeNull();
    delivery.passed(9);
    expect(delivery.repeated).toBeNull();
  });

  test('is told of each ten times', async () => {
    const answer = call('/a');
    for (let n = 0; n < 25; n++) {
      sent[n]!.fail('unanswered', true);
      while (sent.length === n + 1) await clock.pass(10, 10);
    }
    expect(told).toEqual([10, 20]);
    sent.at(-1)!.answer(200);
    await answer;
  });

  test('and of several the one that was sent most often', async () => {
    const answers = [call('/a'), call('/b', [8])];
    for (const path of ['/a', '/b', '/b', '/a', '/b']) {
      await inVain(path);
      await clock.pass(200);
    }
    expect(delivery.repeated).toMatchObject({ from: 8, to: 8, attempts: 3 });
    for (const each of sent) each.answer(200);
    await Promise.all(answers);
  });
});

describe('a different call', () => {
  async function followsAtOnce(): Promise<void> {
    const second = call('/b');
    expect(paths().at(-1)).toBe('/b');
    sent.at(-1)!.answer(200);
    await second;
  }

  test('follows an unanswered one only when the node has answered for a settling time', async () => {
    const first = call('/a');
    sent[0]!.fail('unanswered', true);
    await clock.pass(100);
    sent[1]!.answer(200);
    await first;
    const second = call('/b');
    await clock.pass(SETTLE_MS - 10);
    expect(paths()).toEqual(['/a', '/a']);
    await clock.pass(20);
    expect(paths()).toEqual(['/a', '/a', '/b']);
    sent[2]!.answer(200);
    await second;
  });

  test('follows at once when connections were refused in between: the process was gone', async () => {
    const first = call('/a');
    sent[0]!.fail('unanswered', true);
    await clock.pass(50);
    sent[1]!.fail('refused', false);
    await clock.pass(100);
    sent[2]!.answer(200);
    await first;
    await followsAtOnce();
  });

  test('follows at once, and no twin is told of, when the process was seen to be gone in between', async () => {
    const first = call('/a');
    sent[0]!.fail('unanswered', true);
    await clock.pass(1);
    delivery.processGone();
    await clock.pass(50);
    sent[1]!.answer(200);
    await first;
    await followsAtOnce();
    expect(twins).toBe(0);
  });

  test('follows at once when the one before never left this process', async () => {
    const first = call('/a');
    sent[0]!.fail('unanswered', false);
    await clock.pass(100);
    sent[1]!.answer(200);
    await first;
    await followsAtOnce();
  });

  test('waits too when whoever led before may have left a call in the node', async () => {
    delivery.distrust();
    const first = call('/a');
    sent[0]!.answer(200);
    await first;
    const second = call('/b');
    await clock.pass(SETTLE_MS - 10);
    expect(paths()).toEqual(['/a']);
    await clock.pass(20);
    sent[1]!.answer(200);
    await second;
  });
});

describe('when the term is over', () => {
  test('nothing more is sent, and a call under way is waited for by the next term', async () => {
    const answer = call('/a');
    over.abort();
    await expect(answer).rejects.toBeInstanceOf(TermOver);
    await expect(call('/b')).rejects.toBeInstanceOf(TermOver);
    expect(paths()).toEqual(['/a']);

    const next: Term = { ...term, signal: new AbortController().signal, held: () => true };
    let idle = false;
    const waiting = delivery.idle(next).then(() => (idle = true));
    await clock.pass(1_000);
    expect(idle).toBe(false);
    sent[0]!.answer(200);
    await waiting;
    expect(delivery.inFlight).toBe(0);
  });

  test('the last bytes of a call are held back', () => {
    const answer = call('/a');
    expect(() => sent[0]!.beforeLast()).not.toThrow();
    over.abort();
    expect(() => sent[0]!.beforeLast()).toThrow(TermOver);
    return expect(answer).rejects.toBeInstanceOf(TermOver);
  });
});

test('a call that broke off may have a twin, which is told once it was answered; one refused has none', async () => {
  const broken = call('/a');
  sent[0]!.fail('unanswered', true);
  await clock.pass(1_000);
  expect(twins).toBe(0);
  sent[1]!.answer(200);
  await broken;
  expect(twins).toBe(1);
  await clock.pass(10_000);
  const refused = call('/b');
  sent[2]!.fail('refused', false);
  await clock.pass(1_000);
  sent[3]!.answer(200);
  await refused;
  expect(twins).toBe(1);
});

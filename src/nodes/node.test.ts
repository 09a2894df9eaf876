import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Node, type CanaryReport, type VerificationFailure, type ProbeResult } from './node.ts';

const OVERDUE_MAX_MS = 60_000;

const SOUND: ProbeResult = { found: 'itself', checkpoint: 10, log: 'log' };
const SILENT: ProbeResult = { found: 'silent', reason: 'no answer within 2000 ms' };
const REFUSED: ProbeResult = { found: 'refused', reason: 'nothing listens' };

let clock: ManualClock;
let stop: AbortController;
let watching: Promise<void>;
let member: Node;
/** What the node shows to whoever looks. */
let shown: ProbeResult | Promise<ProbeResult>;
let canaryFailure: CanaryReport | null;
/** What the node is working on. */
let work: { explainsSilence: boolean; isLong: boolean; overdueMs: number };
let failure: VerificationFailure | null | Promise<VerificationFailure | null>;
let counts: { probes: number; canaries: number; verifications: number };
let transitions: string[];
/** Times that nothing listened. */
let gone: number;

beforeEach(async () => {
  clock = new ManualClock();
  stop = new AbortController();
  [shown, canaryFailure, failure] = [SOUND, null, null];
  work = { explainsSilence: false, isLong: false, overdueMs: -Infinity };
  counts = { probes: 0, canaries: 0, verifications: 0 };
  transitions = [];
  gone = 0;
  member = new Node({
    id: 'node',
    url: 'http://node',
    clock,
    probe: {
      probe: async () => ((counts.probes += 1), shown),
      canary: async () => ((counts.canaries += 1), canaryFailure),
      verify: async () => ((counts.verifications += 1), failure),
    },
    work: {
      get explainsSilence() {
        return work.explainsSilence;
      },
      get isLong() {
        return work.isLong;
      },
      isOverdueBy: (ms) => work.overdueMs > ms,
    },
    overdueMaxMs: OVERDUE_MAX_MS,
    onTransition: (_member, from, event) => void transitions.push(`${from} ${event}`),
    onProcessGone: () => void (gone += 1),
  });
  watching = member.watch(stop.signal);
  await clock.pass(1);
});
afterEach(async () => {
  stop.abort();
  await watching;
});

/** Brings the node to where it serves, as a leader would. */
async function serve(): Promise<void> {
  member.on('admitted', '');
  await clock.pass(1_000);
  member.on('caught_up', '');
  expect(member.state).toBe('serving');
  transitions.length = 0;
}

describe('a node that joins', () => {
  test('is only looked at until it is admitted', async () => {
    await clock.pass(5_000);
    expect(member.state).toBe('joining');
    expect(counts.canaries).toBe(0);
    expect(member.probed).toBe(true);
  });

  test('is not called level before its canary has worked', async () => {
    canaryFailure = { reason: 'writes are refused', isSilence: false };
    member.on('admitted', '');
    await clock.pass(1_000);
    expect(member.canaryWorks).toBe(false);
    canaryFailure = null;
    await clock.pass(1_000);
    expect(member.canaryWorks).toBe(true);
  });

  test('may be blank, or unknown to whoever looks', async () => {
    shown = { found: 'unmarked' };
    await clock.pass(1_000);
    shown = { found: 'another', reason: 'nobody is expected yet' };
    await clock.pass(1_000);
    expect(member.state).toBe('joining');
  });
});

describe('a node that serves', () => {
  beforeEach(serve);

  test('is left in peace for one missed probe, and down after the second', async () => {
    shown = SILENT;
    await clock.pass(550);
    expect(member.state).toBe('serving');
    await clock.pass(550);
    expect(member.state).toBe('down');
    expect(member.reason).toBe(SILENT.reason);
  });

  test('starts its count anew with every answer', async () => {
    for (let n = 0; n < 10; n++) {
      shown = n % 2 === 0 ? SILENT : SOUND;
      await clock.pass(550);
    }
    expect(transitions).toEqual([]);
  });

  test('is down at once when nothing listens', async () => {
    shown = REFUSED;
    await clock.pass(550);
    expect(member.state).toBe('down');
  });

  test('whose process is gone is looked at often, so that it is met soon when it is back', async () => {
    shown = REFUSED;
    await clock.pass(550);
    const before = gone;
    await clock.pass(600);
    expect(gone - before).toBeGreaterThanOrEqual(10);
    shown = SOUND;
    await clock.pass(60);
    expect(member.state).toBe('catching_up');
  });

  test('whose process is gone wakes nobody with it, and is looked at less often when it stays away', async () => {
    shown = REFUSED;
    await clock.pass(550);
    let woken = false;
    void member.changed.wait(stop.signal).then(() => (woken = true));
    await clock.pass(15_000);
    const before = gone;
    await clock.pass(5_500);
    expect([woken, gone - before]).toEqual([false, 10]);
  });

  test('whose connection ends while it is asked is asked again at once', async () => {
    let answer: (result: ProbeResult) => void = () => undefined;
    shown = new Promise((resolve) => (answer = resolve));
    await clock.pass(600);
    const before = counts.probes;
    member.connectionLost();
    shown = REFUSED;
    answer(SILENT);
    await clock.pass(60);
    expect(counts.probes).toBe(before + 1);
    expect(gone).toBe(1);
  });

  test('that is only silent may still be at what it was asked', async () => {
    shown = SILENT;
    await clock.pass(5_000);
    expect(gone).toBe(0);
  });

  test('is down at once when a real call is refused, without waiting for a probe', () => {
    member.callFailed(new Error('ECONNREFUSED'), true);
    expect(member.state).toBe('down');
    expect(member.lastError).toBe('ECONNREFUSED');
  });

  test('is looked at soon after a real call had no answer, but not once for each of many', async () => {
    const before = counts.probes;
    await clock.pass(60);
    for (let n = 0; n < 100; n++) member.callFailed(new Error('reset'), false);
    await clock.pass(100, 10);
    expect(member.state).toBe('serving');
    expect(counts.probes - before).toBeLessThanOrEqual(2);
    expect(counts.probes - before).toBeGreaterThanOrEqual(1);
  });

  test('is asked for a canary every ten seconds or so', async () => {
    const before = counts.canaries;
    await clock.pass(33_000);
    expect(counts.canaries - before).toBe(3);
  });

  test('is found out by its canary soon after it answered badly', async () => {
    canaryFailure = { reason: 'refused: HTTP 500', isSilence: false };
    member.answeredBadly(new Error('HTTP 500'));
    await clock.pass(1_200);
    expect(member.state).toBe('down');
    expect(member.lastError).toBe('canary: refused: HTTP 500');
  });

  test('stays when the canary does not confirm a bad answer', async () => {
    const before = counts.canaries;
    member.answeredBadly(new Error('HTTP 500'));
    await clock.pass(1_200);
    expect(counts.canaries).toBe(before + 1);
    expect(transitions).toEqual([]);
  });

  test('and comes back with another identity is fenced', async () => {
    shown = { found: 'another', reason: 'node "b"' };
    await clock.pass(550);
    expect(member.state).toBe('fenced');
    expect(member.reason).toBe('node "b"');
  });

  test('and comes back blank needs a rebuild', async () => {
    shown = { found: 'unmarked' };
    await clock.pass(550);
    expect(member.state).toBe('needs_rebuild');
  });

  test('and comes back with a marker older than one it is known to have held needs a rebuild', async () => {
    member.markerLSN = 11;
    await clock.pass(550);
    expect(member.state).toBe('needs_rebuild');
    expect(member.reason).toContain('LSN 10, and had said 11');
  });

  test('is not accused when its marker is written while it is being asked', async () => {
    let answer: (result: ProbeResult) => void = () => undefined;
    shown = new Promise((resolve) => (answer = resolve));
    await clock.pass(550);
    member.markerLSN = 11;
    answer(SOUND);
    await clock.pass(10);
    expect(member.state).toBe('serving');
  });
});

describe('a node that works on a call', () => {
  const HANGS: CanaryReport = { reason: 'hanging: a write had no answer', isSilence: true };
  beforeEach(async () => {
    await serve();
    work.explainsSilence = true;
  });

  test('is busy, not down, when it misses probes within the bound of the call', async () => {
    work.isLong = true;
    shown = SILENT;
    await clock.pass(60_000);
    expect(member.state).toBe('busy');
    expect(member.reason).toBe('it works on a call and answers no probe meanwhile');
    expect(transitions).toEqual(['serving occupied']);
  });

  test('serves again when it answers and the call has ended', async () => {
    work.isLong = true;
    shown = SILENT;
    await clock.pass(5_000);
    shown = SOUND;
    await clock.pass(1_000);
    expect(member.state).toBe('busy');
    work = { explainsSilence: false, isLong: false, overdueMs: -Infinity };
    await clock.pass(1_000);
    expect(member.state).toBe('serving');
    expect(transitions).toEqual(['serving occupied', 'busy free']);
  });

  test('is down when it misses probes beyond the bound of the call', async () => {
    shown = SILENT;
    await clock.pass(5_000);
    work = { ...work, explainsSilence: false, overdueMs: 1 };
    await clock.pass(1_200);
    expect(member.state).toBe('down');
  });

  test('is not down when the probe that was in flight at the end of the call is missed', async () => {
    shown = SILENT;
    await clock.pass(5_000);
    work.explainsSilence = false;
    await clock.pass(550);
    expect(member.state).not.toBe('down');
    shown = SOUND;
    await clock.pass(550);
    expect(member.state).toBe('serving');
  });

  test('is not down when its canary gets no response within the bound of the call', async () => {
    canaryFailure = HANGS;
    await clock.pass(30_000);
    expect(transitions.filter((each) => each.endsWith('failed'))).toEqual([]);
    expect(counts.canaries).toBeGreaterThan(2);
  });

  test('is down when its canary gets no response beyond the bound of the call', async () => {
    canaryFailure = HANGS;
    await clock.pass(5_000);
    work.explainsSilence = false;
    await clock.pass(15_000);
    expect(member.state).toBe('down');
  });

  test('is down when its canary gets a bad response, within the bound as well', async () => {
    canaryFailure = { reason: 'refused: HTTP 500', isSilence: false };
    member.answeredBadly(new Error('HTTP 500'));
    await clock.pass(1_200);
    expect(member.state).toBe('down');
  });

  test('is asked for no canary while the call is a long one', async () => {
    work.isLong = true;
    const before = counts.canaries;
    await clock.pass(33_000);
    expect(counts.canaries).toBe(before);
  });

  test('is down when its process is gone, within the bound as well', async () => {
    shown = REFUSED;
    await clock.pass(550);
    expect(member.state).toBe('down');
  });

  test('is down when the call is overdue although it answers probes', async () => {
    work = { explainsSilence: false, isLong: true, overdueMs: OVERDUE_MAX_MS };
    await clock.pass(5_000);
    expect(member.state).toBe('serving');
    work.overdueMs = OVERDUE_MAX_MS + 1;
    await clock.pass(550);
    expect(member.state).toBe('down');
    expect(member.reason).toBe('a call has exceeded its bound');
    await clock.pass(5_000);
    expect(member.state).toBe('down');
  });
});

describe('a node that was down', () => {
  beforeEach(async () => {
    await serve();
    shown = REFUSED;
    await clock.pass(550);
    expect(member.state).toBe('down');
  });

  test('catches up when it answers again', async () => {
    shown = SOUND;
    await clock.pass(600);
    expect(member.state).toBe('catching_up');
    expect(member.reason).toBe(null);
  });

  test('stays down while its canary fails', async () => {
    [shown, canaryFailure] = [SOUND, { reason: 'refused', isSilence: false }];
    member.answeredBadly(new Error('HTTP 500'));
    await clock.pass(1_200);
    expect(member.state).toBe('down');
    canaryFailure = null;
    await clock.pass(600);
    expect(member.state).toBe('catching_up');
  });
});

describe('a node whose connection ended', () => {
  beforeEach(serve);

  test('is used again only when what it serves was held against the log', async () => {
    failure = { contentLost: false, reason: 'the log cannot be read' };
    member.connectionLost();
    expect(member.state).toBe('down');
    expect(member.verified).toBe(false);
    await clock.pass(3_000);
    expect(member.state).toBe('down');
    expect(member.lastError).toBe('the log cannot be read');
    failure = null;
    await clock.pass(600);
    expect(member.state).toBe('catching_up');
    expect(member.verified).toBe(true);
  });

  test('needs a rebuild when it lacks what it had applied', async () => {
    failure = { contentLost: true, reason: 'LSN 7 is missing' };
    member.connectionLost();
    await clock.pass(600);
    expect(member.state).toBe('needs_rebuild');
    expect(member.reason).toBe('LSN 7 is missing');
  });

  test('is not trusted for a verification that was begun before the connection ended once more', async () => {
    let finish: (found: VerificationFailure | null) => void = () => undefined;
    failure = new Promise((resolve) => (finish = resolve));
    member.connectionLost();
    await clock.pass(600);
    failure = { contentLost: false, reason: 'not yet' };
    member.connectionLost();
    finish(null);
    await clock.pass(600);
    expect(member.verified).toBe(false);
    expect(member.state).toBe('down');
  });
});

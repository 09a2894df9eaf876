import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { NodeResponseError } from '../chroma/client/node-error.ts';
import { Node, type VerificationFailure } from './node.ts';
import type { CanaryReport, ProbeResult } from './probe-result.ts';

const OVERDUE_MAX_MS = 60_000;

const HEALTHY: ProbeResult = { found: 'itself', checkpoint: 10, log: 'log' };
const SILENT: ProbeResult = { found: 'silent', reason: 'no response within 2000 ms' };
const REFUSED: ProbeResult = { found: 'refused', reason: 'nothing listens' };

let clock: ManualClock;
let stop: AbortController;
let watching: Promise<void>;
let member: Node;
/** The result of the next probe. */
let shown: ProbeResult | Promise<ProbeResult>;
let canaryFailure: CanaryReport | null | Promise<CanaryReport>;
/** What the node is working on. */
let work: { explainsSilence: boolean; explainedMs?: number; isLong: boolean; overdueMs: number };
let failure: VerificationFailure | null | Promise<VerificationFailure | null>;
let counts: { probes: number; canaries: number; verifications: number };
let transitions: string[];
/** Times that a connection was refused. */
let gone: number;
/** What was reported of its ability to work. */
let health: (string | null)[];

beforeEach(async () => {
  clock = new ManualClock();
  stop = new AbortController();
  [shown, canaryFailure, failure] = [HEALTHY, null, null];
  work = { explainsSilence: false, isLong: false, overdueMs: -Infinity };
  counts = { probes: 0, canaries: 0, verifications: 0 };
  transitions = [];
  gone = 0;
  health = [];
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
      explainsSilenceSince: (sinceMs) => work.explainsSilence || (work.explainedMs ?? -Infinity) >= sinceMs,
      get isLong() {
        return work.isLong;
      },
      isOverdueBy: (ms) => work.overdueMs > ms,
    },
    overdueMaxMs: OVERDUE_MAX_MS,
    onTransition: (_member, from, event) => void transitions.push(`${from} ${event}`),
    onProcessGone: () => void (gone += 1),
    onHealth: (report) => void health.push(report?.reason ?? null),
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
  test('is verified before it follows the log when another server was at its address first', async () => {
    member.on('wrong_identity', 'node "b"');
    expect([member.state, member.verified]).toEqual(['fenced', false]);
    failure = { contentLost: false, reason: 'the content cannot be compared yet' };
    await clock.pass(3_000);
    expect(member.state).toBe('fenced');
    failure = null;
    await clock.pass(3_000);
    expect([member.state, member.verified]).toEqual(['catching_up', true]);
  });

  test('is only probed until it is admitted', async () => {
    await clock.pass(5_000);
    expect(member.state).toBe('joining');
    expect(counts.canaries).toBe(0);
    expect(member.probed).toBe(true);
  });

  test('is not caught up before its canary has succeeded', async () => {
    canaryFailure = { reason: 'writes are refused', isSilence: false };
    member.on('admitted', '');
    await clock.pass(1_000);
    expect(member.canaryWorks).toBe(false);
    canaryFailure = null;
    await clock.pass(1_000);
    expect(member.canaryWorks).toBe(true);
  });

  test('may be blank, or of an identity that is not known yet', async () => {
    shown = { found: 'unmarked' };
    await clock.pass(1_000);
    shown = { found: 'another', reason: 'no identity is expected yet' };
    await clock.pass(1_000);
    expect(member.state).toBe('joining');
  });
});

describe('a node that serves', () => {
  beforeEach(serve);

  test('serves after one missed probe, and is down after the second', async () => {
    shown = SILENT;
    await clock.pass(550);
    expect(member.state).toBe('serving');
    await clock.pass(550);
    expect(member.state).toBe('down');
    expect(member.reason).toBe(SILENT.reason);
  });

  test('counts missed probes from the last response', async () => {
    for (let n = 0; n < 10; n++) {
      shown = n % 2 === 0 ? SILENT : HEALTHY;
      await clock.pass(550);
    }
    expect(transitions).toEqual([]);
  });

  test('is down at once when a connection is refused', async () => {
    shown = REFUSED;
    await clock.pass(550);
    expect(member.state).toBe('down');
  });

  test('is probed often after its process is gone, so that its return is noticed soon', async () => {
    shown = REFUSED;
    await clock.pass(550);
    const before = gone;
    await clock.pass(600);
    expect(gone - before).toBeGreaterThanOrEqual(10);
    shown = HEALTHY;
    await clock.pass(60);
    expect(member.state).toBe('catching_up');
  });

  test('notifies once when its process is gone, and is probed less often when it stays away', async () => {
    shown = REFUSED;
    await clock.pass(550);
    let woken = false;
    void member.changed.wait(stop.signal).then(() => (woken = true));
    await clock.pass(15_000);
    const before = gone;
    await clock.pass(5_500);
    expect([woken, gone - before]).toEqual([false, 10]);
  });

  test('is probed again at once when its connection ends during a probe', async () => {
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

  test('may still execute its calls when it is only silent', async () => {
    shown = SILENT;
    await clock.pass(5_000);
    expect(gone).toBe(0);
  });

  test('is down at once when a real call is refused, without waiting for a probe', () => {
    member.callFailed(new Error('ECONNREFUSED'), true);
    expect(member.state).toBe('down');
    expect(member.lastError).toBe('ECONNREFUSED');
  });

  test('is probed soon after a real call had no response, but not once for each of many', async () => {
    const before = counts.probes;
    await clock.pass(60);
    for (let n = 0; n < 100; n++) member.callFailed(new Error('reset'), false);
    await clock.pass(100, 10);
    expect(member.state).toBe('serving');
    expect(counts.probes - before).toBeLessThanOrEqual(2);
    expect(counts.probes - before).toBeGreaterThanOrEqual(1);
  });

  test('runs a canary about every ten seconds', async () => {
    const before = counts.canaries;
    await clock.pass(33_000);
    expect(counts.canaries - before).toBe(3);
  });

  test('is down after a canary fails soon after a bad response', async () => {
    canaryFailure = { reason: 'refused: HTTP 500', isSilence: false };
    member.respondedBadly(new Error('HTTP 500'));
    await clock.pass(1_200);
    expect(member.state).toBe('down');
    expect(member.lastError).toBe('canary: refused: HTTP 500');
  });

  test('keeps serving when the canary does not confirm a bad response', async () => {
    const before = counts.canaries;
    member.respondedBadly(new Error('HTTP 500'));
    await clock.pass(1_200);
    expect(counts.canaries).toBe(before + 1);
    expect(transitions).toEqual([]);
  });

  test('is fenced when it comes back with another identity', async () => {
    shown = { found: 'another', reason: 'node "b"' };
    await clock.pass(550);
    expect(member.state).toBe('fenced');
    expect(member.reason).toBe('node "b"');
  });

  test('needs a rebuild when it comes back blank', async () => {
    shown = { found: 'unmarked' };
    await clock.pass(550);
    expect(member.state).toBe('needs_rebuild');
  });

  test('needs a rebuild when it comes back with an older marker', async () => {
    member.markerLSN = 11;
    await clock.pass(550);
    expect(member.state).toBe('needs_rebuild');
    expect(member.reason).toContain('LSN 10, and held 11 before');
  });

  test('is not taken for older when its marker is written during a probe', async () => {
    let answer: (result: ProbeResult) => void = () => undefined;
    shown = new Promise((resolve) => (answer = resolve));
    await clock.pass(550);
    member.markerLSN = 11;
    answer(HEALTHY);
    await clock.pass(10);
    expect(member.state).toBe('serving');
  });
});

describe('a node that works on a call', () => {
  const HANGS: CanaryReport = { reason: 'hanging: a write had no response', isSilence: true };
  beforeEach(async () => {
    await serve();
    work.explainsSilence = true;
  });

  test('is busy, not down, when it misses probes within the bound of the call', async () => {
    work.isLong = true;
    shown = SILENT;
    await clock.pass(60_000);
    expect(member.state).toBe('busy');
    expect(member.reason).toBe('works on a call and does not respond to probes meanwhile');
    expect(transitions).toEqual(['serving occupied']);
  });

  test('serves again when it responds and the call has ended', async () => {
    work.isLong = true;
    shown = SILENT;
    await clock.pass(5_000);
    shown = HEALTHY;
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
    shown = HEALTHY;
    await clock.pass(550);
    expect(member.state).toBe('serving');
  });

  test('is not down when its canary gets no response within the bound of the call', async () => {
    canaryFailure = HANGS;
    await clock.pass(30_000);
    expect(transitions.filter((each) => each.endsWith('failed'))).toEqual([]);
    expect(counts.canaries).toBeGreaterThan(2);
  });

  test('is not down when the call that delayed its canary has ended before the canary was given up', async () => {
    let giveUp: (report: CanaryReport) => void = () => undefined;
    canaryFailure = new Promise((resolve) => (giveUp = resolve));
    await clock.pass(12_000);
    work = { ...work, explainsSilence: false, explainedMs: clock.monotonic() };
    await clock.pass(1);
    canaryFailure = null;
    giveUp(HANGS);
    await clock.pass(1_000);
    expect(transitions.filter((each) => each.endsWith('failed'))).toEqual([]);
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
    member.respondedBadly(new Error('HTTP 500'));
    await clock.pass(1_200);
    expect(member.state).toBe('down');
  });

  test('runs no canary while the call is a long one', async () => {
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

  test('is down when the call is overdue although it responds to probes', async () => {
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

  test('catches up when it responds again', async () => {
    shown = HEALTHY;
    await clock.pass(600);
    expect(member.state).toBe('catching_up');
    expect(member.reason).toBe(null);
  });

  test('stays down while its canary fails', async () => {
    [shown, canaryFailure] = [HEALTHY, { reason: 'refused', isSilence: false }];
    member.respondedBadly(new Error('HTTP 500'));
    await clock.pass(1_200);
    expect(member.state).toBe('down');
    canaryFailure = null;
    await clock.pass(600);
    expect(member.state).toBe('catching_up');
  });
});

describe('a node whose connection ended', () => {
  beforeEach(serve);

  test('is used again only after its content was compared with the log', async () => {
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

  test('needs a rebuild when it lacks content that it had applied', async () => {
    failure = { contentLost: true, reason: 'LSN 7 is missing' };
    member.connectionLost();
    await clock.pass(600);
    expect(member.state).toBe('needs_rebuild');
    expect(member.reason).toBe('LSN 7 is missing');
  });

  test('is not verified by a comparison that began before its connection ended again', async () => {
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

describe('what it reports of the ability to work', () => {
  test('is every canary, and why it failed', async () => {
    await serve();
    health.length = 0;
    await clock.pass(10_500, 500);
    expect(health).toEqual([null]);
    canaryFailure = { reason: 'refused: HTTP 500', isSilence: false };
    await clock.pass(12_000, 500);
    expect(health.slice(1, 4)).toEqual(Array.from({ length: 3 }, () => 'refused: HTTP 500'));
  });

  test('is a response that it cannot read its marker, a long silence of an open connection, and no other', async () => {
    await serve();
    health.length = 0;
    shown = SILENT;
    await clock.pass(2_000, 500);
    expect(health).toEqual([]);
    shown = { ...SILENT, hangsMs: 19_000 };
    await clock.pass(2_000, 500);
    work.explainsSilence = true;
    shown = { ...SILENT, hangsMs: 30_000 };
    await clock.pass(2_000, 500);
    expect(health).toEqual([]);
    work.explainsSilence = false;
    await clock.pass(600, 100);
    expect(health).toEqual(['hangs: no response within 2000 ms']);
    health.length = 0;
    shown = { found: 'silent', reason: 'the marker check failed with status 500', isUnable: true };
    await clock.pass(600, 100);
    expect(health).toEqual(['the marker check failed with status 500']);
  });

  test('is such a response to its admission, and no other failure of that', () => {
    member.callFailed(new Error('PostgreSQL is away'), false);
    member.callFailed(new NodeResponseError('listing databases failed', 404), false);
    expect(health).toEqual([]);
    member.callFailed(new NodeResponseError('listing databases failed', 500), false);
    expect(health).toEqual(['listing databases failed']);
  });
});

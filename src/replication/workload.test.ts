import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Workload } from './workload.ts';

const LONG_MS = 500;
const SILENCE_MS = 5_000;

let clock: ManualClock;
let workload: Workload;

beforeEach(() => {
  clock = new ManualClock();
  workload = new Workload(clock, LONG_MS);
});

const begin = (work: number, from = 1, to = from): ((responded: boolean) => void) =>
  workload.begin({ lsns: Array.from({ length: to - from + 1 }, (_, n) => from + n), work });

/** The node responds to a call of so much work after `ms`. */
function respond(work: number, ms: number): void {
  const end = begin(work);
  clock.advance(ms);
  end(true);
}

describe('the expected duration of a call', () => {
  test('assumes two seconds a unit before the first measurement', () => {
    expect(workload.expectedMs(1)).toBe(2_000);
    expect([workload.isLongCall(0.2), workload.isLongCall(0.3)]).toEqual([false, true]);
  });

  test("follows the node's own rate when calls have been measured", () => {
    respond(1, 100);
    expect(workload.expectedMs(1)).toBe(100);
    expect(workload.isLongCall(1)).toBe(false);
    for (let n = 0; n < 20; n++) respond(1, 10_000);
    expect(workload.expectedMs(1)).toBeGreaterThan(9_000);
    expect(workload.isLongCall(0.1)).toBe(true);
  });

  test('does not change when a small call or one without a response ends', () => {
    respond(0.01, 5_000);
    const end = begin(1);
    clock.advance(5_000);
    end(false);
    expect(workload.expectedMs(1)).toBe(2_000);
  });

  test('counts from the last response when two calls were in flight at once', () => {
    const [first, second] = [begin(1), begin(1)];
    clock.advance(1_000);
    first(true);
    clock.advance(1_000);
    second(true);
    expect(workload.expectedMs(1)).toBe(1_000);
  });
});

describe('the bound of a call', () => {
  test('grows with its size', () => {
    expect(workload.boundMs(2)).toBe(2 * workload.boundMs(1));
    expect(workload.boundMs(20)).toBe(20 * workload.boundMs(1));
  });

  test('grows with the measured rate of a slow node, and never falls below that of the assumed rate', () => {
    const assumed = workload.boundMs(1);
    respond(1, 100);
    expect(workload.boundMs(1)).toBe(assumed);
    for (let n = 0; n < 20; n++) respond(1, 10_000);
    expect(workload.boundMs(1)).toBeGreaterThan(4 * assumed);
  });

  test('explains silence until it has passed, and not after', () => {
    expect(workload.explainsSilence).toBe(false);
    const end = begin(1);
    clock.advance(workload.boundMs(1) + SILENCE_MS);
    expect([workload.explainsSilence, workload.isOverdueBy(0)]).toEqual([true, false]);
    clock.advance(1);
    expect([workload.explainsSilence, workload.isOverdueBy(0), workload.isOverdueBy(1)]).toEqual([
      false,
      true,
      false,
    ]);
    clock.advance(60_000);
    expect([workload.isOverdueBy(60_000), workload.isOverdueBy(60_001)]).toEqual([true, false]);
    end(true);
    expect([workload.explainsSilence, workload.isOverdueBy(0)]).toEqual([false, false]);
  });

  test('covers the time that a server needs to set up a collection', () => {
    expect([workload.isLongCall(0.1, 100), workload.isLongCall(0.1, 400)]).toEqual([false, true]);
    const end = workload.begin({ lsns: [1], work: 0.1, setupMs: 8_000 });
    expect(workload.current).toMatchObject({ remainingMs: 8_200 });
    clock.advance(workload.boundMs(0.1, 8_000) + SILENCE_MS);
    expect([workload.isLong, workload.explainsSilence]).toEqual([true, true]);
    clock.advance(1);
    expect(workload.explainsSilence).toBe(false);
    end(true);
    expect(workload.isLong).toBe(false);
  });

  test('explains silence that began before the call ended, if the call was long enough to delay others', () => {
    const end = begin(1);
    clock.advance(600);
    const before = clock.monotonic();
    end(true);
    clock.advance(100);
    expect([workload.explainsSilenceSince(before), workload.explainsSilenceSince(before + 1)]).toEqual([
      true,
      false,
    ]);
    const short = begin(0.001);
    clock.advance(100);
    const meanwhile = clock.monotonic();
    short(true);
    expect(workload.explainsSilenceSince(meanwhile)).toBe(false);
  });

  test('explains the silence of a small call for some seconds only', () => {
    begin(0.001);
    clock.advance(SILENCE_MS - 1);
    expect(workload.explainsSilence).toBe(true);
    clock.advance(100);
    expect(workload.explainsSilence).toBe(false);
  });

  test('begins again with every response: it is about progress, not about the total duration', () => {
    const calls = [begin(1), begin(1), begin(1)];
    for (const end of calls.slice(0, 2)) {
      clock.advance(workload.boundMs(1) - 1);
      end(true);
    }
    clock.advance(workload.boundMs(1) - 1);
    expect(workload.explainsSilence).toBe(true);
  });

  test('begins with the call when the node had nothing to do before', () => {
    respond(1, 1_000);
    clock.advance(600_000);
    begin(1);
    expect(workload.explainsSilence).toBe(true);
  });

  test('covers all calls in flight', () => {
    begin(1);
    begin(2);
    clock.advance(workload.boundMs(3) + SILENCE_MS - 1);
    expect(workload.explainsSilence).toBe(true);
  });
});

describe('the work of one call', () => {
  test('is halved after each slow response, down to a sixteenth', () => {
    const seen = [];
    for (let n = 0; n < 6; n++) {
      respond(workload.partWork, 3_000);
      seen.push(workload.partWork);
    }
    expect(seen).toEqual([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16, 1 / 16]);
  });

  test('is doubled after each fast response, up to a whole unit', () => {
    for (let n = 0; n < 3; n++) respond(workload.partWork, 3_000);
    const seen = [];
    for (let n = 0; n < 4; n++) {
      respond(workload.partWork, 100);
      seen.push(workload.partWork);
    }
    expect(seen).toEqual([1 / 4, 1 / 2, 1, 1]);
  });

  test('stays when the response is neither slow nor fast, or the call was small for its limit', () => {
    respond(1, 1_000);
    respond(0.3, 5_000);
    expect(workload.partWork).toBe(1);
  });
});

describe('what the node is working on', () => {
  test('is the oldest call without a response, with its duration and estimated remaining time', () => {
    expect(workload.current).toBeNull();
    const first = begin(1, 5, 9);
    clock.advance(500);
    begin(0.1, 10);
    clock.advance(500);
    expect(workload.current).toEqual({ from: 5, to: 9, work: 1, ms: 1_000, remainingMs: 1_000 });
    expect(workload.inFlight.map(({ lsns }) => [lsns[0], lsns.at(-1)])).toEqual([
      [5, 9],
      [10, 10],
    ]);
    first(true);
    expect(workload.current).toMatchObject({ from: 10, ms: 500, remainingMs: 0 });
  });

  test('is long while the calls in flight are expected to take longer than the limit', () => {
    const end = begin(0.3);
    expect(workload.isLong).toBe(true);
    end(true);
    expect(workload.isLong).toBe(false);
  });

  test('is counted off once when a call is ended twice', () => {
    const end = begin(0.3);
    begin(0.3);
    end(false);
    end(false);
    expect(workload.isLong).toBe(true);
  });
});

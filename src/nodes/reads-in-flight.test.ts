import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { ReadsInFlight } from './reads-in-flight.ts';

const LIMIT_MS = 250;

/** Whether the promise has resolved, once everything that is due has run. */
async function isResolved(clock: ManualClock, promise: Promise<void>): Promise<boolean> {
  let resolved = false;
  void promise.then(() => (resolved = true));
  await clock.pass(0);
  return resolved;
}

test('resolves when the reads in flight have ended, whatever began since', async () => {
  const clock = new ManualClock();
  const reads = new ReadsInFlight(clock);
  const ends = [reads.begin(new AbortController()), reads.begin(new AbortController())];
  const ended = reads.ended(clock, LIMIT_MS);
  reads.begin(new AbortController());
  ends[0]!(true);
  expect(await isResolved(clock, ended)).toBe(false);
  ends[1]!(true);
  expect(await isResolved(clock, ended)).toBe(true);
  expect(reads.size).toBe(1);
});

test('resolves after the limit, however long a read takes', async () => {
  const clock = new ManualClock();
  const reads = new ReadsInFlight(clock);
  reads.begin(new AbortController());
  const ended = reads.ended(clock, LIMIT_MS);
  await clock.pass(LIMIT_MS - 1);
  expect(await isResolved(clock, ended)).toBe(false);
  await clock.pass(1);
  expect(await isResolved(clock, ended)).toBe(true);
});

test('aborts the reads in flight', () => {
  const reads = new ReadsInFlight(new ManualClock());
  const [one, other] = [new AbortController(), new AbortController()];
  reads.begin(one)(true);
  reads.begin(other);
  reads.abort();
  expect([one.signal.aborted, other.signal.aborted]).toEqual([false, true]);
});

test('a large read explains silence until its response, or for a time that grows with it', async () => {
  const clock = new ManualClock();
  const reads = new ReadsInFlight(clock);
  const MIB = 1024 * 1024;
  reads.begin(new AbortController(), MIB / 8);
  expect(reads.explainsSilence).toBe(false);
  const end = reads.begin(new AbortController(), MIB);
  expect(reads.explainsSilence).toBe(true);
  const before = clock.monotonic();
  end(true);
  expect([reads.explainsSilence, reads.explainsSilenceSince(before)]).toEqual([false, true]);
  // Given up by its client: the server goes on.
  reads.begin(new AbortController(), 30 * MIB)(false);
  await clock.advance(60_000);
  expect(reads.explainsSilence).toBe(true);
  await clock.advance(10_000);
  expect(reads.explainsSilence).toBe(false);
});

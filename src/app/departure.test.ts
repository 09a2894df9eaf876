import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Departure } from './departure.ts';

const DELAY_MS = 5_000;

/** Whether the gateway may stop; asked again later. */
function begin(departure: Departure): () => boolean {
  let mayStop = false;
  void departure.begin().then(() => (mayStop = true));
  return () => mayStop;
}

test('a gateway that stops in order serves for STOP_DELAY_MS more', async () => {
  const clock = new ManualClock();
  const departure = new Departure(clock, DELAY_MS);
  expect(departure.hasBegun).toBe(false);
  const mayStop = begin(departure);
  await clock.pass(DELAY_MS - 1);
  expect([departure.hasBegun, mayStop()]).toEqual([true, false]);
  await clock.pass(1);
  expect(mayStop()).toBe(true);
});

test('a gateway that has failed stops at once', async () => {
  const clock = new ManualClock();
  const departure = new Departure(clock, DELAY_MS);
  departure.fail();
  const mayStop = begin(departure);
  await clock.pass(0);
  expect(mayStop()).toBe(true);
});

test('a gateway that fails while it serves on stops at once', async () => {
  const clock = new ManualClock();
  const departure = new Departure(clock, DELAY_MS);
  const mayStop = begin(departure);
  await clock.pass(1);
  departure.fail();
  await clock.pass(0);
  expect(mayStop()).toBe(true);
});

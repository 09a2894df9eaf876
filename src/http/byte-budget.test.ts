import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { ByteBudget, SMALL_BODY_BYTES, type ByteReservation } from './byte-budget.ts';

const KIB = 1024;
const LARGE = 400 * KIB;
const SMALL = KIB;

function budgetOf(capacityBytes: number, options: { waitersMax?: number } = {}) {
  const clock = new ManualClock();
  const budget = new ByteBudget({ capacityBytes, largestBytes: LARGE, clock, waitMsMax: 1000, ...options });
  return { clock, budget };
}

/** Follows a request for bytes without waiting for it. */
function asking(budget: ByteBudget, bytes: number) {
  const asked = { reservation: null as ByteReservation | null, refused: null as string | null };
  const settled = budget.acquire(bytes).then(
    (reservation) => (asked.reservation = reservation),
    (error: { code: string }) => (asked.refused = error.code),
  );
  return Object.assign(asked, { settled });
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the byte budget', () => {
  test('never holds more than its capacity, and counts a release once', async () => {
    const { budget } = budgetOf(1000 * KIB);
    const first = await budget.acquire(LARGE);
    const second = await budget.acquire(LARGE);
    const third = asking(budget, LARGE);
    await turn();
    expect(third.reservation).toBeNull();
    expect(budget.usedBytes).toBe(2 * LARGE);
    first.release();
    first.release();
    await third.settled;
    expect(budget.usedBytes).toBe(2 * LARGE);
    second.shrinkTo(10);
    expect(budget.usedBytes).toBe(LARGE + 10);
  });

  test('keeps a part free for small bodies', async () => {
    const { budget } = budgetOf(2 * LARGE + SMALL_BODY_BYTES);
    await budget.acquire(LARGE);
    const second = asking(budget, LARGE);
    await turn();
    expect(second.reservation).toBeNull();
    expect(budget.tryAcquire(SMALL)).not.toBeNull();
  });

  test('lets small bodies overtake a large one that does not fit, by one capacity at most', async () => {
    const { budget } = budgetOf(2 * LARGE);
    const held = await budget.acquire(LARGE);
    const large = asking(budget, LARGE);
    let overtook = 0;
    for (let bytes = 0; bytes < 4 * LARGE; bytes += SMALL_BODY_BYTES) {
      const small = budget.tryAcquire(SMALL_BODY_BYTES);
      if (small !== null) overtook += small.bytes;
      small?.release();
    }
    expect(overtook).toBeGreaterThan(LARGE);
    expect(overtook).toBeLessThanOrEqual(2 * LARGE);
    const late = asking(budget, SMALL_BODY_BYTES);
    await turn();
    expect(late.reservation).toBeNull();
    held.release();
    await large.settled;
    expect(large.reservation?.bytes).toBe(LARGE);
    await late.settled;
    expect(late.reservation?.bytes).toBe(SMALL_BODY_BYTES);
  });

  test('refuses when too many wait or one waits too long, and forgets aborted waiters', async () => {
    const { budget, clock } = budgetOf(LARGE, { waitersMax: 2 });
    await budget.acquire(LARGE);
    const gone = new AbortController();
    const leaving = budget.acquire(LARGE, gone.signal);
    const waiting = asking(budget, LARGE);
    const refused = asking(budget, LARGE);
    await refused.settled;
    expect(refused.refused).toBe('overloaded');
    gone.abort();
    await expect(leaving).rejects.toThrow();
    expect(budget.waiting).toBe(1);
    clock.advance(1000);
    await waiting.settled;
    expect(waiting.refused).toBe('overloaded');
    expect(budget.waiting).toBe(0);
  });
});

import { expect, test } from 'vitest';
import { sendSteadily } from './workload.ts';

test('keeps sending while responses are outstanding, and measures the pause', async () => {
  const stop = new AbortController();
  const release = Promise.withResolvers<boolean>();
  let stalledMs = 0;
  let failures = 0;
  const longestMs = await sendSteadily(1, stop.signal, async (n) => {
    if (n === 10) stalledMs = performance.now();
    // Requests 10 to 59 stall; failures among them do not end the pause.
    if (n >= 10 && n < 60) return n % 2 === 0 ? release.promise : failures++ < 0;
    if (n === 60) {
      release.resolve(true);
      stalledMs = performance.now() - stalledMs;
    }
    if (n === 80) stop.abort();
    return true;
  });
  expect(failures).toBe(25);
  expect(longestMs).toBeGreaterThanOrEqual(stalledMs);
});

test('reports the whole run as a pause when every request fails', async () => {
  const stop = new AbortController();
  const startMs = performance.now();
  let endMs = 0;
  const longestMs = await sendSteadily(1, stop.signal, async (n) => {
    if (n !== 20) return false;
    endMs = performance.now();
    stop.abort();
    return false;
  });
  expect(longestMs).toBeGreaterThan((endMs - startMs) / 2);
});

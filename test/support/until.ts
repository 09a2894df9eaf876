import { setTimeout as pause } from 'node:timers/promises';

/** Resolves when `condition` holds; an error of it counts as false. Throws after `limitMs`, with the name of the condition. */
export async function until(
  condition: () => Promise<boolean>,
  what: string,
  limitMs = 60_000,
): Promise<void> {
  const end = performance.now() + limitMs;
  let last: unknown;
  while (performance.now() < end) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await pause(20);
  }
  throw new Error(`not within ${limitMs} ms: ${what}`, { cause: last });
}

import { setTimeout as pause } from 'node:timers/promises';

/** Resolves when `condition` holds; what it throws counts as not yet. Throws after `limitMs`, saying what was awaited. */
export async function until(
  condition: () => Promise<boolean>,
  what: string,
  limitMs = 30_000,
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
  throw new Error(`waited ${limitMs} ms in vain until ${what}`, { cause: last });
}

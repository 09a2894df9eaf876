// A clock for tests that have no interest in time: pauses take none.

import type { Clock } from '../../src/util/clock.ts';

export const impatientClock: Clock = {
  now: () => 0,
  monotonic: () => 0,
  after: (_delayMs, task) => {
    const pause = setImmediate(task);
    return () => clearImmediate(pause);
  },
};

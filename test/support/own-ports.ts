// Gives each of the workers that run tests at the same time ports of its own. A port is free for a moment between its choice
// and its use, and while its server restarts: another worker that draws from all ports takes it then, sooner or later.

import { randomInt } from 'node:crypto';
import { vi } from 'vitest';
import type { findFreePort } from '../../src/local/port.ts';

const FIRST_PORT = 20_000;
const PORTS_PER_WORKER = 6_000;
const TRIES_MAX = 100;

vi.mock(import('../../src/local/port.ts'), async (load) => {
  const original = await load();
  const first = FIRST_PORT + (Number(process.env['VITEST_POOL_ID']) % 2) * PORTS_PER_WORKER;
  const findOwnPort: typeof findFreePort = async (except?: ReadonlySet<number>) => {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const port = randomInt(first, first + PORTS_PER_WORKER);
      if (except?.has(port) !== true && (await original.isPortFree(port))) return port;
    }
    throw new Error(`no free port from ${first} on`);
  };
  return { ...original, findFreePort: findOwnPort };
});

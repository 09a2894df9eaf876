import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { PostgresProbe } from './postgres-probe.ts';

test('reports how long ago PostgreSQL responded, and why it does not', async () => {
  const clock = new ManualClock();
  let isAway = true;
  const query = async (): Promise<never[]> => {
    clock.freeze(5);
    if (isAway) throw new Error('connection refused');
    return [];
  };
  const probe = new PostgresProbe({ database: { query }, clock });
  await probe.ask();
  expect(probe.health).toEqual({ respondedMsAgo: null, latencyMs: null, error: 'connection refused' });
  isAway = false;
  await probe.ask();
  clock.advance(1_000);
  expect(probe.health).toEqual({ respondedMsAgo: 1_000, latencyMs: 5, error: null });
  isAway = true;
  await probe.ask();
  expect(probe.health).toEqual({ respondedMsAgo: 1_005, latencyMs: 5, error: 'connection refused' });
});

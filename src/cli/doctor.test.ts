import { afterEach, expect, test } from 'vitest';
import { CommandRunner, jsonHandler as json } from '../../test/support/command-run.ts';
import { doctorCommand, withoutContent } from './doctor.ts';

const runner = new CommandRunner();
afterEach(() => runner.stop());

const components = {
  nodes: { state: 'degraded', reason: 'b is down' },
  log: { state: 'healthy', reason: null },
};

test('without settings in its environment it asks the gateway alone', async () => {
  const run = await runner.start(doctorCommand, { 'GET /health/check': json({ components }) }, []);
  await run.done;
  expect(run.output()).toContain('WARNING  settings: there are none in this environment');
  expect(run.output()).toContain('WARNING  gateway: nodes: b is down');
  expect(run.code()).toBe(0);
});

test('without settings and without a gateway it says what is missing', async () => {
  const run = await runner.start(doctorCommand, {}, []);
  await expect(run.done).rejects.toThrow('DATABASE_URL is not set');
});

test('a bundle has no texts of clients or servers in its reports', () => {
  const status = {
    head: 7,
    nodes: [
      { id: 'a', state: 'down', lastError: 'document "secret" refused', suspects: [{ name: 'secret' }] },
    ],
    failing: { lsn: 3, error: 'secret', attempts: 2 },
    reason: null,
  };
  const copied = withoutContent(status);
  expect(JSON.stringify(copied)).not.toContain('secret');
  expect(copied).toMatchObject({
    head: 7,
    nodes: [{ id: 'a', state: 'down', lastError: '(removed)' }],
    failing: { lsn: 3, attempts: 2 },
    reason: null,
  });
});

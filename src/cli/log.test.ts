import { afterEach, expect, test } from 'vitest';
import { CommandRunner, jsonHandler } from '../../test/support/command-run.ts';
import { until } from '../../test/support/until.ts';
import { logCommand } from './log.ts';

const entry = (lsn: number, fields: object = {}): object => ({
  lsn,
  at: '2026-01-02T03:04:05.000Z',
  kind: 'add',
  collection: 't/d/docs',
  bytes: 120,
  outcome: null,
  ...fields,
});

const runner = new CommandRunner();
afterEach(() => runner.stop());

test('prints the newest entries', async () => {
  const entries = [
    entry(4, { kind: 'create_collection', outcome: 'accepted' }),
    entry(5, { collection: null }),
  ];
  const { output, done } = await runner.start(logCommand, { 'GET /admin/log': jsonHandler({ entries }) }, [
    'tail',
  ]);
  await done;
  const [head, first, second] = output().split('\n');
  expect(head).toMatch(/^LSN +at +kind +collection +bytes +outcome$/);
  expect(first).toMatch(/^4 +2026-01-02T03:04:05.000Z +create_collection +t\/d\/docs +120 +accepted$/);
  expect(second).toMatch(/^5 .* add +- +120 +-$/);
});

test('says that the log is empty', async () => {
  const { output, done } = await runner.start(
    logCommand,
    { 'GET /admin/log': jsonHandler({ entries: [] }) },
    ['tail'],
  );
  await done;
  expect(output()).toBe('The log is empty.\n');
});

test('follows from the last entry on', async () => {
  const asked: string[] = [];
  const routes = {
    'GET /admin/log': async ({ query }: { query: URLSearchParams }) => {
      asked.push(query.toString());
      const entries = [entry(query.has('after') ? 6 : 5)];
      return { status: 200, body: JSON.stringify({ entries }) };
    },
  };
  const { output, clock, stop, done } = await runner.start(logCommand, routes, [
    'tail',
    '--follow',
    '--json',
  ]);
  await until(async () => {
    clock.advance(1_000);
    return asked.length >= 2;
  }, 'the command asks again');
  stop.abort();
  await done;
  expect(asked.slice(0, 2)).toEqual(['limit=20', 'limit=20&after=5']);
  expect(output()).toContain('"lsn":6');
});

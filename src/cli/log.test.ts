import { afterEach, expect, test } from 'vitest';
import {
  CommandRunner,
  jsonHandler,
  operationStatus,
  StandInGateway,
} from '../../test/support/command-run.ts';
import { TestCommand } from '../../test/support/operation-context.ts';
import { until } from '../../test/support/until.ts';
import type { Handler } from '../http/router.ts';
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
const gateway = new StandInGateway();
afterEach(() => Promise.all([runner.stop(), gateway.stop()]));

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

const LOSS = { from: 6, to: 7, kept: 'a', applied: 7, silent: ['c'], removed: ['t/d/new'], missing: [] };

async function recover(routes: Record<string, Handler>, ...words: string[]): Promise<TestCommand> {
  const command = new TestCommand();
  const url = await gateway.start(routes);
  const built = logCommand(undefined, command);
  await command.during(built.parseAsync(['recover', ...words, '--url', url], { from: 'user' }));
  return command;
}

test('says what the log has lost, and changes nothing', async () => {
  const { output } = await recover({ 'GET /admin/log/loss': jsonHandler(LOSS) });
  expect(output.split('\n')).toEqual([
    expect.stringMatching(/^The log lacks LSN 6 to 7; /),
    expect.stringMatching(/^Node a has applied entries up to LSN 7/),
    expect.stringMatching(/^Node c does not respond/),
    expect.stringMatching(/^Collection t\/d\/new is unknown to the log/),
    expect.stringMatching(/^Nothing was changed\. .* repeat with --accept-loss\.$/),
    '',
  ]);
});

test('continues without the lost entries, and waits for the operation', async () => {
  const operation = (fields: object): object =>
    operationStatus({ kind: 'log recover', target: '', ...fields });
  const { output } = await recover(
    {
      'POST /admin/log/recover': async ({ query }) => ({
        status: query.get('accept_loss') === 'true' ? 202 : 400,
        body: JSON.stringify(operation({})),
      }),
      'GET /admin/operations/0000000a': jsonHandler(operation({ state: 'done', result: LOSS })),
    },
    '--accept-loss',
  );
  expect(output).toMatch(/^The log lacks LSN 6 to 7.*Done\. LSN 6 to 7 are used up/s);
});

test('returns at once with --detach', async () => {
  const started = jsonHandler(operationStatus({ kind: 'log recover', target: '' }), 202);
  const { output } = await recover({ 'POST /admin/log/recover': started }, '--accept-loss', '--detach');
  expect(output).toMatch(/^Started\. Follow it with: polychrome operation wait 0000000a /);
});

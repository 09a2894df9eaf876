import { afterEach, describe, expect, test } from 'vitest';
import { CommandRunner, jsonHandler, type CommandRun } from '../../test/support/command-run.ts';
import { until } from '../../test/support/until.ts';
import type { Handler } from '../http/router.ts';
import { statusCommand } from './status.ts';

const node = (id: string, fields: object = {}): object => ({
  id,
  role: 'replica',
  state: 'serving',
  since: new Date(1_700_000_000_000 - 90_000).toISOString(),
  checkpoint: 1_040,
  lag: { entries: 0, ms: 0 },
  reason: null,
  lastError: null,
  work: null,
  failing: null,
  suspects: [],
  ...fields,
});
const status = (...nodes: object[]): Handler =>
  jsonHandler({ leader: 'gw-1', epoch: 3, head: 1_042, pending: 2, quarantined: [7], nodes });
const health = (state: string, components: object = {}): Handler =>
  jsonHandler({ status: state, components }, state === 'unhealthy' ? 503 : 200);

const runner = new CommandRunner();
afterEach(() => runner.stop());

async function run(
  nodes: readonly object[],
  ofHealth: Handler,
  words: string[] = [],
  options: { env?: Record<string, string>; isTerminal?: boolean } = {},
): Promise<CommandRun> {
  const routes = { 'GET /status': status(...nodes), 'GET /health/check': ofHealth };
  const started = await runner.start(statusCommand, routes, words, options);
  if (!words.includes('--watch')) await started.done;
  return started;
}

test('prints an aligned table and one line a flaw', async () => {
  const nodes = [
    node('node-1', { role: 'primary', work: { ms: 65_000, remainingMs: 30_000 } }),
    node('node-2', { state: 'down', lag: { entries: 2, ms: 1_500 }, reason: 'no\u001bresponse' }),
  ];
  const components = { nodes: { state: 'degraded', reason: 'node-2 is down' } };
  const { output, code } = await run(nodes, health('degraded', components));
  expect(output()).toBe(`degraded · head 1042 · 2 pending · 1 quarantined · leader gw-1, epoch 3

node    role     state    for   checkpoint  lag      remark
node-1  primary  serving  90 s  1040        0        call for 65 s, about 30 s left
node-2  replica  down     90 s  1040        2 (2 s)  no\\u001bresponse

degraded nodes: node-2 is down
`);
  expect(code()).toBe(2);
});

test('exits with 0 when everything is healthy, and with 2 when the gateway says that it is not', async () => {
  expect((await run([node('a')], health('healthy'))).code()).toBe(0);
  expect((await run([node('a')], health('unhealthy'))).code()).toBe(2);
});

test('shows an entry that keeps failing and suspect collections', async () => {
  const failing = { lsn: 9, attempts: 3, error: 'HTTP 500' };
  const { output } = await run([node('a', { failing, suspects: [{}, {}] })], health('healthy'));
  expect(output()).toContain('LSN 9 failed 3 times: HTTP 500; 2 suspect');
});

test('says which limit is reached soon', async () => {
  const resource = (name: string, advice: string | null): object => {
    return { resource: name, limitReached: '2027-01-16', advice };
  };
  const resources = [resource('node_memory', 'Give every node more memory.'), resource('log', null)];
  const routes = {
    'GET /status': jsonHandler({
      leader: 'g',
      epoch: 1,
      head: 1,
      pending: 0,
      quarantined: [],
      nodes: [],
      capacity: { resources },
    }),
    'GET /health/check': health('healthy'),
  };
  const { output, done } = await runner.start(statusCommand, routes, []);
  await done;
  expect(output()).toContain(
    '\ncapacity node_memory: its limit is reached on 2027-01-16. Give every node more memory.\n',
  );
  expect(output()).not.toContain('capacity log');
});

test('prints JSON without colours', async () => {
  const { output } = await run([node('a')], health('healthy'), ['--json'], { isTerminal: true });
  expect(JSON.parse(output())).toMatchObject({ head: 1_042, health: { status: 'healthy' } });
});

describe('colours', () => {
  test.each<[string, { env?: Record<string, string>; isTerminal?: boolean }, boolean]>([
    ['appear on a terminal', { isTerminal: true }, true],
    ['do not appear elsewhere', {}, false],
    ['do not appear with NO_COLOR', { isTerminal: true, env: { NO_COLOR: '1' } }, false],
  ])('%s', async (_title, options, hasColors) => {
    const { output } = await run([node('a')], health('healthy'), [], options);
    expect(output().includes('\u001b[32mserving\u001b[39m')).toBe(hasColors);
  });
});

test('watches until it is interrupted, and redraws a terminal', async () => {
  const { output, clock, stop, done } = await run([node('a')], health('healthy'), ['--watch'], {
    isTerminal: true,
  });
  const pages = (): number => output().split('\u001b[H\u001b[J').length - 1;
  await until(async () => {
    clock.advance(2_000);
    return pages() >= 2;
  }, 'two pages are drawn');
  stop.abort();
  await done;
});

test('keeps watching while the gateway does not respond', async () => {
  const { output, clock, stop, done } = await run([node('a')], health('healthy'), ['--watch']);
  await until(async () => output().includes('serving'), 'the first page');
  await runner.stop();
  await until(async () => {
    clock.advance(2_000);
    return output().includes('No gateway responds');
  }, 'the failure is shown');
  stop.abort();
  await done;
});

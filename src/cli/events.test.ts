import { afterEach, expect, test } from 'vitest';
import { CommandRunner, type CommandRun } from '../../test/support/command-run.ts';
import { until } from '../../test/support/until.ts';
import type { Handler } from '../http/router.ts';
import { eventsCommand } from './events.ts';

const event = (id: number, kind: string, detail: object = {}): object => ({
  id,
  at: '2026-01-02T03:04:05.000Z',
  level: 'error',
  kind,
  node: 'a',
  detail,
});

const runner = new CommandRunner();
afterEach(() => runner.stop());

const start = (respond: Handler, words: string[]): Promise<CommandRun> =>
  runner.start(eventsCommand, { 'GET /admin/events': respond }, words);

const events =
  (...list: object[]): Handler =>
  async () => ({ status: 200, body: JSON.stringify({ events: list }) });

test('prints a table with the newest event at the end', async () => {
  const { output, done } = await start(
    events(event(2, 'node_recovered'), event(1, 'node_down', { reason: 'no\nresponse', from: 'serving' })),
    [],
  );
  await done;
  const lines = output().split('\n');
  expect(lines[0]).toMatch(/^at +level +kind +node +detail$/);
  expect(lines[1]).toMatch(
    /^2026-01-02T03:04:05.000Z +error +node_down +a +reason="no\\nresponse" from=serving$/,
  );
  expect(lines[2]).toMatch(/ node_recovered +a$/);
});

test('says that there is none', async () => {
  const { output, done } = await start(events(), []);
  await done;
  expect(output()).toBe('No such event.\n');
});

test('passes its filters on', async () => {
  let asked = '';
  const { done } = await start(
    async ({ query }) => {
      asked = query.toString();
      return { status: 200, body: '{"events":[]}' };
    },
    ['--limit', '5', '--kind', 'node_down', '--level', 'error', '--node', 'a'],
  );
  await done;
  expect(asked).toBe('limit=5&kind=node_down&level=error&node=a');
});

test('prints JSON lines, and follows from the last event on', async () => {
  const asked: (string | null)[] = [];
  const { output, clock, stop, done } = await start(
    async ({ query }) => {
      const after = query.get('after');
      asked.push(after);
      const list =
        after === null ? [event(2, 'node_down'), event(1, 'node_hung')] : [event(3, 'node_recovered')];
      return { status: 200, body: JSON.stringify({ events: list }) };
    },
    ['--json', '--follow'],
  );
  await until(async () => {
    clock.advance(1_000);
    return asked.length >= 2;
  }, 'the command asks again');
  stop.abort();
  await done;
  expect(asked.slice(0, 2)).toEqual([null, '2']);
  const ids = output()
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { id: number }).id);
  expect(ids.slice(0, 3)).toEqual([1, 2, 3]);
});

test.each([
  [['--kind', 'nothing'], 'must be one of gateway_started, '],
  [['--limit', '0'], 'must be a whole number from 1 to 1000'],
])('refuses %j', async (words, sentence) => {
  const { output, done } = await start(events(), words);
  await expect(done).rejects.toThrow();
  expect(output()).toContain(sentence);
});

import { afterEach, expect, test } from 'vitest';
import { startTestServer, stopTestServer, type TestServer } from '../../test/support/http-server.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
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

let server: TestServer | null = null;
afterEach(async () => {
  if (server !== null) await stopTestServer(server);
  server = null;
});

/** Runs the command against a server that responds so; the output grows while it runs. */
async function start(
  respond: Handler,
  words: string[],
): Promise<{ output: () => string; clock: ManualClock; stop: AbortController; done: Promise<unknown> }> {
  server = await startTestServer({ 'GET /admin/events': respond });
  const [clock, stop] = [new ManualClock(), new AbortController()];
  let output = '';
  const write = (text: string | Uint8Array): void => void (output += Buffer.from(text).toString());
  const command = eventsCommand({ env: {}, write, clock, signal: stop.signal, isTerminal: false });
  command.exitOverride().configureOutput({ writeErr: write });
  const done = command.parseAsync([...words, '--url', server.server.url], { from: 'user' });
  return { output: () => output, clock, stop, done };
}

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

import { afterEach, describe, expect, test } from 'vitest';
import {
  jsonHandler as json,
  operationStatus as operation,
  StandInGateway,
} from '../../test/support/command-run.ts';
import { TestCommand } from '../../test/support/operation-context.ts';
import type { Handler } from '../http/router.ts';
import { nodeCommand } from './node.ts';
import { operationCommand } from './operation.ts';

const gateway = new StandInGateway();
afterEach(() => gateway.stop());

const progress = (done: number) => ({
  phase: 'applying the log',
  done,
  total: 100,
  unit: 'entries',
  perSecond: 20,
  remainingMs: 3_000,
});

const POST = 'POST /admin/nodes/b/promote';
const GET = 'GET /admin/operations/0000000a';
const DONE = operation({ state: 'done', result: { before: 'a' } });

/** A route whose first responses are `states`; the last is repeated. */
function inTurn(...states: object[]): Handler {
  let at = 0;
  return async () => ({ status: 200, body: JSON.stringify(states[Math.min(at++, states.length - 1)]) });
}

async function run(
  routes: Record<string, Handler>,
  words: readonly string[],
  command = new TestCommand(),
): Promise<TestCommand> {
  const url = await gateway.start(routes);
  const [name, ...rest] = words;
  const built = name === 'node' ? nodeCommand(command) : operationCommand(command);
  await command.during(built.parseAsync([...rest, '--url', url], { from: 'user' }));
  return command;
}

describe('a command that starts an operation', () => {
  test('waits, shows progress in lines, and prints the result', async () => {
    const states = inTurn(operation({ progress: progress(40) }), operation({ progress: progress(60) }), DONE);
    const command = await run({ [POST]: json(operation(), 202), [GET]: states }, ['node', 'promote', 'b']);
    expect(command.shown).toBe(
      'node promote b: applying the log, 40 of 100 entries (40 %), 20/s, 3 s left\n',
    );
    expect(command.output).toBe('Node b is the primary; before it was a.\n');
    expect(command.exitCode).toBe(0);
  });

  test('rewrites one line on a terminal', async () => {
    const states = inTurn(operation({ progress: progress(40) }), operation({ progress: progress(60) }), DONE);
    const command = new TestCommand({ isTTY: true });
    await run({ [POST]: json(operation(), 202), [GET]: states }, ['node', 'promote', 'b'], command);
    const lines = command.shown.split('\r\u001B[K');
    expect(lines.filter((line) => line.includes('60 of 100'))).toHaveLength(1);
    expect(lines.at(-1)).toBe('');
  });

  test('returns at once with --detach and says how to look again', async () => {
    const url = await gateway.start({ [POST]: json(operation(), 202) });
    const command = new TestCommand();
    const detached = nodeCommand(command).parseAsync(['promote', 'b', '--detach', '--url', url], {
      from: 'user',
    });
    await command.during(detached);
    expect(command.output).toBe(`Started. Follow it with: polychrome operation wait 0000000a --url ${url}\n`);
  });

  test('detaches at Ctrl-C and says how to look again', async () => {
    const command = new TestCommand();
    const seen: Handler = async () => {
      command.interrupt();
      return { status: 200, body: JSON.stringify(operation()) };
    };
    await run({ [POST]: json(operation(), 202), [GET]: seen }, ['node', 'promote', 'b'], command);
    expect(command.shown).toContain(
      'the operation continues. Follow it with: polychrome operation wait 0000000a',
    );
    expect([command.output, command.exitCode]).toEqual(['', 130]);
  });

  test('fails with the reason of the gateway', async () => {
    const failed = operation({ state: 'failed', error: 'Node "b" is down.' });
    await expect(
      run({ [POST]: json(operation(), 202), [GET]: json(failed) }, ['node', 'promote', 'b']),
    ).rejects.toThrow('Node "b" is down.');
    const refusal = json({ error: 'ChromaError', message: 'There is no node "b" in this cluster.' }, 404);
    await expect(run({ [POST]: refusal }, ['node', 'promote', 'b'])).rejects.toThrow('There is no node "b"');
  });

  test('prints the ended operation as JSON and nothing else with --json', async () => {
    const command = await run(
      { [POST]: json(operation(), 202), [GET]: inTurn(operation({ progress: progress(1) }), DONE) },
      ['node', 'promote', 'b', '--json'],
    );
    expect(JSON.parse(command.output)).toEqual(DONE);
    expect(command.shown).toBe('');
  });
});

describe('polychrome operation', () => {
  test.each([['promote'], ['rebuild'], ['add', 'http://127.0.0.1:8001']])(
    'refuses an id that no node can have, without a request: node %s',
    async (action, ...more) => {
      const command = nodeCommand(new TestCommand());
      for (const each of command.commands) each.exitOverride().configureOutput({ writeErr: () => undefined });
      const words = [action, 'Bad_Id', ...more];
      await expect(command.parseAsync(words, { from: 'user' })).rejects.toThrow('lower-case letters');
    },
  );

  test('lists operations without control characters', async () => {
    const failed = operation({ state: 'failed', error: 'x\u001b[2J' });
    const command = await run({ 'GET /admin/operations': json({ operations: [failed, DONE] }) }, [
      'operation',
      'list',
    ]);
    expect(command.output).toMatch(/│ 0000000a │ node promote b │ .* │ failed │ x\\u001b\[2J/);
    expect(command.output).toMatch(/│ done +│ Node b is the primary; before it was a\./);
  });

  test('waits for an operation that was started before', async () => {
    const command = await run({ [GET]: inTurn(operation({ progress: progress(40) }), DONE) }, [
      'operation',
      'wait',
      '0000000a',
    ]);
    expect(command.output).toBe('Node b is the primary; before it was a.\n');
  });
});

test('polychrome node list prints a table', async () => {
  const node = {
    id: 'a',
    url: 'http://a:8000',
    role: 'primary',
    state: 'serving',
    reason: null,
    checkpoint: 12,
    lag: { entries: 3, ms: 5 },
  };
  const command = await run({ 'GET /admin/nodes': json({ nodes: [node] }) }, ['node', 'list']);
  expect(command.output).toMatch(/│ a +│ primary │ serving │ 12 +│ 3 +│ http:\/\/a:8000/);
});

import { afterEach, expect, test } from 'vitest';
import { jsonHandler as json, operationStatus, StandInGateway } from '../../test/support/command-run.ts';
import { TestCommand } from '../../test/support/operation-context.ts';
import type { Handler } from '../http/router.ts';
import { scrubCommand } from './scrub.ts';

const gateway = new StandInGateway();
afterEach(() => gateway.stop());

const COUNTS = { shards: 7, records: 70, uncompared: 0, suspects: 0, skipped: 0 };
const SHOWN = { state: 'idle', startedAt: 'A', finishedAt: 'B', total: 7, ...COUNTS };
const operation = (fields: object): object => operationStatus({ kind: 'scrub', target: '', ...fields });

async function run(routes: Record<string, Handler>, ...words: string[]): Promise<TestCommand> {
  const command = new TestCommand();
  const url = await gateway.start(routes);
  const built = scrubCommand(command);
  await command.during(built.parseAsync([...words, '--url', url], { from: 'user' }));
  return command;
}

test('compares all copies, waits and says what was found', async () => {
  const result = { ...COUNTS, suspects: 2, skipped: 1 };
  const command = await run({
    'POST /admin/scrub': json(operation({}), 202),
    'GET /admin/operations/0000000a': json(operation({ state: 'done', result })),
  });
  expect(command.output).toBe(
    '7 collections compared, 70 records. 2 copies became suspect: see GET /status. Left to the next scrub: 1 collection, 0 records.\n',
  );
});

test.each([
  ['--status', 'GET /admin/scrub'],
  ['--pause', 'POST /admin/scrub/pause'],
  ['--resume', 'POST /admin/scrub/resume'],
])('%s calls its route and shows the scrub', async (option, route) => {
  const command = await run({ [route]: json({ ...SHOWN, state: 'paused' }) }, option);
  expect(command.output).toBe(
    'The scrub is paused. The last pass ended at B. 7 of 7 collections compared, 70 records. No copy is wrong.\n',
  );
});

test('refuses two options at once', async () => {
  await expect(run({}, '--pause', '--resume')).rejects.toThrow('Use one of');
});

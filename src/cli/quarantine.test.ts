import { afterEach, describe, expect, test } from 'vitest';
import { jsonHandler as json, StandInGateway } from '../../test/support/command-run.ts';
import type { Handler } from '../http/router.ts';
import { quarantineCommand } from './quarantine.ts';

const entry = (lsn: number, fields: object = {}): object => ({
  lsn,
  kind: 'add',
  collection: { tenant: 't', database: 'd', name: 'docs' },
  bodyBytes: 10,
  status: 500,
  response: 'broken',
  quarantinedAt: '2026-01-02T03:04:05.000Z',
  closed: null,
  closedAt: null,
  retriedLSN: null,
  ...fields,
});

const gateway = new StandInGateway();
afterEach(() => gateway.stop());

/** What the command prints against a server with these routes; POST routes of the server read a body, which is empty. */
async function run(
  routes: Record<string, Handler>,
  words: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const url = await gateway.start(routes);
  let output = '';
  const command = quarantineCommand({ env, write: (text) => (output += Buffer.from(text).toString()) });
  await command.parseAsync([...words, '--url', url], { from: 'user' });
  return output;
}

const LIST = 'GET /admin/quarantine';

describe('polychrome quarantine list', () => {
  test('prints a table', async () => {
    const closed = entry(9, { collection: null, closed: 'retried', closedAt: '2026-01-02', retriedLSN: 12 });
    const output = await run({ [LIST]: json({ entries: [entry(5), closed] }) }, ['list']);
    expect(output).toMatch(/│ 5 +│ add +│ t\/d\/docs +│ 2026-01-02T03:04:05.000Z │ 500 broken +│ open/);
    expect(output).toMatch(/│ 9 +│ add +│ \(deleted\) .*│ retried as LSN 12 at 2026-01-02/);
  });

  test('prints that there is none', async () => {
    expect(await run({ [LIST]: json({ entries: [] }) }, ['list'])).toBe('No entry is quarantined.\n');
  });

  test('reads all pages', async () => {
    const asked: string[] = [];
    const page: Handler = async ({ query }) => {
      asked.push(query.toString());
      const after = Number(query.get('after'));
      const count = after === 0 ? 1_000 : 1;
      const entries = Array.from({ length: count }, (_, index) => entry(after + index + 1));
      return { status: 200, body: JSON.stringify({ entries }) };
    };
    const output = await run({ [LIST]: page }, ['list', '--json', '--all']);
    expect(JSON.parse(output)).toHaveLength(1_001);
    expect(asked).toEqual(['after=0&limit=1000&closed=true', 'after=1000&limit=1000&closed=true']);
  });

  test('does not pass control characters to the terminal', async () => {
    const output = await run({ [LIST]: json({ entries: [entry(5, { response: '\u001b[2Jx' })] }) }, ['list']);
    expect(output).not.toContain('\u001b');
    expect(output).toContain('\\u001b[2Jx');
  });

  test('sends the token, by default that of the environment', async () => {
    const tokens: (string | undefined)[] = [];
    const handler: Handler = async ({ headers }) => {
      tokens.push(headers.authorization);
      return { status: 200, body: '{"entries":[]}' };
    };
    await run({ [LIST]: handler }, ['list'], { ADMIN_TOKEN: 'from-environment' });
    await run({ [LIST]: handler }, ['list', '--token', 'given'], { ADMIN_TOKEN: 'from-environment' });
    expect(tokens).toEqual(['Bearer from-environment', 'Bearer given']);
  });
});

describe('polychrome quarantine reports in a sentence', () => {
  test('the message of the gateway', async () => {
    const refusal = json({ error: 'Unauthorized', message: 'Only with the token.' }, 401);
    await expect(run({ [LIST]: refusal }, ['list'])).rejects.toThrow('Only with the token.');
  });

  test('a server without an operator API', async () => {
    await expect(run({}, ['list'])).rejects.toThrow('has no operator API');
    const page: Handler = async () => ({ status: 200, body: '<html>' });
    await expect(run({ [LIST]: page }, ['list'])).rejects.toThrow('has no operator API');
  });

  test('that no gateway responds', async () => {
    const url = await gateway.start({});
    await gateway.stop();
    const env = { ADMIN_PORT: new URL(url).port };
    const command = quarantineCommand({ env, write: () => undefined });
    const listing = command.parseAsync(['list'], { from: 'user' });
    await expect(listing).rejects.toThrow(`No gateway responds at ${url} (ECONNREFUSED).`);
  });
});

test.each([
  ['applied', null],
  ['pending', 'not known in time'],
  ['quarantined', 'quarantined again. Nodes responded: 500 why'],
  ['partly_applied', 'only a part of its records was applied. Nodes responded: 500 why'],
  ['refused', 'refused. Nodes responded: 500 why'],
])('polychrome quarantine retry succeeds only when the entry is applied: %s', async (outcome, message) => {
  const response = message === null ? null : { status: 500, body: 'why' };
  const routes = { 'POST /admin/quarantine/5/retry': json({ lsn: 5, retriedLSN: 8, outcome, response }) };
  const output = run(routes, ['retry', '5']);
  if (message === null)
    expect(await output).toBe('The entry at LSN 5 was appended again as LSN 8 and applied.\n');
  else await expect(output).rejects.toThrow(message);
});

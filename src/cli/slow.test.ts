// `polychrome slow` and `polychrome alert` against a server that responds as a test says.

import { afterEach, describe, expect, test } from 'vitest';
import { CommandRunner, jsonHandler } from '../../test/support/command-run.ts';
import { alertCommand } from './alert.ts';
import { slowCommand } from './slow.ts';

const runner = new CommandRunner();
afterEach(() => runner.stop());

test('slow prints requests with their shape, and passes its options on', async () => {
  let asked = '';
  const requests = [
    {
      at: 't',
      gateway: 'g',
      route: 'query',
      collection: 'c',
      status: null,
      ms: 2_000,
      shape: { bytes: 9, n_results: 3 },
    },
  ];
  const routes = {
    'GET /admin/slow': async ({ query }: { query: URLSearchParams }) => {
      asked = query.toString();
      return { status: 200, body: JSON.stringify({ requests }) };
    },
  };
  const { output, done } = await runner.start(slowCommand, routes, [
    '--slowest',
    '--since',
    '2h',
    '--limit',
    '5',
  ]);
  await done;
  expect(asked).toBe('limit=5&since_ms=7200000&order=slowest');
  expect(output()).toMatch(/^t +2000 +aborted +query +c +bytes=9 n_results=3$/m);
});

test('slow prints that there is none, and refuses what is no duration', async () => {
  const routes = { 'GET /admin/slow': jsonHandler({ requests: [] }) };
  const run = await runner.start(slowCommand, routes, []);
  await run.done;
  expect(run.output()).toBe('No slow request.\n');
  await runner.stop();
  const wrong = await runner.start(slowCommand, routes, ['--since', '2 hours']);
  await expect(wrong.done).rejects.toThrow('must be a duration');
});

describe('alert', () => {
  const hook = { name: 'slack', sent: 1, failed: 0, lastError: null };
  test.each([
    ['no alert', { open: [], webhooks: [hook] }, 0, 'No alert is open.\n'],
    [
      'an open alert and a dead webhook',
      {
        open: [{ key: 'node_down:a', since: '2026', detail: 'refused' }],
        webhooks: [{ ...hook, failed: 4, lastError: 'HTTP 500' }],
      },
      2,
      /node_down:a +2026 +refused\nWebhook slack does not work: HTTP 500 \(4 failed attempts\)\.\n$/,
    ],
  ])('list shows %s', async (_what, report, code, text) => {
    const run = await runner.start(alertCommand, { 'GET /admin/alerts': jsonHandler(report) }, ['list']);
    await run.done;
    expect(run.code()).toBe(code);
    expect(run.output()).toMatch(text);
  });

  test.each([
    ['delivered', [{ name: 'slack', error: null }], 0, 'slack: delivered\n'],
    ['not delivered', [{ name: 'json', error: 'HTTP 404' }], 2, 'json: not delivered: HTTP 404\n'],
    ['without a webhook', [], 2, 'No webhook is configured: set SLACK_WEBHOOK_URL or ALERT_WEBHOOK_URL.\n'],
  ])('test is %s', async (_what, results, code, text) => {
    const run = await runner.start(alertCommand, { 'POST /admin/alerts/test': jsonHandler({ results }) }, [
      'test',
    ]);
    await run.done;
    expect([run.code(), run.output()]).toEqual([code, text]);
  });
});

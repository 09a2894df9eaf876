import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { messageOf, type AlertMessage } from './alert-kinds.ts';
import { Webhooks, type Webhook } from './webhooks.ts';

let clock: ManualClock;
let posted: { url: string; body: string }[];
let status: number | Error;
let warnings: object[];

const SLACK: Webhook = { name: 'slack', url: 'https://slack/1' };
const JSON_HOOK: Webhook = { name: 'json', url: 'https://json/1' };

beforeEach(() => {
  clock = new ManualClock();
  posted = [];
  status = 200;
  warnings = [];
});

const webhooksOf = (...webhooks: Webhook[]): Webhooks =>
  new Webhooks({
    webhooks,
    post: async (url, body) => {
      posted.push({ url, body });
      if (typeof status !== 'number') throw status;
      return status;
    },
    clock,
    logger: { warn: (fields) => void warnings.push(fields) },
  });
const message = (state: AlertMessage['state'], key = 'node_down:a'): AlertMessage =>
  messageOf('node_down', { state, key, detail: 'a: refused', gateway: 'g', sinceMs: 0 });

test('sends text to Slack and everything to a JSON webhook', async () => {
  const webhooks = webhooksOf(SLACK, JSON_HOOK);
  webhooks.send(message('open'));
  webhooks.send(message('closed'));
  await clock.pass(0);
  expect(posted.map(({ url }) => url)).toEqual([SLACK.url, JSON_HOOK.url, SLACK.url, JSON_HOOK.url]);
  const text = (JSON.parse(posted[0]!.body) as { text: string }).text;
  for (const part of [
    'Node down',
    'a: refused',
    '1970-01-01T00:00:00.000Z',
    'Effect: Requests',
    'What to do: Restart',
  ])
    expect(text).toContain(part);
  expect(JSON.parse(posted[1]!.body)).toMatchObject({
    state: 'open',
    kind: 'node_down',
    severity: 'critical',
  });
  expect(posted[2]!.body).toContain('Recovered');
});

describe('a webhook that does not work', () => {
  test('is tried four times, and is itself visible', async () => {
    status = 500;
    const webhooks = webhooksOf(SLACK);
    webhooks.send(message('open'));
    await clock.pass(120_000, 500);
    expect(posted).toHaveLength(4);
    expect(webhooks.states).toEqual([{ name: 'slack', sent: 0, failed: 4, lastError: 'HTTP 500' }]);
    expect(warnings).toEqual([{ webhook: 'slack', key: 'node_down:a', error: 'HTTP 500' }]);
  });

  test('gets the message once it works again', async () => {
    status = new Error('refused');
    const webhooks = webhooksOf(SLACK);
    webhooks.send(message('open'));
    await clock.pass(500);
    status = 200;
    await clock.pass(2_000);
    expect(webhooks.states).toMatchObject([{ sent: 1, failed: 1, lastError: null }]);
  });

  test('does not keep another message, or a stop, waiting for ever', async () => {
    status = 500;
    const webhooks = webhooksOf(SLACK);
    webhooks.send(message('open'));
    await clock.pass(100);
    await webhooks.stop();
    expect(posted.length).toBeGreaterThan(0);
  });
});

test('sends a bounded number of messages in ten minutes, and counts the others', async () => {
  const webhooks = webhooksOf(SLACK);
  for (let n = 0; n < 35; n++) webhooks.send(message('open', `node_down:${n}`));
  await clock.pass(0);
  expect(posted).toHaveLength(30);
  expect(warnings).toHaveLength(5);
  await clock.pass(601_000, 100_000);
  webhooks.send(message('open'));
  await clock.pass(0);
  expect(posted).toHaveLength(31);
});

test('a test reports the result of every webhook', async () => {
  status = 404;
  expect(await webhooksOf(SLACK, JSON_HOOK).test(message('event'))).toEqual([
    { name: 'slack', error: 'HTTP 404' },
    { name: 'json', error: 'HTTP 404' },
  ]);
});

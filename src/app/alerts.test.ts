import { expect, test } from 'vitest';
import { loadConfig } from '../config/config.ts';
import { webhooksOf } from './alerts.ts';

const of = (env: Record<string, string>): string[] =>
  webhooksOf(loadConfig({ DATABASE_URL: 'postgres://db/one', PRIMARY_URL: 'http://a', ...env })).map(
    ({ name, url }) => `${name} ${url}`,
  );

test.each<[Record<string, string>, string[]]>([
  [{}, []],
  [{ SLACK_WEBHOOK_URL: 'https://s/1' }, ['slack https://s/1']],
  [{ NOTIFICATION_WEBHOOK: 'https://n/1' }, ['slack https://n/1']],
  [{ SLACK_WEBHOOK_URL: 'https://s/1', NOTIFICATION_WEBHOOK: 'https://n/1' }, ['slack https://s/1']],
  [{ SLACK_WEBHOOK_URL: 'https://s/1', SLACK_ALERTS_ENABLED: 'false' }, []],
  [
    { NOTIFICATION_WEBHOOK: 'https://n/1', ALERT_WEBHOOK_URL: 'https://j/1' },
    ['slack https://n/1', 'json https://j/1'],
  ],
])('%j sends alerts to %j', (env, expected) => {
  expect(of(env)).toEqual(expected);
});

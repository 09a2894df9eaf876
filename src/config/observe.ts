// Settings of what a gateway reports about itself.

import { flag, oneOf, setting, url, wholeNumber } from './setting.ts';

const webhook = url('http:', 'https:').optional();

export const OBSERVE_SETTINGS = {
  LOG_LEVEL: setting(
    oneOf('debug', 'info', 'warn', 'error', 'silent'),
    'info',
    'Lowest level written to stderr, as JSON lines.',
  ),
  WAL_SYNC_INTERVAL: setting(
    wholeNumber(1, 3_600).optional(),
    null,
    'Lag of a serving node, in seconds, from which on `/health/check` is degraded, and an alert opens after a minute; 30 when it is not set. Older guides: the interval of replication. Nodes follow the log at once here.',
  ),
  WAL_MEMORY_THRESHOLD: setting(
    wholeNumber(1, 100),
    '85',
    'Memory of the container, in percent of its limit, from which on health is degraded, and an alert opens after a minute.',
  ),
  WAL_CPU_THRESHOLD: setting(
    wholeNumber(1, 100),
    '90',
    'CPU of the container, in percent of its cores, from which on `/health/check` is degraded, and an alert opens after a minute.',
  ),
  FAILOVER_EVENTS_RETENTION_DAYS: setting(
    wholeNumber(1, 3_650),
    '180',
    'How long events are kept for `polychrome events`.',
  ),
  SLOW_QUERY_MS: setting(
    wholeNumber(0, 600_000),
    '1000',
    'Requests that take this long are stored with their shape, never their content, for `polychrome slow`; 0: none.',
  ),
  ALERT_LATENCY_MS: setting(
    wholeNumber(0, 600_000),
    '5000',
    'An alert opens when one request in twenty takes longer than this for a minute; 0: none does.',
  ),
  SLACK_WEBHOOK_URL: setting(
    webhook,
    null,
    'Webhook of Slack, or of what is compatible with it, to which alerts are sent.',
  ),
  NOTIFICATION_WEBHOOK: setting(
    webhook,
    null,
    'Older name of SLACK_WEBHOOK_URL, which wins when both are set.',
  ),
  SLACK_ALERTS_ENABLED: setting(
    flag,
    'true',
    '`false`: nothing is sent to SLACK_WEBHOOK_URL or NOTIFICATION_WEBHOOK.',
  ),
  ALERT_WEBHOOK_URL: setting(webhook, null, 'Webhook that receives each alert as JSON.'),
} as const;

// A node a round behind is normal, also during bulk loads; half a minute is not.
const LAG_SECONDS = 30;

export function lagLimitMs({
  WAL_SYNC_INTERVAL: seconds,
}: {
  readonly WAL_SYNC_INTERVAL?: number | undefined;
}): number {
  return (seconds ?? LAG_SECONDS) * 1_000;
}

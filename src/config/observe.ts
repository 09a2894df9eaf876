// Settings of what a gateway reports about itself.

import { flag, oneOf, ratio, setting, text, url, wholeNumber } from './setting.ts';

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
  HEALTH_METRICS_RETENTION_DAYS: setting(
    wholeNumber(1, 3_650),
    '7',
    'How long the history of nodes is kept for `GET /admin/history`: whether they served, their lag, their calls.',
  ),
  PERFORMANCE_METRICS_RETENTION_DAYS: setting(
    wholeNumber(1, 3_650),
    '30',
    'How long the history of requests, of gateways and of the size of the data is kept for `GET /admin/history`.',
  ),
  NODE_MEMORY_BYTES: setting(
    wholeNumber(1, 999_999_999_999_999).optional(),
    null,
    'Memory of one Chroma server. `capacity` in `/status` says when the vector indexes will need more.',
  ),
  NODE_DISK_BYTES: setting(
    wholeNumber(1, 999_999_999_999_999).optional(),
    null,
    'Disk of one Chroma server. `capacity` in `/status` says when it will be full.',
  ),
  DATABASE_DISK_BYTES: setting(
    wholeNumber(1, 999_999_999_999_999).optional(),
    null,
    'Disk of PostgreSQL. `capacity` in `/status` says when it will be full.',
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
  OTEL_EXPORTER_OTLP_ENDPOINT: setting(
    url('http:', 'https:').optional(),
    null,
    'Receiver of OpenTelemetry traces (OTLP/HTTP), such as `http://collector:4318`. Unset: nothing is traced. `OTEL_EXPORTER_OTLP_HEADERS` is read, too.',
  ),
  OTEL_TRACES_SAMPLER_ARG: setting(
    ratio(),
    '1',
    'Share of requests that are traced where the client does not decide it (`traceparent`), 0 to 1.',
  ),
  OTEL_SERVICE_NAME: setting(text, 'polychrome', 'Name of the service in traces.'),
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

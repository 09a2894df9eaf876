// Settings of `polychrome monitor`, which watches a cluster from outside.

import { StartupError } from '../errors.ts';
import { LOG_SETTINGS } from './log.ts';
import { namedNodes, NODE_SETTINGS, type NodeAddress } from './nodes.ts';
import { OBSERVE_SETTINGS } from './observe.ts';
import { list, setting, url, wholeNumber, type Setting, type ValuesOf } from './setting.ts';
import type { Environment } from './unknown-names.ts';

const address = url('http:', 'https:');

export const MONITOR_SETTINGS = {
  LOAD_BALANCER_URL: setting(
    list.refine(
      (urls) => urls.every((each) => address.safeParse(each).success),
      'must be URLs separated by commas',
    ),
    '',
    'Gateways to watch, separated by commas: `GET /health` and `GET /status` of each.',
  ),
  PRIMARY_URL: setting(
    NODE_SETTINGS.PRIMARY_URL.schema,
    null,
    'A Chroma server to watch, as node `primary`.',
  ),
  REPLICA_URL: setting(NODE_SETTINGS.REPLICA_URL.schema, null, 'Another one, as node `replica`.'),
  NODES: setting(
    NODE_SETTINGS.NODES.schema,
    null,
    'The Chroma servers to watch, as for a gateway, instead of PRIMARY_URL; those that a DNS name has are watched through the gateways.',
  ),
  DATABASE_URL: setting(
    LOG_SETTINGS.DATABASE_URL.schema,
    null,
    'PostgreSQL to watch. Unset: it is not watched.',
  ),
  CHECK_INTERVAL: setting(wholeNumber(1, 3_600), '30', 'Seconds between two rounds.'),
  FAILURE_THRESHOLD: setting(
    wholeNumber(1, 100),
    '3',
    'Rounds in a row in which something must be wrong before an alert is sent.',
  ),
  SLACK_WEBHOOK_URL: OBSERVE_SETTINGS.SLACK_WEBHOOK_URL,
  NOTIFICATION_WEBHOOK: OBSERVE_SETTINGS.NOTIFICATION_WEBHOOK,
  SLACK_ALERTS_ENABLED: OBSERVE_SETTINGS.SLACK_ALERTS_ENABLED,
  ALERT_WEBHOOK_URL: OBSERVE_SETTINGS.ALERT_WEBHOOK_URL,
  LOG_LEVEL: OBSERVE_SETTINGS.LOG_LEVEL,
} as const;

type MonitorValues = ValuesOf<typeof MONITOR_SETTINGS>;

export interface MonitorConfig extends Omit<MonitorValues, 'NODES' | 'PRIMARY_URL' | 'REPLICA_URL'> {
  readonly nodes: readonly NodeAddress[];
}

/** Throws StartupError with one sentence that names the variable. */
export function loadMonitorConfig(env: Environment): MonitorConfig {
  const values: Record<string, unknown> = {};
  for (const [name, { schema, default: fallback }] of Object.entries<Setting<unknown>>(MONITOR_SETTINGS)) {
    const text = env[name] === undefined || env[name] === '' ? fallback : env[name];
    if (text === null) continue;
    const parsed = schema.safeParse(text);
    // Nearly all of them are URLs, which may hold credentials: the value is not shown.
    if (!parsed.success)
      throw new StartupError(`${name} ${parsed.error.issues[0]?.message ?? 'is not valid'}.`);
    values[name] = parsed.data;
  }
  const { NODES, PRIMARY_URL, REPLICA_URL, ...others } = values as Partial<MonitorValues>;
  const rest = others as Omit<MonitorValues, 'NODES' | 'PRIMARY_URL' | 'REPLICA_URL'>;
  // Nodes that a DNS name has are watched through the gateways.
  const { nodes } =
    (NODES ?? PRIMARY_URL) === undefined ? { nodes: [] } : namedNodes({ NODES, PRIMARY_URL, REPLICA_URL });
  if (nodes.length === 0 && rest.LOAD_BALANCER_URL.length === 0 && rest.DATABASE_URL === undefined) {
    throw new StartupError(
      'There is nothing to watch: set LOAD_BALANCER_URL, PRIMARY_URL (and REPLICA_URL) or NODES, DATABASE_URL.',
    );
  }
  return { ...rest, nodes };
}

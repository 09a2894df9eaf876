// Names of settings in guides for older Chroma setups that Polychrome does not need. A complete environment of such a guide
// starts a gateway; each name without an effect is reported with what replaced it.

import { StartupError } from '../errors.ts';

const PROBES = 'Nodes are probed several times a second, and a failed call counts at once';
const SIZED = 'The size of a call follows from the work it is for a node; there is no batch size to set';
const ALERTS = 'The gateway sends no alerts; GET /status and `polychrome events` report failures';

/** Name → why it has no effect here. */
const REPLACED: Readonly<Record<string, string>> = {
  CHECK_INTERVAL: PROBES,
  FAILURE_THRESHOLD: PROBES,
  REQUEST_TIMEOUT: 'READ_TIMEOUT_MS bounds a read, WRITE_TIMEOUT_MS a write',
  WAL_BATCH_SIZE: SIZED,
  WAL_HIGH_VOLUME_BATCH_SIZE: SIZED,
  WAL_SYNC_INTERVAL: 'Replicas apply the log as it grows; nothing is synchronized at intervals',
  WAL_DELETION_CONVERSION:
    'Ids are the same on every node, so a delete by id stays one and is never converted into a wider one',
  WAL_MEMORY_THRESHOLD: ALERTS,
  WAL_CPU_THRESHOLD: ALERTS,
  SLACK_WEBHOOK_URL: ALERTS,
  SLACK_ALERTS_ENABLED: ALERTS,
  NOTIFICATION_WEBHOOK: ALERTS,
  MAX_MEMORY_MB: 'BODY_BUDGET_BYTES, RESULT_CACHE_BYTES and RECORD_CACHE_BYTES bound the memory',
  INSTANCE_ROLE: 'The leader decides which node is the primary',
  INSTANCE_PRIORITY: 'NODE_PRIORITIES sets the order of preference',
};

/**
 * The names in `env` that have no effect, one sentence each. Throws StartupError for WAL_ENABLED other than true, because
 * there is no mode without a log.
 */
export function olderNameWarnings(env: Readonly<Record<string, string | undefined>>): string[] {
  const enabled = env['WAL_ENABLED'] ?? '';
  if (enabled !== '' && enabled.toLowerCase() !== 'true')
    throw new StartupError('WAL_ENABLED must be true: every write goes through the log.');
  return Object.entries(REPLACED)
    .filter(([name]) => (env[name] ?? '') !== '')
    .map(([name, reason]) => `${name} has no effect. ${reason}.`);
}

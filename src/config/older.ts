// Settings of older guides: those that have an effect here, and what replaces the others.

import { z } from 'zod';
import { StartupError } from '../errors.ts';
import { flag, setting, wholeNumber } from './setting.ts';
import type { Environment } from './unknown-names.ts';

// A round never takes more (replication/applier.ts).
const ROUND_ENTRIES_MAX = 1_024;

export const OLDER_SETTINGS = {
  REQUEST_TIMEOUT: setting(
    wholeNumber(1, 600).optional(),
    null,
    'Older name, in seconds, of READ_TIMEOUT_MS, which wins when both are set.',
  ),
  WAL_ENABLED: setting(
    z.string().transform((value) => value.toLowerCase() === 'true'),
    'true',
    'Must be true: there is no mode without the log.',
  ),
  WAL_BATCH_SIZE: setting(
    wholeNumber(1, 100_000),
    String(ROUND_ENTRIES_MAX),
    `Largest number of entries in a round; ${ROUND_ENTRIES_MAX} at most.`,
  ),
  WAL_HIGH_VOLUME_BATCH_SIZE: setting(
    wholeNumber(1, 100_000),
    String(ROUND_ENTRIES_MAX),
    `The same for a node that catches up; ${ROUND_ENTRIES_MAX} at most.`,
  ),
  WAL_DELETION_CONVERSION: setting(
    flag.optional(),
    null,
    'Accepted and without effect: ids are the same on every node, so a delete is passed through as sent and never widened.',
  ),
  MAX_MEMORY_MB: setting(
    wholeNumber(256, 1_048_576).optional(),
    null,
    'Upper bound from which BODY_BUDGET_BYTES (a quarter), RECORD_CACHE_BYTES (an eighth) and RESULT_CACHE_BYTES (a sixteenth) are derived where they are not set and their defaults are larger.',
  ),
} as const;

interface OlderValues {
  readonly REQUEST_TIMEOUT?: number | undefined;
  readonly WAL_ENABLED: boolean;
  readonly MAX_MEMORY_MB?: number | undefined;
}

interface DerivedValues {
  READ_TIMEOUT_MS: number;
  BODY_BUDGET_BYTES: number;
  RECORD_CACHE_BYTES: number;
  RESULT_CACHE_BYTES: number;
}

const MEBIBYTE = 1_048_576;
/** Shares of MAX_MEMORY_MB; the rest is for the process itself, responses and the log buffer. */
const SHARES = { BODY_BUDGET_BYTES: 1 / 4, RECORD_CACHE_BYTES: 1 / 8, RESULT_CACHE_BYTES: 1 / 16 } as const;
// One body of the largest size must fit.
const BODY_BUDGET_MIN = 40 * MEBIBYTE;

/** What settings of older guides change about `values`. Throws StartupError for a mode that does not exist here. */
export function withOlderSettings<T extends OlderValues & DerivedValues>(values: T, env: Environment): T {
  if (!values.WAL_ENABLED) {
    throw new StartupError(
      'WAL_ENABLED must be true: Polychrome has no mode without the log, which is what makes writes durable.',
    );
  }
  const changed: Partial<DerivedValues> = {};
  const isSet = (name: string): boolean => (env[name] ?? '') !== '';
  if (values.REQUEST_TIMEOUT !== undefined && !isSet('READ_TIMEOUT_MS'))
    changed.READ_TIMEOUT_MS = values.REQUEST_TIMEOUT * 1_000;
  if (values.MAX_MEMORY_MB !== undefined) {
    for (const [name, share] of Object.entries(SHARES) as [keyof typeof SHARES, number][]) {
      if (isSet(name)) continue;
      const bytes = Math.floor(values.MAX_MEMORY_MB * MEBIBYTE * share);
      const least = name === 'BODY_BUDGET_BYTES' ? BODY_BUDGET_MIN : 0;
      changed[name] = Math.min(values[name], Math.max(least, bytes));
    }
  }
  return { ...values, ...changed };
}

/** Entries of a round: of a node that keeps up, and of one that catches up. */
export function roundEntriesMax(
  config: { readonly WAL_BATCH_SIZE: number; readonly WAL_HIGH_VOLUME_BATCH_SIZE: number },
  catchesUp: boolean,
): number {
  const wanted = catchesUp ? config.WAL_HIGH_VOLUME_BATCH_SIZE : config.WAL_BATCH_SIZE;
  return Math.min(ROUND_ENTRIES_MAX, wanted);
}

const PROBES =
  'the gateway probes each node twice a second and reacts to failed requests at once; `polychrome monitor` uses it';
const AUTOMATIC = 'sizes follow the load by themselves';
const NODE_IMAGE = 'it belongs to the image of a Chroma server, not to the gateway';
const ROLE =
  'roles are decided by the leader; the order of NODES, or NODE_PRIORITIES, expresses a preference';
const HISTORY = 'it is not kept here';

/** Settings of older guides that change nothing in a gateway, and why, or what replaces them. */
export const SETTINGS_WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  CHECK_INTERVAL: PROBES,
  FAILURE_THRESHOLD: PROBES,
  WAL_SYNC_INTERVAL:
    'nodes follow the log at once; the value is the lag, in seconds, from which on an alert opens',
  WAL_DELETION_CONVERSION: 'ids are the same on every node: a delete is passed through as sent',
  WAL_RETRY_ATTEMPTS: 'ENTRY_ATTEMPTS and ENTRY_TIMEOUT_MS bound attempts',
  WAL_RETRY_DELAY: 'ENTRY_ATTEMPTS and ENTRY_TIMEOUT_MS bound attempts',
  WAL_PERSISTENCE_SCHEMA: 'the log is always in PostgreSQL',
  DEFAULT_BATCH_SIZE: AUTOMATIC,
  MAX_BATCH_SIZE: AUTOMATIC,
  MAX_WORKERS: AUTOMATIC,
  MAX_CONCURRENT_REQUESTS: 'BODY_BUDGET_BYTES bounds requests',
  REQUEST_QUEUE_SIZE: 'BODY_BUDGET_BYTES bounds requests',
  CONNECTION_POOL_SIZE: 'connections to nodes and PostgreSQL are bounded',
  CIRCUIT_BREAKER_TIMEOUT: 'a node is used again as soon as it works',
  ENABLE_CONNECTION_POOLING: 'connections are always pooled',
  ENABLE_GRANULAR_LOCKING: 'there is no such lock',
  SLACK_UPGRADE_ALERTS: 'the alerts "memory" and "cpu" say when to scale',
  MEMORY_LIMIT_MB: 'the limit of the container is read from its cgroup',
  RESOURCE_CHECK_INTERVAL: 'memory and CPU are looked at every 5 s',
  MEMORY_WARNING_THRESHOLD: 'set WAL_MEMORY_THRESHOLD',
  MEMORY_CRITICAL_THRESHOLD: 'set WAL_MEMORY_THRESHOLD',
  CPU_WARNING_THRESHOLD: 'set WAL_CPU_THRESHOLD',
  CPU_CRITICAL_THRESHOLD: 'set WAL_CPU_THRESHOLD',
  LOAD_BALANCER_URL: 'it is the address of this gateway, for `polychrome monitor`',
  INSTANCE_ROLE: ROLE,
  INSTANCE_PRIORITY: ROLE,
  IS_PERSISTENT: NODE_IMAGE,
  PERSIST_DIRECTORY: NODE_IMAGE,
  CHROMA_PERSIST_DIRECTORY: NODE_IMAGE,
  CHROMA_SERVER_HOST: NODE_IMAGE,
  CHROMA_SERVER_HTTP_PORT: NODE_IMAGE,
  SYNC_HISTORY_RETENTION_DAYS: HISTORY,
  SYNC_TASKS_RETENTION_DAYS: HISTORY,
  SYNC_WORKERS_RETENTION_DAYS: HISTORY,
  UPGRADE_RECOMMENDATIONS_RETENTION_DAYS: HISTORY,
  LOG_RETENTION_DAYS: 'the log of the process goes to stderr; WAL_RETENTION is that of the log in PostgreSQL',
  MAX_LOG_SIZE_MB: 'the log of the process goes to stderr',
};

/** One sentence for each setting of an older guide that is set and changes nothing, or not what it changed there. */
export function olderSettingWarnings(env: Environment): readonly string[] {
  const found = Object.entries(SETTINGS_WITHOUT_EFFECT).filter(([name]) => (env[name] ?? '') !== '');
  return found.map(([name, why]) => `${name} does not do here what it does elsewhere: ${why}.`);
}

import { describe, expect, test } from 'vitest';
import { loadConfig } from './config.ts';
import { roundEntriesMax } from './older.ts';

const LEAST = { DATABASE_URL: 'postgres://db/one', PRIMARY_URL: 'http://a' };

/** The environment block of an older guide for a load balancer in front of two servers, complete. */
const OLDER_GUIDE = {
  PRIMARY_URL: 'https://chroma-primary.example.com',
  REPLICA_URL: 'https://chroma-replica.example.com:443/chroma',
  DATABASE_URL: 'postgresql://user:password@db.example.com/chroma',
  PORT: '8000',
  CHECK_INTERVAL: '30',
  FAILURE_THRESHOLD: '3',
  LOAD_BALANCE_STRATEGY: 'optimized_read_replica',
  READ_REPLICA_RATIO: '0.8',
  MAX_CONCURRENT_REQUESTS: '8',
  CONNECTION_POOL_SIZE: '10',
  REQUEST_QUEUE_SIZE: '50',
  REQUEST_TIMEOUT: '15',
  CIRCUIT_BREAKER_TIMEOUT: '30',
  WAL_ENABLED: 'true',
  WAL_SYNC_INTERVAL: '10',
  WAL_BATCH_SIZE: '100',
  WAL_HIGH_VOLUME_BATCH_SIZE: '200',
  WAL_RETRY_ATTEMPTS: '3',
  WAL_RETRY_DELAY: '5',
  WAL_DELETION_CONVERSION: 'true',
  WAL_PERSISTENCE_SCHEMA: 'true',
  MAX_MEMORY_MB: '400',
  MAX_WORKERS: '3',
  DEFAULT_BATCH_SIZE: '50',
  MAX_BATCH_SIZE: '200',
  WAL_MEMORY_THRESHOLD: '80',
  WAL_CPU_THRESHOLD: '80',
  ENABLE_CONNECTION_POOLING: 'false',
  ENABLE_GRANULAR_LOCKING: 'false',
  SLACK_WEBHOOK_URL: 'https://hooks.example.com/services/x',
  NOTIFICATION_WEBHOOK: 'https://hooks.example.com/services/y',
  SLACK_ALERTS_ENABLED: 'true',
  SLACK_UPGRADE_ALERTS: 'true',
  LOAD_BALANCER_URL: 'https://chroma-load-balancer.example.com',
  INSTANCE_ROLE: 'primary',
  INSTANCE_PRIORITY: '100',
  IS_PERSISTENT: 'TRUE',
  PERSIST_DIRECTORY: '/chroma/chroma',
  CHROMA_PERSIST_DIRECTORY: '/chroma/chroma',
  CHROMA_SERVER_HOST: '0.0.0.0',
  CHROMA_SERVER_HTTP_PORT: '8000',
  MEMORY_LIMIT_MB: '1024',
  RESOURCE_CHECK_INTERVAL: '60',
};

test('the complete environment block of an older guide starts a gateway', () => {
  const config = loadConfig(OLDER_GUIDE);
  expect(config).toMatchObject({
    nodes: [
      { id: 'primary', url: OLDER_GUIDE.PRIMARY_URL },
      { id: 'replica', url: OLDER_GUIDE.REPLICA_URL },
    ],
    READ_TIMEOUT_MS: 15_000,
    READ_REPLICA_RATIO: 0.8,
    WAL_SYNC_INTERVAL: 10,
    WAL_MEMORY_THRESHOLD: 80,
    BODY_BUDGET_BYTES: 104_857_600,
  });
});

test('each of its settings has an effect, or a warning that says why not', () => {
  const { warnings, ...all } = loadConfig(OLDER_GUIDE);
  const without = Object.keys(OLDER_GUIDE).filter((name) => {
    if (warnings.some((text) => text.startsWith(`${name} `))) return false;
    const required = (LEAST as Record<string, string>)[name] ?? '';
    const { warnings: _, ...others } = loadConfig({ ...OLDER_GUIDE, [name]: required });
    return JSON.stringify(all) === JSON.stringify(others);
  });
  // Their values are the defaults.
  expect(without).toEqual(['PORT', 'READ_REPLICA_RATIO', 'WAL_ENABLED', 'SLACK_ALERTS_ENABLED']);
});

test.each(['false', 'FALSE', '0', 'no'])('WAL_ENABLED=%s is refused', (value) => {
  expect(() => loadConfig({ ...OLDER_GUIDE, WAL_ENABLED: value })).toThrow('WAL_ENABLED must be true');
});

test.each(['', 'true', 'True'])('WAL_ENABLED=%s is accepted', (value) => {
  expect(loadConfig({ ...OLDER_GUIDE, WAL_ENABLED: value }).WAL_ENABLED).toBe(true);
});

describe('older names give way to the present ones', () => {
  test.each([
    [{ REQUEST_TIMEOUT: '15', READ_TIMEOUT_MS: '2000' }, { READ_TIMEOUT_MS: 2_000 }],
    [
      { MAX_MEMORY_MB: '400', RESULT_CACHE_BYTES: '7' },
      { RESULT_CACHE_BYTES: 7, RECORD_CACHE_BYTES: 33_554_432 },
    ],
    [{ MAX_MEMORY_MB: '256' }, { BODY_BUDGET_BYTES: 67_108_864, RESULT_CACHE_BYTES: 16_777_216 }],
    [{ MAX_MEMORY_MB: '100000' }, { BODY_BUDGET_BYTES: 268_435_456 }],
  ])('%j', (env, expected) => {
    expect(loadConfig({ ...LEAST, ...env })).toMatchObject(expected);
  });
});

test('the sizes of rounds have bounds for nodes that keep up and for those that catch up', () => {
  const config = loadConfig({ ...LEAST, WAL_BATCH_SIZE: '100', WAL_HIGH_VOLUME_BATCH_SIZE: '5000' });
  expect([roundEntriesMax(config, false), roundEntriesMax(config, true)]).toEqual([100, 1_024]);
});

test('a setting of another program causes no warning', () => {
  expect(loadConfig({ ...LEAST, HOME: '/', MAX_WORKERS: '' }).warnings).toEqual([]);
});

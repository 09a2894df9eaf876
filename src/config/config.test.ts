import { describe, expect, test } from 'vitest';
import { DEFAULT_FILTER_LIMITS } from '../chroma/parse/filter-limits.ts';
import { STRATEGIES } from '../read/strategies.ts';
import { loadConfig, SETTINGS, type Config } from './config.ts';

type Environment = Readonly<Record<string, string>>;

const LEAST = { DATABASE_URL: 'postgres://db/one', PRIMARY_URL: 'http://a:8000' };

const load = (env: Environment): Config => loadConfig({ ...LEAST, ...env });

/** The error of a start with these settings. */
function refusal(env: Environment): string {
  try {
    load(env);
  } catch (error) {
    return (error as Error).message;
  }
  return 'nothing';
}

describe('every setting', () => {
  // One value other than the default, and what it changes; a setting without a line here does not compile.
  // WAL_ENABLED has one value (older.test.ts).
  const TURNED: Readonly<
    Record<
      Exclude<keyof typeof SETTINGS, 'WAL_ENABLED'>,
      readonly [Environment, (config: Config) => unknown, unknown]
    >
  > = {
    DATABASE_URL: [{ DATABASE_URL: 'postgresql://db/two' }, (c) => c.DATABASE_URL, 'postgresql://db/two'],
    WORKERS: [{ WORKERS: '2', ADMIN_PORT: '8100' }, (c) => c.WORKERS, 2],
    DATABASE_URL_FILE: [
      { DATABASE_URL: '', DATABASE_URL_FILE: '/run/url' },
      (c) => c.DATABASE_URL_FILE,
      '/run/url',
    ],
    DATABASE_PASSWORD_COMMAND: [
      { DATABASE_PASSWORD_COMMAND: 'token' },
      (c) => c.DATABASE_PASSWORD_COMMAND,
      'token',
    ],
    DATABASE_SCHEMA: [{ DATABASE_SCHEMA: 'group_b' }, (c) => c.DATABASE_SCHEMA, 'group_b'],
    NODES: [{ PRIMARY_URL: '', NODES: 'a=http://a' }, (c) => c.nodes, [{ id: 'a', url: 'http://a' }]],
    PRIMARY_URL: [{ PRIMARY_URL: 'http://b' }, (c) => c.nodes, [{ id: 'primary', url: 'http://b' }]],
    REPLICA_URL: [{ REPLICA_URL: 'http://b' }, (c) => c.nodes[1], { id: 'replica', url: 'http://b' }],
    HOST: [{ HOST: '::1' }, (c) => c.HOST, '::1'],
    PORT: [{ PORT: '0' }, (c) => c.PORT, 0],
    ADMIN_PORT: [{ ADMIN_PORT: '9000' }, (c) => c.ADMIN_PORT, 9_000],
    ADMIN_TOKEN: [{ ADMIN_TOKEN: 'correct-horse-1234' }, (c) => c.ADMIN_TOKEN, 'correct-horse-1234'],
    ACK_LEVEL: [{ ACK_LEVEL: 'all' }, (c) => c.ACK_LEVEL, 'all'],
    CONSISTENCY: [{ CONSISTENCY: 'eventual' }, (c) => c.CONSISTENCY, 'eventual'],
    BOUNDED_LAG_MS: [{ BOUNDED_LAG_MS: '5' }, (c) => c.BOUNDED_LAG_MS, 5],
    LOAD_BALANCE_STRATEGY: [{ LOAD_BALANCE_STRATEGY: 'random' }, (c) => c.LOAD_BALANCE_STRATEGY, 'random'],
    READ_REPLICA_RATIO: [{ READ_REPLICA_RATIO: '0.25' }, (c) => c.READ_REPLICA_RATIO, 0.25],
    NODE_PRIORITIES: [
      { NODE_PRIORITIES: 'a=100, b=5' },
      (c) => [...c.NODE_PRIORITIES],
      [
        ['a', 100],
        ['b', 5],
      ],
    ],
    LOCAL_NODES: [{ LOCAL_NODES: 'a,b' }, (c) => c.LOCAL_NODES, ['a', 'b']],
    READ_RETRY_RATIO: [{ READ_RETRY_RATIO: '0' }, (c) => c.READ_RETRY_RATIO, 0],
    WRITE_RECORDS_MAX: [{ WRITE_RECORDS_MAX: '6000' }, (c) => c.WRITE_RECORDS_MAX, 6_000],
    WRITE_TIMEOUT_MS: [{ WRITE_TIMEOUT_MS: '100' }, (c) => c.WRITE_TIMEOUT_MS, 100],
    LOG_TIMEOUT_MS: [{ LOG_TIMEOUT_MS: '600000' }, (c) => c.LOG_TIMEOUT_MS, 600_000],
    READ_TIMEOUT_MS: [{ READ_TIMEOUT_MS: '5000' }, (c) => c.READ_TIMEOUT_MS, 5_000],
    LEASE_MS: [{ LEASE_MS: '1000' }, (c) => c.LEASE_MS, 1_000],
    SETTLE_MS: [{ SETTLE_MS: '0' }, (c) => c.SETTLE_MS, 0],
    STAGGER_MS: [{ STAGGER_MS: '50' }, (c) => c.STAGGER_MS, 50],
    ENTRY_ATTEMPTS: [{ ENTRY_ATTEMPTS: '1' }, (c) => c.ENTRY_ATTEMPTS, 1],
    ENTRY_TIMEOUT_MS: [{ ENTRY_TIMEOUT_MS: '1000' }, (c) => c.ENTRY_TIMEOUT_MS, 1_000],
    READ_VERIFY_RATIO: [{ READ_VERIFY_RATIO: '0.5' }, (c) => c.READ_VERIFY_RATIO, 0.5],
    SCRUB_INTERVAL: [{ SCRUB_INTERVAL: '0' }, (c) => c.SCRUB_INTERVAL, 0],
    SCRUB_BYTES_PER_SECOND: [{ SCRUB_BYTES_PER_SECOND: '1024' }, (c) => c.SCRUB_BYTES_PER_SECOND, 1_024],
    REBUILD_BYTES_PER_SECOND: [{ REBUILD_BYTES_PER_SECOND: '0' }, (c) => c.REBUILD_BYTES_PER_SECOND, 0],
    NODE_FORGET_AFTER: [
      { PRIMARY_URL: '', NODES: 'dns+srv://chroma', NODE_FORGET_AFTER: '1h' },
      (c) => c.NODE_FORGET_AFTER,
      3_600_000,
    ],
    ADOPT: [{ ADOPT: 'true' }, (c) => c.ADOPT, true],
    ADOPT_REBUILD: [{ ADOPT_REBUILD: 'a, b' }, (c) => c.ADOPT_REBUILD, ['a', 'b']],
    ADOPT_TENANTS: [{ ADOPT_TENANTS: 'acme' }, (c) => c.ADOPT_TENANTS, ['acme']],
    NODE_RESET_COMMAND: [{ NODE_RESET_COMMAND: 'wipe' }, (c) => c.NODE_RESET_COMMAND, 'wipe'],
    NODE_RESTART_COMMAND: [
      { NODE_RESTART_COMMAND: 'systemctl restart "chroma@$NODE_ID"' },
      (c) => c.NODE_RESTART_COMMAND,
      'systemctl restart "chroma@$NODE_ID"',
    ],
    STOP_DELAY_MS: [{ STOP_DELAY_MS: '5000' }, (c) => c.STOP_DELAY_MS, 5_000],
    BODY_BUDGET_BYTES: [{ BODY_BUDGET_BYTES: '41943040' }, (c) => c.BODY_BUDGET_BYTES, 41_943_040],
    RESULT_CACHE_BYTES: [{ RESULT_CACHE_BYTES: '0' }, (c) => c.RESULT_CACHE_BYTES, 0],
    RECORD_CACHE_BYTES: [{ RECORD_CACHE_BYTES: '0' }, (c) => c.RECORD_CACHE_BYTES, 0],
    FILTER_CONDITIONS_MAX: [{ FILTER_CONDITIONS_MAX: '10' }, (c) => c.FILTER_CONDITIONS_MAX, 10],
    FILTER_OPERANDS_MAX: [{ FILTER_OPERANDS_MAX: '100' }, (c) => c.FILTER_OPERANDS_MAX, 100],
    FILTER_DEPTH_MAX: [{ FILTER_DEPTH_MAX: '0' }, (c) => c.FILTER_DEPTH_MAX, 0],
    FILTER_PATTERN_BYTES_MAX: [{ FILTER_PATTERN_BYTES_MAX: '9' }, (c) => c.FILTER_PATTERN_BYTES_MAX, 9],
    WAL_RETENTION: [{ WAL_RETENTION: '90s' }, (c) => c.WAL_RETENTION, 90_000],
    WAL_RETENTION_BYTES: [{ WAL_RETENTION_BYTES: '1' }, (c) => c.WAL_RETENTION_BYTES, 1],
    ALLOW_RESET: [{ ALLOW_RESET: 'true' }, (c) => c.ALLOW_RESET, true],
    CORS_ALLOW_ORIGINS: [
      { CORS_ALLOW_ORIGINS: 'http://a, http://b,' },
      (c) => c.CORS_ALLOW_ORIGINS,
      ['http://a', 'http://b'],
    ],
    WAL_SYNC_INTERVAL: [{ WAL_SYNC_INTERVAL: '10' }, (c) => c.WAL_SYNC_INTERVAL, 10],
    WAL_MEMORY_THRESHOLD: [{ WAL_MEMORY_THRESHOLD: '80' }, (c) => c.WAL_MEMORY_THRESHOLD, 80],
    WAL_CPU_THRESHOLD: [{ WAL_CPU_THRESHOLD: '80' }, (c) => c.WAL_CPU_THRESHOLD, 80],
    FAILOVER_EVENTS_RETENTION_DAYS: [
      { FAILOVER_EVENTS_RETENTION_DAYS: '7' },
      (c) => c.FAILOVER_EVENTS_RETENTION_DAYS,
      7,
    ],
    HEALTH_METRICS_RETENTION_DAYS: [
      { HEALTH_METRICS_RETENTION_DAYS: '1' },
      (c) => c.HEALTH_METRICS_RETENTION_DAYS,
      1,
    ],
    PERFORMANCE_METRICS_RETENTION_DAYS: [
      { PERFORMANCE_METRICS_RETENTION_DAYS: '1' },
      (c) => c.PERFORMANCE_METRICS_RETENTION_DAYS,
      1,
    ],
    NODE_MEMORY_BYTES: [{ NODE_MEMORY_BYTES: '8' }, (c) => c.NODE_MEMORY_BYTES, 8],
    NODE_DISK_BYTES: [{ NODE_DISK_BYTES: '8' }, (c) => c.NODE_DISK_BYTES, 8],
    DATABASE_DISK_BYTES: [{ DATABASE_DISK_BYTES: '8' }, (c) => c.DATABASE_DISK_BYTES, 8],
    SLOW_QUERY_MS: [{ SLOW_QUERY_MS: '0' }, (c) => c.SLOW_QUERY_MS, 0],
    ALERT_LATENCY_MS: [{ ALERT_LATENCY_MS: '0' }, (c) => c.ALERT_LATENCY_MS, 0],
    OTEL_EXPORTER_OTLP_ENDPOINT: [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' },
      (c) => c.OTEL_EXPORTER_OTLP_ENDPOINT,
      'http://c:4318',
    ],
    OTEL_TRACES_SAMPLER_ARG: [{ OTEL_TRACES_SAMPLER_ARG: '0.01' }, (c) => c.OTEL_TRACES_SAMPLER_ARG, 0.01],
    OTEL_SERVICE_NAME: [{ OTEL_SERVICE_NAME: 'vectors' }, (c) => c.OTEL_SERVICE_NAME, 'vectors'],
    SLACK_WEBHOOK_URL: [{ SLACK_WEBHOOK_URL: 'https://s/1' }, (c) => c.SLACK_WEBHOOK_URL, 'https://s/1'],
    NOTIFICATION_WEBHOOK: [
      { NOTIFICATION_WEBHOOK: 'https://s/1' },
      (c) => c.NOTIFICATION_WEBHOOK,
      'https://s/1',
    ],
    SLACK_ALERTS_ENABLED: [{ SLACK_ALERTS_ENABLED: 'false' }, (c) => c.SLACK_ALERTS_ENABLED, false],
    ALERT_WEBHOOK_URL: [{ ALERT_WEBHOOK_URL: 'https://s/1' }, (c) => c.ALERT_WEBHOOK_URL, 'https://s/1'],
    REQUEST_TIMEOUT: [{ REQUEST_TIMEOUT: '15' }, (c) => c.READ_TIMEOUT_MS, 15_000],
    WAL_BATCH_SIZE: [{ WAL_BATCH_SIZE: '100' }, (c) => c.WAL_BATCH_SIZE, 100],
    WAL_HIGH_VOLUME_BATCH_SIZE: [
      { WAL_HIGH_VOLUME_BATCH_SIZE: '200' },
      (c) => c.WAL_HIGH_VOLUME_BATCH_SIZE,
      200,
    ],
    WAL_DELETION_CONVERSION: [{ WAL_DELETION_CONVERSION: 'true' }, (c) => c.WAL_DELETION_CONVERSION, true],
    MAX_MEMORY_MB: [{ MAX_MEMORY_MB: '400' }, (c) => c.BODY_BUDGET_BYTES, 104_857_600],
    LOG_LEVEL: [{ LOG_LEVEL: 'silent' }, (c) => c.LOG_LEVEL, 'silent'],
  };

  test.each(Object.entries(TURNED))('%s changes the configuration', (_name, [env, read, expected]) => {
    expect(read(load(env))).toEqual(expected);
    expect(read(load({}))).not.toEqual(expected);
  });

  test.each(Object.entries(SETTINGS))(
    '%s has its default when it is empty',
    (name, { default: fallback }) => {
      if (fallback === null) return;
      expect(load({ [name]: '' })).toEqual(load({}));
      expect(load({ [name]: fallback })).toEqual(load({}));
    },
  );

  test('the configuration is frozen', () => {
    expect(Object.isFrozen(load({}))).toBe(true);
  });
});

describe('an invalid value is refused with the name of its variable', () => {
  test.each([
    ['DATABASE_URL', 'mysql://db', 'must be a URL that begins with postgres:// or postgresql://'],
    ['DATABASE_URL', 'db', 'must be a URL'],
    ['DATABASE_URL', 'postgres://a,b/db?target_session_attrs=standby', 'must be a URL'],
    ['DATABASE_SCHEMA', 'Upper', 'must be a lower-case SQL identifier'],
    ['DATABASE_SCHEMA', 'a"; drop', 'must be a lower-case SQL identifier'],
    ['PRIMARY_URL', 'ftp://a', 'must be a URL'],
    ['REPLICA_URL', 'a:8000', 'must be a URL'],
    ['PORT', '65536', 'must be a whole number from 0 to 65535'],
    ['PORT', '80a', 'must be a whole number'],
    ['PORT', '-1', 'must be a whole number'],
    ['WAL_RETENTION', '72', 'must be a duration such as 90s, 30m, 72h or 7d'],
    ['WAL_RETENTION', '0h', 'must be a duration'],
    ['WAL_RETENTION_BYTES', '0', 'must be a whole number from 1'],
    ['ACK_LEVEL', 'most', 'must be one of log, primary, quorum, all'],
    ['CONSISTENCY', 'strict', 'must be one of'],
    ['BOUNDED_LAG_MS', '0', 'must be a whole number from 1'],
    ['LOAD_BALANCE_STRATEGY', 'fastest', 'must be one of'],
    ['READ_REPLICA_RATIO', '1.5', 'must be a number from 0 to 1'],
    ['READ_RETRY_RATIO', '-1', 'must be a number from 0 to 1'],
    ['NODE_PRIORITIES', 'a', 'must be id=priority pairs'],
    ['NODE_PRIORITIES', 'a=high', 'must be id=priority pairs'],
    ['WRITE_RECORDS_MAX', '5460', 'must be a whole number from 5461 to 1000000'],
    ['WRITE_TIMEOUT_MS', '99', 'must be a whole number from 100 to 600000'],
    ['LOG_TIMEOUT_MS', '1e4', 'must be a whole number'],
    ['READ_TIMEOUT_MS', '600001', 'must be a whole number'],
    ['LEASE_MS', '999', 'must be a whole number from 1000 to 60000'],
    ['SETTLE_MS', '0.5', 'must be a whole number'],
    ['STAGGER_MS', '49', 'must be a whole number from 50 to 60000'],
    ['ENTRY_ATTEMPTS', '0', 'must be a whole number from 1 to 100'],
    ['ENTRY_TIMEOUT_MS', '999', 'must be a whole number from 1000 to 3600000'],
    ['BODY_BUDGET_BYTES', '41943039', 'must be a whole number from 41943040'],
    ['RESULT_CACHE_BYTES', '64MiB', 'must be a whole number'],
    ['ALLOW_RESET', 'yes', 'must be true or false'],
    ['LOG_LEVEL', 'loud', 'must be one of'],
  ])('%s=%s', (name, value, sentence) => {
    const message = refusal({ [name]: value });
    expect(message).toContain(`${name} ${sentence}`);
    expect(message).toMatch(/\.$/);
  });

  test('without the content of a URL', () => {
    expect(refusal({ DATABASE_URL: 'mysql://user:secret@db' })).not.toContain('secret');
    expect(refusal({ ADMIN_TOKEN: 'short-secret' })).not.toContain('secret');
  });
});

test('the limits of filters default to those of the servers', () => {
  const { FILTER_CONDITIONS_MAX, FILTER_OPERANDS_MAX, FILTER_DEPTH_MAX, FILTER_PATTERN_BYTES_MAX } = load({});
  expect(DEFAULT_FILTER_LIMITS).toEqual({
    conditionsMax: FILTER_CONDITIONS_MAX,
    operandsMax: FILTER_OPERANDS_MAX,
    depthMax: FILTER_DEPTH_MAX,
    patternBytesMax: FILTER_PATTERN_BYTES_MAX,
  });
});

test('every strategy can be set', () => {
  for (const name of Object.keys(STRATEGIES))
    expect(load({ LOAD_BALANCE_STRATEGY: name }).LOAD_BALANCE_STRATEGY).toBe(name);
});

test('several workers need a fixed port, and ports for operators', () => {
  const sentence = 'WORKERS is 2, and ADMIN_PORT is not set: operators reach worker n on ADMIN_PORT + n - 1.';
  for (const ADMIN_PORT of ['', '0']) expect(refusal({ WORKERS: '2', ADMIN_PORT })).toBe(sentence);
  const onAnyPort = refusal({ WORKERS: '2', ADMIN_PORT: '8100', PORT: '0' });
  expect(onAnyPort).toBe('WORKERS is 2, and PORT is 0: workers share a fixed port.');
});

describe('node addresses', () => {
  const nodes = (text: string): string => refusal({ PRIMARY_URL: '', NODES: text });

  test('keep their order and may contain spaces around them and "=" in their paths', () => {
    const text = 'node-1=http://a:8000, b=https://b/chroma?x=1';
    expect(load({ PRIMARY_URL: '', NODES: text }).nodes).toEqual([
      { id: 'node-1', url: 'http://a:8000' },
      { id: 'b', url: 'https://b/chroma?x=1' },
    ]);
  });

  test.each([
    'a',
    'http://a:8000',
    'a=',
    'A=http://a',
    '-a=http://a',
    'a=ftp://a',
    'a=http://a,',
    `${'a'.repeat(64)}=http://a`,
  ])('NODES=%s is refused', (text) => {
    expect(nodes(text)).toContain('NODES must be id=url pairs');
  });

  test('must have distinct ids and URLs', () => {
    expect(nodes('a=http://a,a=http://b')).toBe('NODES names the id a twice.');
    expect(nodes('a=http://a,b=http://a')).toBe('NODES names the url http://a twice.');
  });

  test('are quoted without their credentials', () => {
    const message = [nodes('A=http://user:secret@a'), nodes('a=http://u:secret@a,b=http://u:secret@a')];
    expect(message.join()).not.toContain('secret');
    expect(message.join()).toContain('***@a');
    expect(nodes('a=user:secret@a')).not.toContain('secret');
  });

  test('must be given in exactly one way', () => {
    expect(refusal({ NODES: 'a=http://a' })).toContain('NODES and PRIMARY_URL or REPLICA_URL are both set');
    expect(refusal({ PRIMARY_URL: '' })).toContain('set NODES=id=url,id=url or PRIMARY_URL');
    expect(refusal({ PRIMARY_URL: '', REPLICA_URL: 'http://b' })).toContain('PRIMARY_URL');
  });

  test('require DATABASE_URL or DATABASE_URL_FILE', () => {
    expect(refusal({ DATABASE_URL: '' })).toContain('DATABASE_URL is not set');
    expect(refusal({ DATABASE_URL_FILE: '/run/url' })).toContain('are both set');
  });
});

describe('an unknown name', () => {
  test.each([
    ['POLYCHROME_PORT', 'settings have no prefix'],
    ['LOGLEVEL', 'did you mean LOG_LEVEL?'],
    ['log_level', 'did you mean LOG_LEVEL?'],
    ['WRITE_TIMEOUT_M', 'did you mean WRITE_TIMEOUT_MS?'], // a letter left out
    ['WRITE_TIMEOUTS_MS', 'did you mean WRITE_TIMEOUT_MS?'], // a letter added
    ['READ_TIMEOUT_NS', 'did you mean READ_TIMEOUT_MS?'], // a letter replaced
    ['CONSISTECNY', 'did you mean CONSISTENCY?'], // two letters swapped
    ['ALOW_RESET', 'did you mean ALLOW_RESET?'],
    ['REPLICA_URLS', 'did you mean REPLICA_URL?'],
  ])('%s is refused as a misspelling', (name, sentence) => {
    const message = refusal({ [name]: 'x' });
    expect(message).toContain(`${name} is not a setting`);
    expect(message).toContain(sentence);
  });

  test.each([
    'PATH',
    'HOSTNAME',
    'NODE',
    'NODE_ENV',
    'PORTS',
    'LEVEL',
    'CORS_ORIGINS',
    'PGPORT',
    'npm_config_loglevel',
  ])('%s belongs to another program and is ignored', (name) => {
    expect(refusal({ [name]: 'x' })).toBe('nothing');
  });

  test('similar to a setting that is set is ignored', () => {
    expect(refusal({ DATABASE_URI: 'x' })).toBe('nothing');
    expect(refusal({ LOGLEVEL: 'x', LOG_LEVEL: 'info' })).toBe('nothing');
  });
});

import { expect, test } from 'vitest';
import { loadConfig, SETTINGS } from './config.ts';
import { olderNameWarnings } from './older-names.ts';

// The environment of a load balancer with a write-ahead log, as guides of that time list it.
const GUIDE = {
  PRIMARY_URL: 'https://chroma-primary.example.com',
  REPLICA_URL: 'https://chroma-replica.example.com',
  DATABASE_URL: 'postgres://user:secret@db/chroma',
  READ_REPLICA_RATIO: '0.8',
  CHECK_INTERVAL: '30',
  FAILURE_THRESHOLD: '3',
  REQUEST_TIMEOUT: '15',
  SLACK_WEBHOOK_URL: 'https://hooks.example.com/x',
  SLACK_ALERTS_ENABLED: 'true',
  WAL_ENABLED: 'true',
  WAL_BATCH_SIZE: '50',
  WAL_HIGH_VOLUME_BATCH_SIZE: '200',
  WAL_SYNC_INTERVAL: '10',
  WAL_DELETION_CONVERSION: 'true',
  NOTIFICATION_WEBHOOK: 'https://example.com/x',
  WAL_MEMORY_THRESHOLD: '80',
  WAL_CPU_THRESHOLD: '80',
  MAX_MEMORY_MB: '512',
  INSTANCE_ROLE: 'primary',
  INSTANCE_PRIORITY: '100',
};

test('the environment of an older guide starts a gateway', () => {
  expect(loadConfig(GUIDE).nodes.map(({ id }) => id)).toEqual(['primary', 'replica']);
});

test('each of its names is a setting or is reported, never both', () => {
  const reported = olderNameWarnings(GUIDE).map((warning) => warning.split(' ')[0]!);
  const settings = Object.keys(GUIDE).filter((name) => name in SETTINGS);
  expect([...reported, ...settings, 'WAL_ENABLED'].sort()).toEqual(Object.keys(GUIDE).sort());
  expect(olderNameWarnings({ ...GUIDE, INSTANCE_ROLE: '' })).toHaveLength(reported.length - 1);
});

test('says why no delete is converted', () => {
  expect(olderNameWarnings({ WAL_DELETION_CONVERSION: 'true' })).toEqual([
    'WAL_DELETION_CONVERSION has no effect. Ids are the same on every node, so a delete by id stays one and is never converted into a wider one.',
  ]);
});

test.each(['false', 'FALSE', '0', 'no'])('WAL_ENABLED=%s is refused', (value) => {
  expect(() => olderNameWarnings({ WAL_ENABLED: value })).toThrow('WAL_ENABLED must be true');
});

test.each([undefined, '', 'true', 'True'])('WAL_ENABLED=%s is accepted', (value) => {
  expect(olderNameWarnings({ WAL_ENABLED: value })).toEqual([]);
});

import { expect, test } from 'vitest';
import { loadMonitorConfig } from './monitor.ts';

const load = loadMonitorConfig;

test('the environment of an older monitor is understood', () => {
  expect(
    load({
      PRIMARY_URL: 'https://chroma-primary.onrender.com',
      REPLICA_URL: 'https://chroma-replica.onrender.com',
      LOAD_BALANCER_URL: 'https://chroma.onrender.com',
      CHECK_INTERVAL: '60',
      FAILURE_THRESHOLD: '5',
      DATABASE_URL: 'postgresql://user:secret@db/log',
      SLACK_WEBHOOK_URL: 'https://hooks.slack.com/x',
    }),
  ).toMatchObject({
    nodes: [{ id: 'primary' }, { id: 'replica' }],
    LOAD_BALANCER_URL: ['https://chroma.onrender.com'],
    CHECK_INTERVAL: 60,
    FAILURE_THRESHOLD: 5,
    DATABASE_URL: 'postgresql://user:secret@db/log',
  });
});

test('one thing to watch is enough, and the defaults are those of the older monitor', () => {
  expect(load({ NODES: 'a=http://a' })).toMatchObject({
    CHECK_INTERVAL: 30,
    FAILURE_THRESHOLD: 3,
    nodes: [{ id: 'a' }],
  });
  expect(load({ LOAD_BALANCER_URL: 'http://a, http://b' })).toMatchObject({
    LOAD_BALANCER_URL: ['http://a', 'http://b'],
  });
  expect(load({ DATABASE_URL: 'postgres://db/x' }).nodes).toEqual([]);
  expect(load({ LOAD_BALANCER_URL: 'http://a', NODES: 'dns+srv://chroma' }).nodes).toEqual([]);
});

test.each([
  [{}, 'There is nothing to watch'],
  [{ LOAD_BALANCER_URL: 'gateway:8000' }, 'LOAD_BALANCER_URL must be URLs'],
  [{ PRIMARY_URL: 'http://a', CHECK_INTERVAL: '0' }, 'CHECK_INTERVAL must be a whole number'],
  [{ PRIMARY_URL: 'http://a', NODES: 'a=http://a' }, 'use one way'],
  [{ DATABASE_URL: 'mysql://user:secret@db' }, 'DATABASE_URL'],
])('%j is refused', (env, message) => {
  expect(() => load(env)).toThrow(message);
  expect(() => load(env)).not.toThrow('secret');
});

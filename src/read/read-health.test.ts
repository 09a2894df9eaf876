import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { ReadHealth } from './read-health.ts';

let clock: ManualClock;
let health: ReadHealth;
let logged: string[];

beforeEach(() => {
  clock = new ManualClock();
  logged = [];
  const log = (_fields: object, message: string): void => void logged.push(message.split(':')[0]!);
  health = new ReadHealth({ clock, logger: { info: log, warn: log } });
});

const fail = (times: number): void => {
  for (let n = 0; n < times; n++) {
    health.sent('a');
    health.failed('a');
    health.ended('a');
  }
};
const succeed = (): void => {
  health.sent('a');
  health.succeeded('a', 1);
  health.ended('a');
};

describe('the circuit of a node', () => {
  test('opens after five failures in a row', () => {
    fail(4);
    succeed();
    fail(4);
    expect(health.isOpen('a')).toBe(false);
    fail(1);
    expect([health.isOpen('a'), health.isOpen('b')]).toEqual([true, false]);
    expect(logged).toEqual(['circuit opened']);
    expect(health.metrics[0]?.read()).toBe(1);
  });

  test('lets one read test the node after a pause, and closes when it succeeds', async () => {
    fail(5);
    await clock.pass(999);
    expect(health.isOpen('a')).toBe(true);
    await clock.pass(1);
    expect(health.isOpen('a')).toBe(false);
    health.sent('a');
    expect(health.isOpen('a')).toBe(true);
    health.succeeded('a', 1);
    expect(health.isOpen('a')).toBe(false);
    expect(logged).toEqual(['circuit opened', 'circuit closed']);
    expect(health.metrics[0]?.read()).toBe(0);
  });

  test('waits twice as long after each failed test, at most a minute', async () => {
    fail(5);
    for (const pauseMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      await clock.pass(pauseMs - 1);
      expect(health.isOpen('a')).toBe(true);
      await clock.pass(1);
      expect(health.isOpen('a')).toBe(false);
      fail(1);
    }
  });

  test('is tested by another read when the client of the first disconnects', async () => {
    fail(5);
    await clock.pass(1_000);
    health.sent('a');
    health.ended('a');
    expect(health.isOpen('a')).toBe(false);
  });
});

describe('the latency of a node', () => {
  test('follows the last reads, and is 0 before the first', () => {
    expect(health.latencyMs('a')).toBe(0);
    health.succeeded('a', 100);
    expect(health.latencyMs('a')).toBe(100);
    health.succeeded('a', 200);
    expect(health.latencyMs('a')).toBe(120);
  });

  test('is forgotten without reads, so that the node is tried again', async () => {
    health.succeeded('a', 100);
    await clock.pass(5_000);
    expect(health.latencyMs('a')).toBeCloseTo(50);
    await clock.pass(50_000);
    expect(health.latencyMs('a')).toBeLessThan(0.1);
  });
});

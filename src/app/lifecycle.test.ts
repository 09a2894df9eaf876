import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Lifecycle, type Component } from './lifecycle.ts';

const NAMES = ['pools', 'nodes', 'leader', 'listener'];
const DEADLINE_MS = 1_000;

let clock: ManualClock;
let events: string[];
let errors: object[];

beforeEach(() => {
  clock = new ManualClock();
  events = [];
  errors = [];
});

function lifecycle(
  change: (component: Required<Component>) => Component = (component) => component,
): Lifecycle {
  const logger = { error: (fields: object) => void errors.push(fields) };
  const life = new Lifecycle({ clock, logger, stopDeadlineMs: DEADLINE_MS });
  for (const name of NAMES) {
    life.add(
      change({
        name,
        start: async () => void events.push(`start ${name}`),
        stop: async () => void events.push(`stop ${name}`),
      }),
    );
  }
  return life;
}

const started = (names: readonly string[]): string[] => names.map((name) => `start ${name}`);
const stopped = (names: readonly string[]): string[] => names.toReversed().map((name) => `stop ${name}`);

test('starts in the order added and stops in reverse', async () => {
  const life = lifecycle();
  await life.start();
  await life.stop();
  expect(events).toEqual([...started(NAMES), ...stopped(NAMES)]);
});

test('stops once, however often it is asked to', async () => {
  const life = lifecycle();
  await life.start();
  await Promise.all([life.stop(), life.stop()]);
  expect(events.filter((event) => event === 'stop pools')).toHaveLength(1);
});

describe.each(NAMES)('when %s fails', (failing) => {
  const before = NAMES.slice(0, NAMES.indexOf(failing));

  test('its start unwinds what had started', async () => {
    const life = lifecycle((component) =>
      component.name === failing ? { ...component, start: () => Promise.reject(new Error('no')) } : component,
    );
    await expect(life.start()).rejects.toThrow('no');
    expect(events).toEqual([...started(before), ...stopped(before)]);
  });

  test('its stop does not skip the rest', async () => {
    const life = lifecycle((component) =>
      component.name === failing ? { ...component, stop: () => Promise.reject(new Error('no')) } : component,
    );
    await life.start();
    await life.stop();
    expect(events).toEqual([...started(NAMES), ...stopped(NAMES.filter((name) => name !== failing))]);
    expect(errors).toEqual([{ component: failing, error: 'Error: no' }]);
  });

  test('its stop that never ends is left at the deadline', async () => {
    const life = lifecycle((component) =>
      component.name === failing ? { ...component, stop: () => new Promise(() => undefined) } : component,
    );
    await life.start();
    let isStopped = false;
    const stopping = life.stop().then(() => (isStopped = true));
    await clock.pass(DEADLINE_MS - 1, 1);
    expect(isStopped).toBe(false);
    await clock.pass(10, 1);
    await stopping;
    expect(events).toEqual([...started(NAMES), ...stopped(NAMES.filter((name) => name !== failing))]);
  });
});

test('a component without a start is stopped even when the start fails', async () => {
  const life = lifecycle();
  life.add({ name: 'scanner', stop: async () => void events.push('stop scanner') });
  life.add({ name: 'late', start: () => Promise.reject(new Error('no')) });
  await expect(life.start()).rejects.toThrow('no');
  expect(events.at(NAMES.length)).toBe('stop scanner');
});

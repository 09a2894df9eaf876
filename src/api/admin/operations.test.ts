import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import { PolychromeError } from '../../errors.ts';
import type { ReportProgress } from '../../util/progress.ts';
import { Operations } from './operations.ts';
import { ProgressRate } from './progress-rate.ts';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

function build(): { operations: Operations; clock: ManualClock } {
  const clock = new ManualClock();
  let count = 0;
  const newId = (): string => String((count += 1)).padStart(8, '0');
  return { operations: new Operations({ clock, newId, logger: quiet }), clock };
}

const settled = (): Promise<void> => new Promise(setImmediate);
const never = (): Promise<object> => new Promise(() => undefined);

describe('an operation', () => {
  test('runs without its client, and shows progress and result', async () => {
    const { operations, clock } = build();
    let report: ReportProgress = () => undefined;
    let finish: (result: object) => void = () => undefined;
    const { id, state } = operations.start({ kind: 'node add', target: 'd' }, (to) => {
      report = to;
      return new Promise((resolve) => (finish = resolve));
    });
    expect(state).toBe('running');
    await settled();
    report({ phase: 'copying', done: 0, total: 100, unit: 'records' });
    clock.advance(2_000);
    report({ phase: 'copying', done: 40, total: 100, unit: 'records' });
    expect(operations.find(id)?.progress).toEqual({
      phase: 'copying',
      done: 40,
      total: 100,
      unit: 'records',
      perSecond: 20,
      remainingMs: 3_000,
    });
    finish({ records: 100 });
    await settled();
    expect(operations.find(id)).toMatchObject({ state: 'done', result: { records: 100 }, error: null });
  });

  test('shows why it failed', async () => {
    const { operations } = build();
    const subject = { kind: 'node remove', target: 'd' };
    const { id } = operations.start(subject, async () => {
      throw new PolychromeError('conflict', 'It is the only node.');
    });
    await settled();
    expect(operations.find(id)).toMatchObject({ state: 'failed', error: 'It is the only node.' });
    const { id: other } = operations.start(subject, async () => {
      throw new Error('broken');
    });
    await settled();
    expect(operations.find(other)?.error).toBe('Unexpected error: Error: broken');
  });

  test('is not started twice at a time on one subject', async () => {
    const { operations } = build();
    const first = operations.start({ kind: 'node drain', target: 'd' }, never);
    expect(operations.start({ kind: 'node drain', target: 'd' }, never)).toEqual(first);
    expect(operations.start({ kind: 'node drain', target: 'e' }, never).id).not.toBe(first.id);
    expect(operations.list().map(({ target }) => target)).toEqual(['e', 'd']);
  });

  test('is interrupted by a stop of the gateway', async () => {
    const { operations } = build();
    const { id } = operations.start({ kind: 'node add', target: 'd' }, never);
    await operations.stop();
    expect(operations.find(id)?.error).toContain('gateway stopped');
    expect(() => operations.start({ kind: 'node add', target: 'e' }, never)).toThrow('stopping');
  });

  test('is refused while too many run, and forgotten after many others', async () => {
    const { operations } = build();
    const first = operations.start({ kind: 'done', target: '' }, async () => ({}));
    await settled();
    for (let n = 0; n < 201; n++) {
      operations.start({ kind: 'done', target: String(n) }, async () => ({}));
      await settled();
    }
    expect(operations.find(first.id)).toBeNull();
    for (let n = 0; n < 32; n++) operations.start({ kind: 'never', target: String(n) }, never);
    expect(() => operations.start({ kind: 'never', target: 'more' }, never)).toThrow('in progress');
  });
});

describe('the rate', () => {
  const at = (done: number, phase = 'p') => ({ phase, done, total: 1_000, unit: 'records' });

  test('follows the last ten seconds, not the whole phase', () => {
    const rate = new ProgressRate();
    for (let second = 0; second <= 30; second++) rate.observe(at(second), second * 1_000);
    for (let second = 1; second <= 20; second++) rate.observe(at(30 + second * 10), (30 + second) * 1_000);
    const { perSecond, remainingMs } = rate.observe(at(240), 51_000);
    expect(perSecond).toBeCloseTo(10, 0);
    expect(remainingMs).toBeCloseTo(76_000, -4);
  });

  test('is unknown at the beginning of a phase and without progress', () => {
    const rate = new ProgressRate();
    expect(rate.observe(at(0), 0)).toEqual({ perSecond: null, remainingMs: null });
    expect(rate.observe(at(0), 1_000)).toEqual({ perSecond: 0, remainingMs: null });
    expect(rate.observe(at(500), 2_000).perSecond).toBe(250);
    expect(rate.observe(at(0, 'next'), 3_000)).toEqual({ perSecond: null, remainingMs: null });
  });
});

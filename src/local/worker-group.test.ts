import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { WorkerGroup } from './worker-group.ts';

interface FakeWorker {
  readonly number: number;
  readonly signals: NodeJS.Signals[];
  readonly serve: () => void;
  readonly end: (reason: string) => void;
}

let clock: ManualClock;
let workers: FakeWorker[];
let started: number;
let failure: string | null;
let stop: AbortController;
let isOver: boolean;
beforeEach(() => {
  clock = new ManualClock();
  [workers, started, failure, isOver] = [[], 0, null, false];
  stop = new AbortController();
  const group = new WorkerGroup({
    count: 2,
    fork: (number) => {
      const serving = Promise.withResolvers<void>();
      const ended = Promise.withResolvers<string>();
      const signals: NodeJS.Signals[] = [];
      workers.push({ number, signals, serve: serving.resolve, end: ended.resolve });
      return { serving: serving.promise, ended: ended.promise, signal: (name) => signals.push(name) };
    },
    onServing: () => (started += 1),
    onRestart: () => undefined,
    onFailure: (reason) => {
      failure ??= reason;
      stop.abort();
    },
    stopDelayMs: 0,
    clock,
  });
  void group.run(stop.signal).then(() => (isOver = true));
});
afterEach(async () => {
  stop.abort();
  for (const { end } of workers) end('stopped');
  await clock.pass(10);
  expect(isOver).toBe(true);
});

const serve = async (): Promise<void> => {
  for (const worker of workers) worker.serve();
  await clock.pass(10);
};

test('starts every worker, and says once that one serves', async () => {
  await serve();
  expect(workers.map(({ number }) => number)).toEqual([1, 2]);
  expect([started, failure]).toEqual([1, null]);
});

test('restarts a worker that ended', async () => {
  await serve();
  await clock.pass(60_000, 1_000);
  workers[1]!.end('SIGKILL');
  await clock.pass(1_000);
  expect(workers.map(({ number }) => number)).toEqual([1, 2, 2]);
  expect(failure).toBeNull();
});

test('stops everything when a worker keeps ending', async () => {
  await serve();
  for (let n = 0; n < 10; n++) {
    workers.findLast(({ number }) => number === 2)!.end('code 1');
    await clock.pass(20_000, 1_000);
  }
  expect(failure).toBe('worker 2 keeps ending: code 1');
  expect(workers[0]!.signals).toEqual(['SIGTERM']);
  expect(workers.length).toBeLessThan(15);
});

test('stops when a worker ends before any has served', async () => {
  workers[0]!.end('code 1');
  await clock.pass(10);
  expect(failure).toBe('worker 1 ended before it served: code 1');
});

test('kills a worker that does not stop in time', async () => {
  await serve();
  stop.abort();
  workers[0]!.end('stopped');
  await clock.pass(50_000, 1_000);
  expect(workers[1]!.signals).toEqual(['SIGTERM']);
  await clock.pass(11_000, 1_000);
  expect(workers[1]!.signals).toEqual(['SIGTERM', 'SIGKILL']);
});

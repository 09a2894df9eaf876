import { expect, test, vi } from 'vitest';
import type { Clock } from '../util/clock.ts';
import type { Child, ChildExit } from './child.ts';
import { supervise, type SupervisorLogger } from './supervisor.ts';

const policy = { delayMsMin: 100, delayMsMax: 1_000, stableAfterMs: 2_000, quickExitsMax: 3 };

/** A clock that moves only by `advance`. */
class ManualClock implements Clock {
  #time = 0;
  #tasks = new Set<{ at: number; task: () => void }>();

  now(): number {
    return this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  after(delayMs: number, task: () => void): () => void {
    const entry = { at: this.#time + delayMs, task };
    this.#tasks.add(entry);
    return () => this.#tasks.delete(entry);
  }

  advance(ms: number): void {
    this.#time += ms;
    for (const entry of this.#tasks) {
      if (entry.at > this.#time) continue;
      this.#tasks.delete(entry);
      entry.task();
    }
  }
}

/** Launches children that run until the test calls `exit`. */
class FakeLauncher {
  readonly launched: { exit(status?: Partial<ChildExit>): void }[] = [];
  refuse = false;

  readonly launch = (): Promise<Child> => {
    if (this.refuse) {
      this.launched.push({ exit: () => {} });
      return Promise.reject(new Error('no room'));
    }
    const { promise, resolve } = Promise.withResolvers<ChildExit>();
    const exit = (status: Partial<ChildExit> = {}): void => resolve({ code: null, signal: null, ...status });
    this.launched.push({ exit });
    return Promise.resolve({
      pid: 1_000 + this.launched.length,
      exited: promise,
      signal: (signal) => exit({ signal }),
      stop: () => Promise.resolve(exit({ signal: 'SIGTERM' })),
      output: () => '',
    });
  };
}

/** Resolves when `condition` holds; looks often, since no process is waited for. */
const reached = (condition: () => boolean): Promise<boolean> => vi.waitUntil(condition, { interval: 1 });

function setUp() {
  const clock = new ManualClock();
  const launcher = new FakeLauncher();
  const logger = {
    info: vi.fn<SupervisorLogger['info']>(),
    warn: vi.fn<SupervisorLogger['warn']>(),
    error: vi.fn<SupervisorLogger['error']>(),
  };
  const onGivenUp = vi.fn<(reason: string) => void>();
  const stop = new AbortController();
  const child = supervise({
    name: 'node-1',
    launch: launcher.launch,
    clock,
    logger,
    policy,
    onGivenUp,
    stopRequested: stop.signal,
  });
  return { clock, launcher, logger, onGivenUp, child, stop };
}

test('restarts a child that exits after the delay, and not before', async () => {
  const { clock, launcher, child } = setUp();
  await child.start();
  child.signal('SIGKILL');
  await reached(() => child.state() === 'waiting');
  expect(child.pid()).toBeNull();
  clock.advance(99);
  expect(launcher.launched).toHaveLength(1);
  clock.advance(1);
  await reached(() => child.state() === 'running');
  expect(child.pid()).toBe(1_002);
});

test('keeps a stopped child stopped until it is started', async () => {
  const { clock, launcher, child } = setUp();
  await child.start();
  await child.stop();
  clock.advance(60_000);
  expect(child.state()).toBe('stopped');
  expect(launcher.launched).toHaveLength(1);
  await child.start();
  expect(child.state()).toBe('running');
});

test.each(['before', 'after'])(
  'does not restart a child that exits just %s a stop is requested',
  async (when) => {
    const { clock, launcher, logger, child, stop } = setUp();
    await child.start();
    if (when === 'after') stop.abort();
    child.signal('SIGTERM');
    await reached(() => child.state() !== 'running');
    stop.abort();
    clock.advance(60_000);
    await reached(() => child.state() === 'stopped');
    expect(launcher.launched).toHaveLength(1);
    expect(logger.error).not.toHaveBeenCalled();
  },
);

test('cancels the restart when the child is stopped while waiting', async () => {
  const { clock, launcher, child } = setUp();
  await child.start();
  child.signal('SIGKILL');
  await reached(() => child.state() === 'waiting');
  await child.stop();
  clock.advance(60_000);
  expect(launcher.launched).toHaveLength(1);
});

test('stops restarting a child that keeps exiting, logs an error, and can still start it', async () => {
  const { clock, launcher, logger, onGivenUp, child } = setUp();
  await child.start();
  launcher.refuse = true;
  launcher.launched[0]!.exit({ code: 1 });
  await reached(() => child.state() === 'waiting');
  clock.advance(100);
  await reached(() => launcher.launched.length === 2 && child.state() === 'waiting');
  clock.advance(200);
  await reached(() => child.state() === 'given_up');
  expect(launcher.launched).toHaveLength(3);
  expect(logger.error).toHaveBeenCalledOnce();
  expect(onGivenUp).toHaveBeenCalledExactlyOnceWith('no room');
  launcher.refuse = false;
  await child.start();
  expect(child.state()).toBe('running');
});

test('resets the count of quick exits when the child was ready long enough', async () => {
  const { clock, launcher, child, onGivenUp } = setUp();
  await child.start();
  for (let exits = 1; exits <= 5; exits += 1) {
    clock.advance(policy.stableAfterMs);
    launcher.launched.at(-1)!.exit({ signal: 'SIGKILL' });
    await reached(() => child.state() === 'waiting');
    clock.advance(policy.delayMsMin);
    await reached(() => child.state() === 'running');
  }
  expect(onGivenUp).not.toHaveBeenCalled();
});

test('rejects a failed first start and does not repeat it', async () => {
  const { clock, launcher, child } = setUp();
  launcher.refuse = true;
  await expect(child.start()).rejects.toThrow('no room');
  clock.advance(60_000);
  expect(launcher.launched).toHaveLength(1);
  expect(child.state()).toBe('stopped');
});

test('restarts a child without end if the policy says so, and reports that it keeps exiting', async () => {
  const { clock, launcher, logger } = setUp();
  const onFailing = vi.fn<(reason: string) => void>();
  const endless = { ...policy, isEndless: true };
  const child = supervise({ name: 'n', launch: launcher.launch, clock, logger, policy: endless, onFailing });
  launcher.refuse = true;
  await expect(child.start()).rejects.toThrow('no room');
  child.startLater('no room');
  for (let exits = 2; exits <= 5; exits += 1) {
    expect(onFailing).toHaveBeenCalledTimes(Math.max(0, exits - policy.quickExitsMax));
    clock.advance(policy.delayMsMax);
    await reached(() => launcher.launched.length === exits && child.state() === 'waiting');
  }
  expect(onFailing).toHaveBeenLastCalledWith('no room');
  launcher.refuse = false;
  clock.advance(policy.delayMsMax);
  await reached(() => child.state() === 'running');
});

import { expect, test, vi } from 'vitest';
import type { Clock } from '../util/clock.ts';
import type { Child, ChildExit } from './child.ts';
import { supervise, type SupervisorLogger } from './supervisor.ts';

const policy = { delayMsMin: 100, delayMsMax: 1_000, soundAfterMs: 2_000, quickDeathsMax: 3 };

/** A clock that stands still until it is advanced. */
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

/** Children that live until the test lets them die. */
class FakeLauncher {
  readonly launched: { die(exit?: Partial<ChildExit>): void }[] = [];
  refuse = false;

  readonly launch = (): Promise<Child> => {
    if (this.refuse) {
      this.launched.push({ die: () => {} });
      return Promise.reject(new Error('no room'));
    }
    const { promise, resolve } = Promise.withResolvers<ChildExit>();
    const die = (exit: Partial<ChildExit> = {}): void => resolve({ code: null, signal: null, ...exit });
    this.launched.push({ die });
    return Promise.resolve({
      pid: 1_000 + this.launched.length,
      exited: promise,
      signal: (signal) => die({ signal }),
      stop: () => Promise.resolve(die({ signal: 'SIGTERM' })),
      output: () => '',
    });
  };
}

function setUp() {
  const clock = new ManualClock();
  const launcher = new FakeLauncher();
  const logger = {
    info: vi.fn<SupervisorLogger['info']>(),
    warn: vi.fn<SupervisorLogger['warn']>(),
    error: vi.fn<SupervisorLogger['error']>(),
  };
  const onGivenUp = vi.fn<(reason: string) => void>();
  const child = supervise({ name: 'node-1', launch: launcher.launch, clock, logger, policy, onGivenUp });
  return { clock, launcher, logger, onGivenUp, child };
}

test('a child that dies is started again after the delay, and not before', async () => {
  const { clock, launcher, child } = setUp();
  await child.start();
  child.signal('SIGKILL');
  await vi.waitUntil(() => child.state() === 'waiting');
  expect(child.pid()).toBeUndefined();
  clock.advance(99);
  expect(launcher.launched).toHaveLength(1);
  clock.advance(1);
  await vi.waitUntil(() => child.state() === 'running');
  expect(child.pid()).toBe(1_002);
});

test('a child that is stopped stays stopped until it is started', async () => {
  const { clock, launcher, child } = setUp();
  await child.start();
  await child.stop();
  clock.advance(60_000);
  expect(child.state()).toBe('stopped');
  expect(launcher.launched).toHaveLength(1);
  await child.start();
  expect(child.state()).toBe('running');
});

test('a stop while it waits for its restart cancels the restart', async () => {
  const { clock, launcher, child } = setUp();
  await child.start();
  child.signal('SIGKILL');
  await vi.waitUntil(() => child.state() === 'waiting');
  await child.stop();
  clock.advance(60_000);
  expect(launcher.launched).toHaveLength(1);
});

test('a child that keeps dying is given up aloud, and can still be started on purpose', async () => {
  const { clock, launcher, logger, onGivenUp, child } = setUp();
  await child.start();
  launcher.refuse = true;
  launcher.launched[0]!.die({ code: 1 });
  await vi.waitUntil(() => child.state() === 'waiting');
  clock.advance(100);
  await vi.waitUntil(() => launcher.launched.length === 2 && child.state() === 'waiting');
  clock.advance(200);
  await vi.waitUntil(() => child.state() === 'given_up');
  expect(launcher.launched).toHaveLength(3);
  expect(logger.error).toHaveBeenCalledOnce();
  expect(onGivenUp).toHaveBeenCalledExactlyOnceWith('no room');
  launcher.refuse = false;
  await child.start();
  expect(child.state()).toBe('running');
});

test('a long sound life wipes out earlier quick deaths', async () => {
  const { clock, launcher, child, onGivenUp } = setUp();
  await child.start();
  for (let death = 1; death <= 5; death += 1) {
    clock.advance(policy.soundAfterMs);
    launcher.launched.at(-1)!.die({ signal: 'SIGKILL' });
    await vi.waitUntil(() => child.state() === 'waiting');
    clock.advance(policy.delayMsMin);
    await vi.waitUntil(() => child.state() === 'running');
  }
  expect(onGivenUp).not.toHaveBeenCalled();
});

test('a first start that fails is told to the caller and not repeated', async () => {
  const { clock, launcher, child } = setUp();
  launcher.refuse = true;
  await expect(child.start()).rejects.toThrow('no room');
  clock.advance(60_000);
  expect(launcher.launched).toHaveLength(1);
  expect(child.state()).toBe('stopped');
});

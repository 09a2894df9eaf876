import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { seededRandom } from '../../test/support/seeded-random.ts';
import { Lease, type LeaseRow, type LeaseStore } from './lease.ts';
import { type Term } from './term.ts';

const LEASE_MS = 1_000;
/** Step of the longer histories. */
const STEP_MS = 20;

/** The row as PostgreSQL keeps it. */
class Row {
  epoch = 0;
  holder: string | null = null;
  renewal = 0;

  read(): LeaseRow {
    return { epoch: this.epoch, holder: this.holder, renewal: this.renewal };
  }

  acquire(holder: string, seen: LeaseRow): number | null {
    if (this.holder !== null && (this.epoch !== seen.epoch || this.renewal !== seen.renewal)) return null;
    this.epoch += 1;
    this.holder = holder;
    this.renewal = 0;
    return this.epoch;
  }

  renew(epoch: number): boolean {
    if (this.epoch !== epoch || this.holder === null) return false;
    this.renewal += 1;
    return true;
  }

  release(epoch: number): void {
    if (this.epoch === epoch) this.holder = null;
  }
}

type Call = <T>(work: () => T) => Promise<T>;

/** A gateway's way to the row; `call` may be late, or lose the statement or its result. */
const storeOf = (row: Row, call: Call): LeaseStore => ({
  read: () => call(() => row.read()),
  acquire: (holder, seen) => call(() => row.acquire(holder, seen)),
  renew: (epoch) => call(() => row.renew(epoch)),
  release: (epoch) => call(() => row.release(epoch)),
});

const atOnce: Call = async (work) => work();

let stop: AbortController;
let runs: Promise<void>[];
let clock: ManualClock;
let row: Row;
/** How calls of the next gateways fare. */
let call: Call;

function begin(): void {
  stop = new AbortController();
  runs = [];
  clock = new ManualClock();
  row = new Row();
  call = atOnce;
}

beforeEach(begin);
afterEach(async () => {
  stop.abort();
  await clock.pass(10 * LEASE_MS);
  await Promise.all(runs);
});

interface Gateway {
  readonly terms: Term[];
  readonly errors: unknown[];
  /** How often it noticed only after its lease that a term was over. */
  overslept: number;
  /** Ends the work of the term it leads in. */
  finish: (error?: Error) => void;
  readonly abstain: (forMs: number) => void;
}

/** A gateway that leads whenever it can; its work ends with its term, or by finish(). */
function gateway(name: string, ownClock = clock, durationMs = LEASE_MS): Gateway {
  const started: Gateway = {
    terms: [],
    errors: [],
    overslept: 0,
    finish: () => undefined,
    abstain: (forMs) => lease.abstain(forMs),
  };
  const lease = new Lease({
    store: storeOf(row, (work) => call(work)),
    clock: ownClock,
    holder: name,
    durationMs,
    onOverslept: () => (started.overslept += 1),
    onError: (error) => started.errors.push(error),
  });
  const lead = (term: Term): Promise<void> => {
    started.terms.push(term);
    return new Promise((resolve, reject) => {
      started.finish = (error) => (error === undefined ? resolve() : reject(error));
      term.signal.addEventListener('abort', () => resolve(), { once: true });
    });
  };
  runs.push(lease.run(lead, stop.signal));
  return started;
}

describe('a challenger', () => {
  test('acquires a free lease at once, as a clean term', async () => {
    const one = gateway('one');
    await clock.pass(1);
    expect(one.terms.map(({ epoch, clean }) => ({ epoch, clean }))).toEqual([{ epoch: 1, clean: true }]);
    expect(row.holder).toBe('one');
  });

  test('waits a whole lease without a renewal, and then begins a term that is not clean', async () => {
    row.acquire('gone', row.read());
    const one = gateway('one');
    await clock.pass(LEASE_MS - 1);
    expect(one.terms).toEqual([]);
    await clock.pass(LEASE_MS / 10);
    expect(one.terms.map(({ epoch, clean }) => ({ epoch, clean }))).toEqual([{ epoch: 2, clean: false }]);
  });

  test('starts waiting again with every renewal it sees', async () => {
    row.acquire('alive', row.read());
    const one = gateway('one');
    for (let n = 0; n < 5; n++) {
      await clock.pass(LEASE_MS * 0.8);
      row.renew(1);
    }
    expect(one.terms).toEqual([]);
    await clock.pass(LEASE_MS * 1.2);
    expect(one.terms).toHaveLength(1);
  });

  test('does not count the time that its machine was suspended', async () => {
    row.acquire('alive', row.read());
    const one = gateway('one');
    await clock.pass(LEASE_MS * 0.5);
    clock.freeze(LEASE_MS * 5);
    await clock.pass(LEASE_MS * 0.5);
    expect(one.terms).toEqual([]);
  });

  test('acquires a released lease at once', async () => {
    row.acquire('leaving', row.read());
    const one = gateway('one');
    await clock.pass(LEASE_MS * 0.3);
    row.release(1);
    await clock.pass(LEASE_MS * 0.1);
    expect(one.terms.map(({ clean }) => clean)).toEqual([true]);
  });

  test('continues when PostgreSQL does not respond', async () => {
    call = async () => Promise.reject(new Error('down'));
    const one = gateway('one');
    await clock.pass(LEASE_MS);
    expect(one.errors.length).toBeGreaterThan(5);
    call = atOnce;
    await clock.pass(LEASE_MS * 0.2);
    expect(one.terms).toHaveLength(1);
  });
});

describe('a holder', () => {
  test('leads for as long as it can renew', async () => {
    const one = gateway('one');
    await clock.pass(LEASE_MS * 20);
    expect(one.terms).toHaveLength(1);
    expect(one.terms[0]!.held()).toBe(true);
  });

  test('stops a quarter of the lease before a takeover is possible, when renewals fail', async () => {
    const one = gateway('one');
    await clock.pass(0);
    call = async () => Promise.reject(new Error('down'));
    await clock.pass(LEASE_MS * 0.75 - 1);
    expect(one.terms[0]!.held()).toBe(true);
    await clock.pass(1);
    expect(one.terms[0]!.held()).toBe(false);
    expect(one.terms[0]!.signal.aborted).toBe(true);
  });

  test('counts from sending a renewal, not from its response', async () => {
    const one = gateway('one');
    await clock.pass(1);
    // Renewed on the server at once, known here only 0.5 leases later.
    call = async (work) => {
      const answer = work();
      await new Promise<void>((resolve) => void clock.after(LEASE_MS * 0.5, resolve));
      call = () =>
        new Promise((_, reject) => void clock.after(LEASE_MS, () => reject(new Error('timed out'))));
      return answer;
    };
    await clock.pass(LEASE_MS * 0.2);
    const sentAt = clock.monotonic();
    await clock.pass(LEASE_MS * 0.5);
    expect(one.terms[0]!.held()).toBe(true);
    await clock.pass(sentAt + LEASE_MS * 0.75 - clock.monotonic() - 50);
    expect(one.terms[0]!.held()).toBe(true);
    await clock.pass(100);
    expect(one.terms[0]!.held()).toBe(false);
    call = atOnce;
  });

  test('knows on waking that the lease expired while its machine was suspended', async () => {
    const one = gateway('one');
    await clock.pass(1);
    clock.freeze(LEASE_MS);
    expect(one.terms[0]!.held()).toBe(false);
  });

  test('notices on waking that it slept past its lease, and does not release it as after a clean end', async () => {
    const one = gateway('one');
    await clock.pass(1);
    clock.freeze(LEASE_MS);
    await clock.pass(LEASE_MS * 0.2);
    expect([one.overslept, row.holder]).toEqual([1, 'one']);
  });

  test('does not oversleep when renewals fail', async () => {
    const one = gateway('one');
    await clock.pass(1);
    call = async () => Promise.reject(new Error('down'));
    await clock.pass(LEASE_MS * 2);
    expect([one.terms[0]!.held(), one.overslept]).toEqual([false, 0]);
  });

  test('stops at once when another has taken over, and releases nothing', async () => {
    const one = gateway('one');
    await clock.pass(1);
    row.acquire('two', row.read());
    await clock.pass(LEASE_MS * 0.2);
    expect(one.terms[0]!.held()).toBe(false);
    expect(one.terms[0]!.signal.aborted).toBe(true);
    expect(row.read()).toMatchObject({ epoch: 2, holder: 'two' });
  });

  test('releases the lease when it is stopped, after the last step of its term', async () => {
    const one = gateway('one');
    await clock.pass(1);
    let held: string | null = null;
    one.terms[0]!.signal.addEventListener('abort', () => (held = row.holder));
    stop.abort();
    await Promise.all(runs);
    expect(held).toBe('one');
    expect(row.holder).toBe(null);
  });

  test('releases a lease that it acquires while it stops, without leading', async () => {
    let acquired: () => void = () => undefined;
    call = async (work) => {
      const result = work();
      if (row.holder !== null) await new Promise<void>((resolve) => (acquired = resolve));
      return result;
    };
    const one = gateway('one');
    await clock.pass(1);
    call = atOnce;
    stop.abort();
    acquired();
    await Promise.all(runs);
    expect(one.terms).toEqual([]);
    expect(row.holder).toBe(null);
  });

  test('does not release the lease when its work failed', async () => {
    const one = gateway('one');
    await clock.pass(1);
    one.finish(new Error('a step may be out'));
    await clock.pass(LEASE_MS * 0.5);
    expect(one.errors.map(String)).toEqual(['Error: a step may be out']);
    expect(row.holder).toBe('one');
    await clock.pass(LEASE_MS);
    expect(one.terms.map(({ clean }) => clean)).toEqual([true, false]);
  });

  test('gives the lease up when it is to abstain, and leaves it to another meanwhile', async () => {
    const a = gateway('a');
    await clock.pass(100);
    a.abstain(3 * LEASE_MS);
    await clock.pass(100);
    expect(row.holder).toBeNull();
    await clock.pass(2 * LEASE_MS);
    expect(row.holder).toBeNull();
    await clock.pass(2 * LEASE_MS);
    expect(row.holder).toBe('a');
  });

  test('challenges again only when the work of its last term has ended', async () => {
    const lease = new Lease({
      store: storeOf(row, atOnce),
      clock,
      holder: 'one',
      durationMs: LEASE_MS,
      onError: () => undefined,
    });
    let terms = 0;
    let end: () => void = () => undefined;
    const lead = (): Promise<void> => {
      terms += 1;
      return new Promise((resolve) => (end = resolve));
    };
    runs.push(lease.run(lead, stop.signal));
    await clock.pass(1);
    row.acquire('two', row.read());
    await clock.pass(LEASE_MS * 5);
    expect(terms).toBe(1);
    end();
    await clock.pass(LEASE_MS * 1.2);
    expect(terms).toBe(2);
    stop.abort();
    end();
  });
});

describe('two leaders at one moment', () => {
  /** Three gateways whose clocks drift and freeze, and whose calls are late or lost: how often two held, and how many terms there were. */
  async function history(
    seed: number,
    durationsMs: readonly number[],
  ): Promise<{ together: number; terms: number }> {
    begin();
    const chance = seededRandom(seed);
    const wait = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve));
    const latency = (): Promise<void> => wait(chance() * (chance() < 0.05 ? 2_000 : 40));
    call = async (work) => {
      await latency();
      if (chance() < 0.05) throw new Error('the question was lost');
      const answer = work();
      await latency();
      if (chance() < 0.05) throw new Error('the result was lost');
      return answer;
    };
    const crew = durationsMs.map((durationMs, n) => {
      const own = new ManualClock();
      // 2 percent either way: a hundred times worse than quartz.
      return { own, rate: 0.98 + 0.02 * n, frozenMs: 0, ...gateway(`g${n}`, own, durationMs) };
    });
    let together = 0;
    for (let step = 0; step < 1_500; step++) {
      clock.advance(STEP_MS);
      for (const one of crew) {
        if (one.frozenMs <= 0 && chance() < 0.002) one.frozenMs = chance() * 3 * LEASE_MS;
        if (one.frozenMs > 0) one.own.freeze(STEP_MS * one.rate);
        else one.own.advance(STEP_MS * one.rate);
        one.frozenMs -= STEP_MS;
      }
      await new Promise(setImmediate);
      if (crew.filter(({ terms }) => terms.at(-1)?.held() === true).length > 1) together += 1;
    }
    stop.abort();
    for (let step = 0; step < 200; step++) {
      clock.advance(STEP_MS);
      for (const { own } of crew) own.advance(STEP_MS);
      await new Promise(setImmediate);
    }
    return { together, terms: crew.reduce((sum, { terms }) => sum + terms.length, 0) };
  }

  test('do not exist in a hundred random histories', async () => {
    let termsInAll = 0;
    for (let seed = 0; seed < 100; seed++) {
      const { together, terms } = await history(seed, [LEASE_MS, LEASE_MS, LEASE_MS]);
      expect({ seed, together }).toEqual({ seed, together: 0 });
      termsInAll += terms;
    }
    expect(termsInAll).toBeGreaterThan(500);
  });

  test('are detected when one gateway uses another lease duration', async () => {
    let together = 0;
    for (let seed = 0; seed < 25 && together === 0; seed++)
      ({ together } = await history(seed, [10 * LEASE_MS, LEASE_MS, LEASE_MS]));
    expect(together).toBeGreaterThan(0);
  });
});

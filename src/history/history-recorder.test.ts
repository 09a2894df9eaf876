import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { DURATIONS, Histogram } from '../observability/histogram.ts';
import type { HistoryObservation, HistoryPoint } from './history-point.ts';
import { HistoryRecorder } from './history-recorder.ts';

class Subject {
  readonly clock = new ManualClock();
  readonly stored: HistoryPoint[] = [];
  readonly reads = new Histogram(DURATIONS);
  readonly calls = new Histogram(DURATIONS);
  readonly maintenance: string[] = [];
  readonly stop = new AbortController();
  requests = 0;
  leads = true;
  isAway = false;
  readonly recorder = new HistoryRecorder({
    gateway: 'g',
    observe: () => this.#observed(),
    sizes: () => ({ logBytes: 1, databaseBytes: 2, collections: 3 }),
    records: () => ({ records: 4, indexBytes: 5 }),
    store: {
      append: async (points) => {
        if (this.isAway) throw new Error('connection refused');
        this.stored.push(...points);
      },
      rollUp: async (nowMs) => void this.maintenance.push(`rollUp ${nowMs}`),
      forgetOld: async (_nowMs, { health, performance }) =>
        void this.maintenance.push(`forget ${health} ${performance}`),
    },
    retention: { health: 7, performance: 30 },
    clock: this.clock,
    onError: () => undefined,
  });
  readonly running = this.recorder.run(this.stop.signal);

  #observed(): HistoryObservation {
    const nodes = [
      { node: 'a', serves: true, lagEntries: 4, lagMs: 1.6, suspects: 0, calls: this.calls.state() },
    ];
    return {
      requests: this.requests,
      failed: 0,
      reads: this.reads.state(),
      writes: new Histogram(DURATIONS).state(),
      memoryBytes: 10,
      memoryPercent: 1,
      cpuPercent: 2,
      cluster: this.leads ? { nodes, head: 9 } : null,
    };
  }

  /** Lets a step pass in which this happens. */
  async step(happen: () => void = () => undefined): Promise<void> {
    happen();
    await this.clock.pass(10_000, 1_000);
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.running;
  }
}

const inBuckets = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

test('stores what happened in each step of 10 s, not the totals since the start', async () => {
  const subject = new Subject();
  await subject.step(() => {
    subject.requests += 5;
    subject.reads.observe(0.001);
  });
  await subject.step(() => {
    subject.requests += 2;
    subject.reads.observe(0.001);
    subject.calls.observe(0.01);
  });
  await subject.end();
  const [first, second] = subject.stored;
  expect(subject.stored).toHaveLength(2);
  expect(first).toMatchObject({
    at: 1_700_000_000_000,
    gateway: 'g',
    requests: 5,
    nodes: [{ node: 'a', serving: 1, lagEntries: 4, lagMs: 2, suspects: 0 }],
    data: { head: 9, logBytes: 1, databaseBytes: 2, collections: 3, records: 4, indexBytes: 5 },
  });
  expect(second).toMatchObject({ at: 1_700_000_010_000, requests: 2 });
  expect([first!, second!].map(({ reads }) => inBuckets(reads))).toEqual([1, 1]);
  expect([first!, second!].map(({ nodes }) => inBuckets(nodes[0]!.calls))).toEqual([0, 1]);
});

test('a gateway that becomes the leader records the nodes from then on, without its earlier calls', async () => {
  const subject = new Subject();
  subject.leads = false;
  await subject.step(() => subject.calls.observe(0.01));
  expect(subject.maintenance).toEqual([]);
  await subject.step(() => (subject.leads = true));
  await subject.end();
  const [first, second] = subject.stored;
  expect(first).toMatchObject({ nodes: [], data: null });
  expect(inBuckets(second!.nodes[0]!.calls)).toBe(0);
});

test('stores up to an hour of steps later when PostgreSQL was away, and counts what is dropped', async () => {
  const subject = new Subject();
  subject.isAway = true;
  for (let step = 0; step < 365; step++) await subject.step();
  const [dropped, queued] = subject.recorder.metrics.map((metric) => (metric as { read(): number }).read());
  expect([dropped, queued]).toEqual([5, 360]);
  subject.isAway = false;
  await subject.step();
  await subject.end();
  expect(subject.stored.length).toBeGreaterThanOrEqual(360);
});

test('the leader adds up every 5 minutes and forgets every hour', async () => {
  const subject = new Subject();
  for (let step = 0; step < 61; step++) await subject.step();
  await subject.end();
  expect(subject.maintenance).toEqual([
    'rollUp 1700000010000',
    'forget 7 30',
    'rollUp 1700000310000',
    'rollUp 1700000610000',
  ]);
});

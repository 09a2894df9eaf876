import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { RecordCounts, type CountedCopy } from './record-counts.ts';

class Subject {
  readonly clock = new ManualClock();
  readonly stop = new AbortController();
  readonly counts = new Map<string, string | Error | null>();
  readonly asked: string[] = [];
  leads = true;
  readonly records = new RecordCounts({
    isLeading: () => this.leads,
    shards: () => [...this.counts.keys()],
    copyOf: (shard) => (this.counts.get(shard) === null ? null : this.#copy(shard)),
    indexBytes: (records, dimension) => records * (dimension ?? 0),
    clock: this.clock,
  });

  #copy(shard: string): CountedCopy {
    const read = async ({ path }: { path: string }): Promise<never> => {
      this.asked.push(path);
      const response = this.counts.get(shard)!;
      if (response instanceof Error) throw response;
      return { status: 200, body: Buffer.from(response) } as never;
    };
    const location = { tenant: 't', database: 'd', physical: shard };
    return { location, client: { read }, dimension: 10 };
  }

  async count(): Promise<void> {
    const counted = this.records.count(this.stop.signal);
    await this.clock.pass(2_000, 200);
    await counted;
  }
}

test('adds up the records of all collections and what their vectors need', async () => {
  const subject = new Subject();
  expect(subject.records.totals).toBeNull();
  subject.counts.set('a', '3').set('b', '4');
  await subject.count();
  expect(subject.records.totals).toEqual({ records: 7, indexBytes: 70 });
  expect(subject.asked).toEqual(
    ['a', 'b'].map((id) => `/api/v2/tenants/t/databases/d/collections/${id}/count`),
  );
});

test('a collection that cannot be counted keeps its count; a deleted one has none', async () => {
  const subject = new Subject();
  subject.counts.set('a', '3').set('b', '4').set('c', '5');
  await subject.count();
  subject.counts.set('a', new Error('refused')).set('b', null);
  subject.counts.delete('c');
  await subject.count();
  expect(subject.records.totals).toEqual({ records: 7, indexBytes: 70 });
});

test('only the leader counts, soon after the start and then every hour', async () => {
  const subject = new Subject();
  subject.counts.set('a', '3');
  subject.leads = false;
  const running = subject.records.run(subject.stop.signal);
  await subject.clock.pass(60_000, 1_000);
  expect(subject.asked).toEqual([]);
  subject.leads = true;
  await subject.clock.pass(30_000, 1_000);
  expect(subject.asked).toHaveLength(1);
  await subject.clock.pass(3_610_000, 10_000);
  expect(subject.asked).toHaveLength(2);
  subject.stop.abort();
  await running;
});

import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Selftest, type SelftestResponse, type SelftestTarget } from './selftest-checks.ts';

/** A gateway with two nodes and one collection, and the ways in which it may be broken. */
class FakeGateway implements SelftestTarget {
  readonly clock = new ManualClock();
  readonly timeoutMs: number = 0;
  readonly collection = 'selftest';
  primary = 'a';
  /** Entries that node b has not applied. */
  behind = 0;
  /** A delete of one record removes all. */
  widensDeletes = false;
  /** Reads do not see the last write. */
  isStale = false;
  state = 'serving';
  isDeleted = false;
  #head = 0;
  #ids = new Set<string>();

  async call({ method, path, body }: Parameters<SelftestTarget['call']>[0]): Promise<SelftestResponse> {
    if (path === '/status') return this.#respond(this.#status());
    if (method === 'DELETE') this.isDeleted = true;
    if (path.endsWith('/collections')) return this.#respond({ id: 'x' });
    if (path.endsWith('/count')) return this.#respond(this.#ids.size);
    if (path.includes('/api/v1/collections/')) return this.#respond({ ids: [...this.#ids].slice(0, 3) });
    const { ids = [] } = (body ?? {}) as { ids?: string[] };
    if (path.endsWith('/upsert')) return this.#write(() => ids.forEach((id) => this.#ids.add(id)));
    if (path.endsWith('/delete'))
      return this.#write(() =>
        this.widensDeletes ? this.#ids.clear() : ids.forEach((id) => this.#ids.delete(id)),
      );
    if (path.endsWith('/get'))
      return this.#respond({ ids: this.isStale ? [] : ids.filter((id) => this.#ids.has(id)) });
    return this.#respond({});
  }

  #status(): object {
    const role = (id: string): string => (id === this.primary ? 'primary' : 'replica');
    return {
      head: this.#head,
      nodes: [
        { id: 'a', role: role('a'), state: 'serving', checkpoint: this.#head },
        { id: 'b', role: role('b'), state: this.state, checkpoint: this.#head - this.behind },
      ],
    };
  }

  #write(change: () => void): SelftestResponse {
    change();
    this.#head += 1;
    return { status: 200, body: {}, lsn: this.#head };
  }

  #respond(body: unknown): SelftestResponse {
    return { status: 200, body, lsn: 0 };
  }
}

async function failedOf(broken: Partial<FakeGateway>): Promise<string[]> {
  const gateway = Object.assign(new FakeGateway(), broken);
  const selftest = new Selftest(gateway);
  await selftest.run();
  expect(gateway.isDeleted).toBe(true);
  return selftest.results.filter(({ passed }) => !passed).map(({ name }) => name);
}

test('passes on a healthy cluster', async () => {
  expect(await failedOf({})).toEqual([]);
});

test.each([
  ['a node that is down', { state: 'down' }, ['every node serves']],
  [
    'a node that does not apply writes',
    { behind: 1, timeoutMs: -1 },
    ['write to every node', 'delete on every node', 'lag'],
  ],
  ['a delete that removes siblings', { widensDeletes: true }, ['delete on every node']],
  ['reads that miss the last write', { isStale: true }, ['read after write', 'delete on every node']],
])('reports %s, and cleans up', async (_name, broken, failed) => {
  expect(await failedOf(broken)).toEqual(failed);
});

test('reports the primaries of a failover', async () => {
  const gateway = Object.assign(new FakeGateway(), { timeoutMs: 1_000 });
  const selftest = new Selftest(gateway);
  await selftest.failover((primary) => {
    expect(primary).toBe('a');
    gateway.primary = 'b';
  });
  expect(selftest.results.map(({ name, passed }) => [name, passed])).toEqual([
    ['create a collection', true],
    ['failover without a failed request', true],
    ['clean up', true],
  ]);
  expect(selftest.results[1]?.detail).toMatch(/^a → b; 1 writes and reads/);
});

test('fails a failover that does not happen', async () => {
  const selftest = new Selftest(new FakeGateway());
  await selftest.failover(() => undefined);
  expect(selftest.results[1]).toMatchObject({
    passed: false,
    detail: expect.stringContaining('still the primary'),
  });
});

test.each([
  ['without a webhook', [], ['no webhook is configured: set SLACK_WEBHOOK_URL or ALERT_WEBHOOK_URL']],
  [
    'that one webhook refuses',
    [
      ['slack', null],
      ['json', 'HTTP 500'],
    ],
    ['json: HTTP 500'],
  ],
  ['that is delivered', [['slack', null]], []],
] as const)('reports a test alert %s', async (_what, results, failures) => {
  const selftest = new Selftest(new FakeGateway());
  await selftest.alerts(async () => ({ results: results.map(([name, error]) => ({ name, error })) }));
  const failed = selftest.results.filter(({ passed }) => !passed);
  expect(failed.map(({ detail }) => detail)).toEqual(failures);
});

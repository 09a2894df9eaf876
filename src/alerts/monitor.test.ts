import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { AlertMessage } from './alert-kinds.ts';
import { Monitor } from './monitor.ts';

const node = (id: string, parts: object = {}): object => {
  return {
    id,
    role: id === 'a' ? 'primary' : 'replica',
    state: 'serving',
    reason: null,
    lag: { ms: 0 },
    suspects: [],
    ...parts,
  };
};
const STATUS = { leader: 'g', alerting: false, halted: null, quarantined: [], nodes: [node('a'), node('b')] };

class Subject {
  readonly gateways: readonly string[];
  readonly sent: AlertMessage[] = [];
  readonly clock = new ManualClock();
  /** Addresses that do not respond. */
  readonly away = new Set<string>();
  status: object = STATUS;
  health = 200;
  /** Gateways that live and do not serve. */
  readonly idle = new Set<string>();
  database: string | null = null;
  readonly monitor: Monitor;

  constructor(...gateways: string[]) {
    this.gateways = gateways.length === 0 ? ['http://gateway'] : gateways;
    this.monitor = new Monitor({
      gateways: this.gateways.map((url) => ({ name: url, url })),
      nodes: ['a', 'b'].map((id) => ({ name: id, url: `http://${id}` })),
      database: async () => this.database,
      get: async (url) => {
        for (const each of this.away)
          if (url.startsWith(each))
            throw Object.assign(new Error('fetch failed'), { cause: { code: 'ECONNREFUSED' } });
        if (url.endsWith('/status')) return { status: 200, text: JSON.stringify(this.status) };
        const isIdle = [...this.idle].some((each) => url === `${each}/health`);
        if (isIdle) return { status: 503, text: '{"reason":"another gateway leads"}' };
        return { status: url.endsWith('/health') ? this.health : 200, text: '{"reason":"no node serves"}' };
      },
      send: (message) => this.sent.push(message),
      onRound: () => undefined,
      intervalMs: 30_000,
      threshold: 3,
      clock: this.clock,
    });
  }

  /** What is sent in so many rounds: state and key of each message. */
  async rounds(count: number): Promise<string[]> {
    this.sent.length = 0;
    for (let round = 0; round < count; round++) {
      await this.monitor.look();
      this.clock.advance(30_000);
    }
    return this.sent.map(({ state, key }) => `${state} ${key}`);
  }
}

test('sends nothing about a cluster that is well', async () => {
  expect(await new Subject().rounds(5)).toEqual([]);
});

test('a gateway that stands by is no alert while another serves, and one when none does', async () => {
  const subject = new Subject('http://one', 'http://two');
  subject.idle.add('http://two');
  expect(await subject.rounds(5)).toEqual([]);
  subject.idle.add('http://one');
  expect(await subject.rounds(5)).toEqual(['open gateway_down:http://one', 'open gateway_down:http://two']);
});

test('a gateway that does not respond is an alert in the third round, once, and closed when it responds', async () => {
  const subject = new Subject();
  subject.away.add('http://gateway');
  const start = subject.clock.now();
  expect(await subject.rounds(2)).toEqual([]);
  expect(await subject.rounds(5)).toEqual(['open gateway_down:http://gateway']);
  expect(subject.sent[0]).toMatchObject({
    title: 'Gateway does not serve',
    detail: 'http://gateway: ECONNREFUSED',
    since: new Date(start).toISOString(),
    gateway: 'monitor',
  });
  subject.away.clear();
  expect(await subject.rounds(2)).toEqual(['closed gateway_down:http://gateway']);
});

test('failures with a success between them are no alert', async () => {
  const subject = new Subject();
  for (let time = 0; time < 3; time++) {
    subject.away.add('http://b');
    expect(await subject.rounds(2)).toEqual([]);
    subject.away.clear();
    expect(await subject.rounds(1)).toEqual([]);
  }
});

test('a gateway that responds with 503 is reported with its reason', async () => {
  const subject = new Subject();
  subject.health = 503;
  await subject.rounds(3);
  expect(subject.sent).toMatchObject([
    { detail: expect.stringContaining('HTTP 503 {"reason":"no node serves"}') as string },
  ]);
});

test('reports nodes and PostgreSQL that do not respond, also when no gateway does', async () => {
  const subject = new Subject();
  subject.away.add('http://gateway').add('http://b');
  subject.database = 'connection refused';
  expect((await subject.rounds(3)).sort()).toEqual([
    'open gateway_down:http://gateway',
    'open node_down:b',
    'open postgresql_unreachable:monitor',
  ]);
});

test('reports what the leader sees: once for each node, and what happened between two rounds', async () => {
  const subject = new Subject();
  await subject.rounds(1);
  subject.away.add('http://a');
  subject.status = {
    ...STATUS,
    quarantined: [7],
    nodes: [node('a', { role: 'replica', state: 'down' }), node('b', { role: 'primary', suspects: [{}] })],
  };
  expect(await subject.rounds(3)).toEqual([
    'event failover',
    'event quarantine',
    'open node_down:a',
    'open divergence:b',
  ]);
  expect(subject.sent[0]?.detail).toBe('b, before: a');
});

test('leaves to a gateway that sends alerts what that gateway sees', async () => {
  const subject = new Subject();
  subject.status = { ...STATUS, alerting: true };
  subject.away.add('http://b');
  subject.database = 'refused';
  expect(await subject.rounds(4)).toEqual([]);
  subject.away.add('http://gateway');
  expect((await subject.rounds(4)).length).toBe(3);
});

test('a gateway that does not lead says nothing about the nodes', async () => {
  const subject = new Subject();
  subject.status = { ...STATUS, leader: null, nodes: [node('a', { state: 'down' })] };
  expect(await subject.rounds(4)).toEqual([]);
});

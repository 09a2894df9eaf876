import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { RecordedEvent } from '../observability/events.ts';
import type { AlertMessage } from './alert-kinds.ts';
import type { NewAlert, OpenAlert } from './alert-store.ts';
import { AlertWatch } from './alert-watch.ts';
import type { ObservedCluster, ObservedGateway, ObservedNode } from './conditions.ts';

/** The rows that all gateways share. */
class MemoryAlerts {
  readonly open_ = new Map<string, NewAlert>();
  isAway = false;

  async open(alert: NewAlert): Promise<boolean> {
    this.#require();
    if (this.open_.has(alert.key)) return false;
    this.open_.set(alert.key, alert);
    return true;
  }

  async close(key: string): Promise<boolean> {
    this.#require();
    return this.open_.delete(key);
  }

  async listOpen(gateway: string | null): Promise<OpenAlert[]> {
    this.#require();
    const rows = [...this.open_.values()].filter((alert) => alert.gateway === gateway);
    return rows.map(({ key, kind, sinceMs, detail }) => ({ key, kind, since: new Date(sinceMs), detail }));
  }

  #require(): void {
    if (this.isAway) throw new Error('no connection');
  }
}

let clock: ManualClock;
let store: MemoryAlerts;
let nodes: ObservedNode[];
let leads: Record<string, boolean>;
let postgres: string | null;
let sent: string[];
let watches: Record<string, AlertWatch>;
let forgotten: Record<string, number>;
/** What is out of the ordinary about the gateways. */
let unusual: Partial<ObservedGateway>;

const observedNode = (id: string, state: string): ObservedNode => ({
  id,
  state,
  reason: null,
  lagMs: 0,
  suspects: 0,
});
const cluster = (): ObservedCluster => ({ nodes, halted: null, lagMsMax: 30_000 });
const self = (id: string): ObservedGateway => ({
  id,
  postgres,
  requests: { total: 0, failed: 0, p95Ms: null },
  latencyMsMax: 5_000,
  memoryPercent: 0,
  memoryPercentMax: 85,
  cpuPercent: 0,
  cpuPercentMax: 90,
  ...unusual,
});

function watchOf(id: string): AlertWatch {
  return new AlertWatch({
    gateway: id,
    cluster: () => (leads[id] === true ? cluster() : null),
    self: () => self(id),
    store,
    forgetOld: async () => void (forgotten[id] = (forgotten[id] ?? 0) + 1),
    send: (message: AlertMessage) => void sent.push(`${id} ${message.state} ${message.key}`),
    events: { record: () => undefined },
    clock,
    onError: () => undefined,
  });
}

beforeEach(() => {
  clock = new ManualClock();
  store = new MemoryAlerts();
  nodes = [observedNode('a', 'serving'), observedNode('b', 'serving')];
  leads = { one: true, two: false };
  postgres = null;
  sent = [];
  forgotten = {};
  unusual = {};
  watches = { one: watchOf('one'), two: watchOf('two') };
});

/** Lets time pass; every gateway looks every 5 s. */
async function pass(ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 5_000) {
    clock.advance(5_000);
    for (const watch of Object.values(watches)) await watch.look();
  }
}

test('opens one alert for a node that is down, and closes it once it is back', async () => {
  nodes = [observedNode('a', 'down'), observedNode('b', 'serving')];
  await pass(60_000);
  expect(sent).toEqual(['one open node_down:a']);
  nodes = [observedNode('a', 'serving'), observedNode('b', 'serving')];
  await pass(60_000);
  expect(sent).toEqual(['one open node_down:a', 'one closed node_down:a']);
});

test('opens none for what passes at once, and does not close what comes back within seconds', async () => {
  nodes = [observedNode('a', 'down'), observedNode('b', 'serving')];
  await pass(5_000);
  nodes = [observedNode('a', 'serving'), observedNode('b', 'serving')];
  await pass(60_000);
  expect(sent).toEqual([]);
  nodes = [observedNode('a', 'down'), observedNode('b', 'serving')];
  await pass(20_000);
  nodes = [observedNode('a', 'serving'), observedNode('b', 'serving')];
  await pass(10_000);
  nodes = [observedNode('a', 'down'), observedNode('b', 'serving')];
  await pass(60_000);
  expect(sent).toEqual(['one open node_down:a']);
});

test('copies that may differ are one alert at once, closed when all are healed', async () => {
  nodes = [{ ...observedNode('a', 'serving'), suspects: 2 }, observedNode('b', 'serving')];
  await pass(5_000);
  expect(sent).toEqual(['one open divergence:a']);
  nodes = [observedNode('a', 'serving'), observedNode('b', 'serving')];
  await pass(20_000);
  expect(sent).toEqual(['one open divergence:a', 'one closed divergence:a']);
});

test.each<[string, Partial<ObservedGateway>]>([
  ['memory', { memoryPercent: 85 }],
  ['cpu', { cpuPercent: 90 }],
  ['latency', { requests: { total: 20, failed: 0, p95Ms: 5_001 } }],
])('%s is an alert of each gateway after a minute, and closed when it is over', async (kind, parts) => {
  unusual = parts;
  await pass(60_000);
  expect(sent).toEqual([]);
  await pass(5_000);
  expect(sent).toEqual([`one open ${kind}:one`, `two open ${kind}:two`]);
  unusual = {};
  await pass(20_000);
  expect(sent.slice(2)).toEqual([`one closed ${kind}:one`, `two closed ${kind}:two`]);
});

describe('when another gateway becomes leader', () => {
  beforeEach(async () => {
    nodes = [observedNode('a', 'down'), observedNode('b', 'serving')];
    await pass(20_000);
    leads = { one: false, two: true };
  });

  test('the open alert is not sent again, nor closed before the node was looked at', async () => {
    nodes = [observedNode('a', 'joining'), observedNode('b', 'joining')];
    await pass(60_000);
    nodes = [observedNode('a', 'down'), observedNode('b', 'serving')];
    await pass(60_000);
    expect(sent).toEqual(['one open node_down:a']);
  });

  test('the new leader closes it', async () => {
    nodes = [observedNode('a', 'serving'), observedNode('b', 'serving')];
    await pass(60_000);
    expect(sent).toEqual(['one open node_down:a', 'two closed node_down:a']);
  });
});

test('that PostgreSQL is away is sent without it, once, and closed when it is back', async () => {
  store.isAway = true;
  postgres = 'refused';
  await pass(60_000);
  expect(sent).toEqual(['one open postgresql_unreachable:one', 'two open postgresql_unreachable:two']);
  store.isAway = false;
  await pass(10_000);
  postgres = null;
  await pass(60_000);
  expect(sent.slice(2).toSorted()).toEqual([
    'one closed postgresql_unreachable:one',
    'two closed postgresql_unreachable:two',
  ]);
  expect([...store.open_.keys()]).toEqual([]);
});

describe('an event', () => {
  const event = (kind: RecordedEvent['kind'], detail: RecordedEvent['detail']): RecordedEvent => {
    return { at: 0, kind, level: 'warning', node: 'b', detail };
  };

  test('that is an alert by itself is sent', () => {
    watches['one']?.recorded(event('primary_changed', { before: 'a', generation: 2 }));
    watches['one']?.recorded(event('entry_quarantined', { lsn: 5 }));
    watches['one']?.recorded(event('shard_healed', { shard: 's' }));
    expect(sent).toEqual(['one event failover', 'one event quarantine', 'one event healed']);
  });

  test('that is none is not, nor the first primary of a cluster', () => {
    watches['one']?.recorded(event('node_serving', {}));
    watches['one']?.recorded(event('primary_changed', { before: null, generation: 1 }));
    expect(sent).toEqual([]);
  });
});

test('the leader deletes what is kept no longer, once an hour', async () => {
  await pass(60_000);
  expect(forgotten).toEqual({ one: 1 });
  clock.advance(3_600_000);
  await pass(10_000);
  expect(forgotten).toEqual({ one: 2 });
});

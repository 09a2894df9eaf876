// A promoted standby of PostgreSQL lacks the last entry: writes wait for an operator, and what was not lost is read as before.

import { expect, test } from 'vitest';
import type { FaultStep, Plan, Step } from './world/plan.ts';
import { World } from './world/world.ts';

const at = (atMs: number, step: Extract<Step, { client: number }>['request'], client = 0): Step => ({
  atMs,
  client,
  request: step,
});
const upsert = (name: string, value: number) =>
  ({ op: 'upsert', name, ids: ['a'], value, level: 'all', poison: null }) as const;
const create = (name: string, value: number) =>
  ({ op: 'create', name, getOrCreate: true, value, isFailing: false }) as const;
const read = (name: string) =>
  ({ op: 'get', name, ids: ['a'], consistency: 'eventual', withEmbeddings: true }) as const;

/** The standby receives nothing from 4,500 ms on, and is promoted half a second later. */
const PROMOTION: FaultStep = { fault: 'promote_standby', lostMs: 500, forMs: 200 };

/** A standby receives nothing for so long: a node that is blank begins again meanwhile. */
const LOST_MS = 800;

const CLIENT = { echoes: false, roams: false, first: 0 };

const PLAN: Plan = {
  seed: 1,
  nodes: ['n1', 'n2'],
  gateways: ['g1'],
  clients: [CLIENT, CLIENT],
  pollMs: 0,
  steps: [
    at(500, create('apples', 1)),
    at(600, create('pears', 2), 1),
    at(4_000, upsert('apples', 10)),
    at(4_000, upsert('pears', 11), 1),
    { atMs: 4_500, fault: PROMOTION },
    at(4_600, upsert('pears', 12), 1),
    at(8_000, read('apples')),
    at(8_500, upsert('apples', 13)),
  ],
};

test('a log that lost its last entry keeps every other collection readable, and refuses writes', async () => {
  const world = new World(PLAN, { traces: true });
  const { violation, observed, trace } = await world.run();
  expect(violation).toBeNull();
  expect(trace.some((line) => line.includes('log_rewound'))).toBe(true);
  const [apples, pears] = ['apples', 'pears'].map((name) => world.shardNamed(name)!);
  expect([world.exemptions.has(apples!), world.exemptions.has(pears!)]).toEqual([false, true]);
  const reads = observed.filter(({ effect, invokedAt }) => effect.does === 'read' && invokedAt >= 8_000);
  expect(reads.map(({ effect, outcome }) => ({ effect, outcome }))).toContainEqual({
    effect: { does: 'read', saw: 10 },
    outcome: 'ok',
  });
  expect(observed.find(({ effect }) => 'value' in effect && effect.value === 13)?.outcome).toBe('refused');
});

test('a promoted server that lacks only checkpoints gets them again, without another write', async () => {
  const lost: FaultStep = { fault: 'promote_standby', lostMs: 100, forMs: 200 };
  const steps = [
    at(500, create('apples', 1)),
    { atMs: 4_000, fault: { fault: 'slow_link', from: 'g1', to: 'n1', slowMs: 50, forMs: 1_000 } as const },
    at(4_000, upsert('apples', 10)),
    { atMs: 4_040, fault: lost },
  ];
  const world = new World({ ...PLAN, steps }, { traces: true });
  const { violation, trace } = await world.run();
  expect(violation).toBeNull();
  const { tables } = world.postgres.server;
  expect(trace.some((line) => line.endsWith('promoted with LSN 2 of 2'))).toBe(true);
  expect([...tables.nodes.values()].map((row) => row.checkpoint)).toEqual([2, 2]);
});

test('a node begins again once more when a promoted server lacks that it did', async () => {
  const steps = [
    at(500, create('apples', 1)),
    at(3_000, upsert('apples', 10)),
    { atMs: 6_000, fault: { fault: 'blank_node', node: 'n2', forMs: 100 } as const },
    { atMs: 6_090, fault: { fault: 'promote_standby', lostMs: LOST_MS, forMs: 200 } as const },
    at(6_090 + LOST_MS, read('apples')),
  ];
  const world = new World({ ...PLAN, steps }, { traces: true });
  const { violation, trace } = await world.run();
  expect(violation).toBeNull();
  expect(trace.filter((line) => line.includes('reset_node'))).toHaveLength(2);
});

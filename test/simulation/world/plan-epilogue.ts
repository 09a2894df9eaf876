// What some plans end with: after everything was repaired, one situation that is too rare beside other faults, because it
// takes many steps or a cluster that works.

import { BUSY_MS_MAX, busyMsFor } from './chroma-process.ts';
import { NAMES, type ClientStep, type FaultStep, type Plan, type Step } from './plan.ts';
import { Draw } from './plan-drawing.ts';

/** What happens, each so long after the one before, ms. */
type Scene = readonly (readonly [
  afterMs: number,
  happens: FaultStep | { readonly client: number; readonly request: ClientStep },
])[];

/** Until a repaired cluster has a leader, and its nodes serve, ms. */
const QUIET_MS = 6_000;
/** Values from here on are written in epilogues. */
const VALUES_FROM = 5_000;
const [NAME] = NAMES;

/** Adds an epilogue to some plans. */
export function withEpilogue(plan: Plan, random: () => number): Plan {
  const draw = new Draw(random);
  if (!draw.chance(0.4)) return plan;
  const scene = draw.of([isolation, longCall, replacement, staleRecords])(draw, plan);
  let atMs = (plan.steps.at(-1)?.atMs ?? 0) + 1;
  const steps: Step[] = [...plan.steps, { atMs, fault: { fault: 'repair' } }];
  atMs += QUIET_MS;
  for (const [afterMs, happens] of scene) {
    atMs += afterMs;
    steps.push('fault' in happens ? { atMs, fault: happens } : { atMs, ...happens });
  }
  return { ...plan, steps };
}

const created: ClientStep = {
  op: 'create',
  name: NAME,
  getOrCreate: true,
  value: VALUES_FROM,
  isFailing: false,
};

type Upsert = Extract<ClientStep, { op: 'add' | 'upsert' | 'update' }>;

function upsert(value: number, ids: readonly string[]): Upsert {
  return { op: 'upsert', name: NAME, ids, value, level: 'primary', poison: null };
}

/** Responses of PostgreSQL come later to the leader than another gateway takes to see that nothing moves. */
function isolation(draw: Draw): Scene {
  const slowMs = draw.ms(400, 1_900);
  const forMs = draw.ms(3_000, 8_000);
  return [
    [0, { fault: 'isolate_leader', slowMs, forMs }],
    [3 * slowMs + forMs, { fault: 'repair' }],
  ];
}

/** A node works on a large call for longer than silence is borne otherwise. */
function longCall(draw: Draw, { nodes, clients }: Plan): Scene {
  const client = draw.below(clients.length);
  const largeKiB = 100 + draw.below(120);
  const busyMs = BUSY_MS_MAX + Math.floor(busyMsFor(largeKiB) * (0.5 + 0.5 * draw.random()));
  return [
    [0, { client, request: created }],
    [1_000, { fault: 'busy_large', node: draw.of(nodes), busyMs }],
    [0, { client, request: { ...upsert(VALUES_FROM + 1, ['a']), largeKiB } }],
    [0, { client, request: upsert(VALUES_FROM + 2, ['a']) }],
    [busyMs + 2_000, { fault: 'repair' }],
  ];
}

/** While calls go to a node, another server takes over its address. */
function replacement(draw: Draw, { nodes, clients }: Plan): Scene {
  const client = draw.below(clients.length);
  const first = draw.of(nodes);
  const writes = Array.from(
    { length: 40 },
    (_, n) => [draw.ms(5, 150), { client, request: upsert(VALUES_FROM + 1 + n, ['a', 'b']) }] as const,
  );
  return [
    [0, { client, request: created }],
    [1_000, { fault: 'swap_connecting', nodes: [first, draw.of(nodes)], forMs: draw.ms(1_000, 6_000) }],
    ...writes,
    [4_000, { fault: 'repair' }],
  ];
}

/** Queries until they are completed from cached records, of which some change. */
function staleRecords(draw: Draw, { clients }: Plan): Scene {
  const all = ['a', 'b', 'c', 'd', 'e', 'f'];
  const query = (vectors: number): ClientStep => ({
    op: 'query',
    name: NAME,
    ids: null,
    consistency: draw.of(['session', 'strong'] as const),
    withEmbeddings: false,
    vectors,
  });
  const steps = clients.flatMap((_, client) => {
    const value = VALUES_FROM + 100 * client;
    const requests = [
      created,
      upsert(value + 1, all),
      ...Array.from({ length: 7 }, () => query(64)),
      ...[2, 3, 4].flatMap((n) => [upsert(value + n, [draw.of(all)]), query(1), query(1)]),
    ];
    return requests.map((request) => [0, { client, request }] as const);
  });
  return [...steps, [3_000, { fault: 'repair' }]];
}

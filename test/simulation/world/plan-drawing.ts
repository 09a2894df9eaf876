// Draws the plan of a seed: requests of clients and faults, each at its time (plan.ts).

import { BUSY_MS_MAX, CALL_FAULTS, type CallFault } from './chroma-process.ts';
import { NAMES, PLAN_BEGINS_MS, type ClientStep, type FaultStep, type Plan, type Step } from './plan.ts';

const IDS = ['a', 'b', 'c', 'd', 'e', 'f'] as const;

/** Draws from a generator of numbers in [0, 1). */
export class Draw {
  readonly random: () => number;

  constructor(random: () => number) {
    this.random = random;
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** Between the two, the smaller ones more often. */
  ms(from: number, to: number): number {
    return Math.round(from + (to - from) * this.random() ** 2);
  }

  /** One of the values, each with its weight. */
  weighted<T>(choices: readonly (readonly [number, T])[]): T {
    let left = this.random() * choices.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of choices) {
      left -= weight;
      if (left < 0) return value;
    }
    return choices.at(-1)![1];
  }
}

const MS_PER_STEP = 150;

/** How often a kind of request or fault comes in one plan, beside its weight. */
type Factors = ReadonlyMap<string, number>;

/**
 * Some kinds come more often and some not at all, others in each plan: what is rare beside everything else is frequent in some
 * plans, also together with something else that is rare.
 */
function drawFactors(
  draw: Draw,
  kinds: readonly string[],
  choices: readonly (readonly [number, number])[],
): Factors {
  return new Map(kinds.map((kind) => [kind, draw.weighted(choices)]));
}

const REQUEST_FACTORS = [
  [1, 0.25],
  [4, 1],
  [1, 4],
] as const;
const FAULT_FACTORS = [
  [4, 0],
  [4, 1],
  [2, 5],
] as const;

/** When steps begin: all over the plan, or many at a few moments. */
function drawTimes(draw: Draw, untilMs: number): () => number {
  const anywhere = (): number => PLAN_BEGINS_MS + draw.random() * (untilMs - PLAN_BEGINS_MS);
  if (!draw.chance(0.35)) return () => Math.round(anywhere());
  const moments = Array.from({ length: 3 + draw.below(8) }, anywhere);
  return () => Math.round(draw.of(moments)) + draw.ms(0, 120);
}

/** The plan of a seed, with about `length` steps. */
export function drawPlan(seed: number, length: number, random: () => number): Plan {
  const draw = new Draw(random);
  const nodes = ['n1', 'n2', 'n3'].slice(
    0,
    draw.weighted([
      [1, 1],
      [3, 2],
      [6, 3],
    ] as const),
  );
  const gateways = ['g1', 'g2'].slice(0, draw.chance(0.2) ? 1 : 2);
  const clients = Array.from({ length: 2 + draw.below(3) }, () => ({
    echoes: draw.chance(0.5),
    roams: draw.chance(0.4),
    first: draw.below(2),
  }));
  const pollMs = draw.chance(0.3) ? 0 : draw.ms(10, 60);
  const untilMs = PLAN_BEGINS_MS + length * MS_PER_STEP;
  const steps: Step[] = [];
  const at = drawTimes(draw, untilMs);
  for (const [client, name] of [...NAMES.entries()].slice(0, 2)) {
    const request = { op: 'create', name, getOrCreate: true, value: client, isFailing: false } as const;
    steps.push({ atMs: 500, client: client % clients.length, request });
  }
  const requests = requestChoices(draw);
  for (let value = 10; value < 10 + length; value++) {
    const [atMs, client] = [at(), draw.below(clients.length)];
    for (const request of requests(value)) steps.push({ atMs, client, request });
  }
  const faults = faultChoices(draw, { nodes, gateways, clients: clients.length });
  const count = draw.below(1 + Math.ceil(length / 5));
  for (let i = 0; i < count; i++) steps.push({ atMs: at(), fault: faults() });
  steps.sort((a, b) => a.atMs - b.atMs);
  return { seed, nodes, gateways, clients, pollMs, steps };
}

const OPERATIONS = [
  [8, 'upsert'],
  [4, 'add'],
  [3, 'update'],
  [3, 'delete'],
  [3, 'delete_where'],
  [8, 'get'],
  [2, 'query'],
  [1.2, 'create'],
  [0.5, 'drop'],
  [0.5, 'modify'],
  [0.4, 'rename'],
  [0.5, 'list'],
] as const;

/** The requests that a client sends one after the other. */
function requestChoices(draw: Draw): (value: number) => ClientStep[] {
  const kinds = OPERATIONS.map(([, op]) => op);
  const factors = drawFactors(draw, kinds, REQUEST_FACTORS);
  const operations = OPERATIONS.map(([weight, op]) => [weight * factors.get(op)!, op] as const);
  const names = draw.chance(0.3) ? NAMES.slice(0, 1) : NAMES;
  return (value) => {
    const request = drawRequest(draw, value, { op: draw.weighted(operations), names });
    if (request.op === 'create')
      return [request, ...(draw.chance(0.5) ? [drawRead(draw, request.name)] : [])];
    const isRepeated = (request.op === 'get' || request.op === 'query') && draw.chance(0.3);
    return Array.from({ length: isRepeated ? 2 + draw.below(5) : 1 }, () => request);
  };
}

type Operation = (typeof OPERATIONS)[number][1];

function drawRequest(
  draw: Draw,
  value: number,
  { op, names }: { readonly op: Operation; readonly names: readonly string[] },
): ClientStep {
  const name = draw.weighted(names.map((each, i) => [[6, 3, 1][i] ?? 0, each] as const));
  const ids = IDS.filter(() => draw.chance(0.3));
  const some = ids.length === 0 ? [draw.of(IDS)] : ids;
  const level = draw.weighted([
    [6, 'primary'],
    [1, 'log'],
    [1, 'quorum'],
    [1, 'all'],
  ] as const);
  switch (op) {
    case 'add':
    case 'upsert':
    case 'update': {
      const poison = draw.weighted([
        [80, null],
        [1, 'deadly'],
        [1, 'refused'],
        [2, 'picky'],
      ] as const);
      return { op, name, ids: some, value, level, poison };
    }
    case 'delete':
      return { op, name, ids: some, level };
    case 'delete_where':
      return { op, name, color: draw.of(['red', 'green'] as const) };
    case 'get':
      return { ...drawRead(draw, name), ids: draw.chance(0.5) ? some : null };
    case 'query':
      return { ...drawRead(draw, name), op, withEmbeddings: draw.chance(0.3) };
    case 'create':
      return { op, name: draw.of(NAMES), getOrCreate: draw.chance(0.5), value, isFailing: draw.chance(0.2) };
    case 'rename':
      return { op, name, to: draw.of(NAMES) };
    case 'modify':
      return { op, name, value };
    case 'drop':
      return { op, name };
    case 'list':
      return { op };
  }
}

/** A read of everything in a collection. */
function drawRead(draw: Draw, name: string): Extract<ClientStep, { op: 'get' | 'query' }> {
  const consistency = draw.weighted([
    [4, 'session'],
    [3, 'strong'],
    [1, 'eventual'],
    [1, 'bounded'],
  ] as const);
  return { op: 'get', name, ids: null, consistency, withEmbeddings: true };
}

type FaultChoice = readonly [weight: number, kind: string, draw: (at: Target) => FaultStep];

/** What the next fault is about. */
interface Target {
  readonly draw: Draw;
  readonly node: string;
  readonly nodes: readonly string[];
  readonly gateway: string;
  readonly link: readonly [string, string];
  readonly forMs: number;
  readonly client: number;
  /** A value that nothing else writes. */
  readonly nextValue: () => number;
}

const STATEMENT_KINDS = ['append', 'checkpoint', 'decide', 'lease', 'step', 'any'] as const;

/** The same fault so many times. */
function repeated(draw: Draw, times: number): CallFault[] {
  const how = draw.of(CALL_FAULTS);
  return Array.from({ length: times }, () => how);
}

const NODE_FAULTS: readonly FaultChoice[] = [
  [3, 'kill', ({ node, forMs }) => ({ fault: 'kill_node', node, forMs })],
  [1, 'poison', ({ node, forMs }) => ({ fault: 'poison_node', node, forMs })],
  [0.3, 'blank', ({ node, forMs }) => ({ fault: 'blank_node', node, forMs })],
  [
    1.5,
    'power',
    ({ draw, node, forMs }) => ({ fault: 'power_cut', node, unsyncedMs: draw.ms(1, 4_000), forMs }),
  ],
  [
    0.7,
    'power of all',
    ({ draw, forMs }) => ({ fault: 'power_cut_all', unsyncedMs: draw.ms(1, 3_000), forMs }),
  ],
  [1, 'hang', ({ draw, node }) => ({ fault: 'hang_node', node, forMs: draw.ms(100, 15_000) })],
  [
    1,
    'busy',
    ({ draw, node }) => ({
      fault: 'busy_node',
      node,
      busyMs: draw.chance(0.5) ? draw.ms(4_700, BUSY_MS_MAX) : draw.ms(800, BUSY_MS_MAX),
    }),
  ],
  [2, 'reset', ({ node }) => ({ fault: 'reset_node', node, forMs: 0 })],
  [1, 'slow', ({ draw, node, forMs }) => ({ fault: 'slow_node', node, slowMs: draw.ms(20, 3_000), forMs })],
  [1, 'writes', ({ draw, node, forMs }) => ({ fault: 'slow_writes', node, slowMs: draw.ms(5, 800), forMs })],
  [1, 'reads', ({ draw, node, forMs }) => ({ fault: 'slow_reads', node, slowMs: draw.ms(2, 400), forMs })],
  [
    1,
    'swap',
    ({ draw, node, nodes, forMs }) => ({ fault: 'swap_nodes', nodes: [node, draw.of(nodes)], forMs }),
  ],
  [3, 'calls', ({ draw, node }) => ({ fault: 'calls', node, hows: repeated(draw, 1 + draw.below(3)) })],
  // More often than an entry is tried: the node fails it for good.
  [
    1,
    'calls for good',
    ({ draw, node }) => ({ fault: 'calls', node, hows: repeated(draw, 8 + draw.below(20)) }),
  ],
  [
    1,
    'mixed calls',
    ({ draw, node }) => ({
      fault: 'calls',
      node,
      hows: Array.from({ length: 2 + draw.below(6) }, () => draw.of(CALL_FAULTS)),
    }),
  ],
];

const OTHER_FAULTS: readonly FaultChoice[] = [
  [
    2,
    'cut',
    ({ draw, link: [from, to], forMs }) => ({ fault: 'cut', from, to, isOneWay: draw.chance(0.5), forMs }),
  ],
  [
    1,
    'slow link',
    ({ draw, link: [from, to], forMs }) => ({
      fault: 'slow_link',
      from,
      to,
      slowMs: draw.ms(100, 1_500),
      forMs,
    }),
  ],
  [1, 'stop postgres', ({ draw }) => ({ fault: 'stop_postgres', forMs: draw.ms(50, 25_000) })],
  [
    1,
    'stop postgres after',
    ({ draw }) => ({
      fault: 'stop_postgres_after',
      kind: draw.of(STATEMENT_KINDS),
      forMs: draw.ms(50, 15_000),
    }),
  ],
  [0.5, 'slow postgres', ({ forMs }) => ({ fault: 'slow_postgres', forMs })],
  [
    1,
    'promote standby',
    ({ draw, forMs }) => ({
      fault: 'promote_standby',
      lostMs: draw.chance(0.3) ? 0 : draw.ms(1, 1_500),
      forMs,
    }),
  ],
  [0.4, 'disaster', ({ draw, forMs }) => ({ fault: 'disaster', lostMs: draw.ms(200, 3_000), forMs })],
  [
    3,
    'statements',
    ({ draw }) => ({
      fault: 'statements',
      kind: draw.of(STATEMENT_KINDS),
      how: draw.of(['lose_statement', 'lose_response', 'late'] as const),
      times: 1 + draw.below(3),
    }),
  ],
  [2, 'kill gateway', ({ gateway, forMs }) => ({ fault: 'kill_gateway', gateway, forMs })],
  [1, 'stop gateway', ({ gateway, forMs }) => ({ fault: 'stop_gateway', gateway, forMs })],
  [2, 'freeze', ({ draw, gateway }) => ({ fault: 'freeze_gateway', gateway, forMs: draw.ms(100, 6_000) })],
  [
    1,
    'freeze connecting',
    ({ draw, gateway, node }) => ({
      fault: 'freeze_connecting',
      gateway,
      node,
      forMs: draw.ms(2_500, 6_000),
    }),
  ],
  [
    1,
    'isolate',
    ({ draw }) => ({ fault: 'isolate_leader', slowMs: draw.ms(200, 1_900), forMs: draw.ms(3_000, 8_000) }),
  ],
  [0.7, 'drain', ({ node, forMs }) => ({ fault: 'drain', node, forMs })],
  [0.7, 'promote', ({ node }) => ({ fault: 'promote', node })],
  [
    2,
    'suspect',
    ({ draw, node, client, nextValue }) => {
      const name = draw.of(NAMES);
      const write = (): ClientStep => ({
        op: 'upsert',
        name,
        ids: [draw.of(IDS)],
        value: nextValue(),
        level: 'primary',
        poison: null,
      });
      const writes = Array.from({ length: draw.chance(0.5) ? 5 + draw.below(15) : 0 }, write);
      return { fault: 'suspect', node, name, isWrong: draw.chance(0.7), writes, client };
    },
  ],
];

const FAULTS: readonly FaultChoice[] = [...NODE_FAULTS, ...OTHER_FAULTS];

/** Values from here on are written by faults. */
const FAULT_VALUES_FROM = 1_000;

function faultChoices(
  draw: Draw,
  {
    nodes,
    gateways,
    clients,
  }: { readonly nodes: readonly string[]; readonly gateways: readonly string[]; readonly clients: number },
): () => FaultStep {
  const kinds = FAULTS.map(([, kind]) => kind);
  const factors = drawFactors(draw, kinds, FAULT_FACTORS);
  const choices = FAULTS.map(([weight, kind, choose]) => [weight * factors.get(kind)!, choose] as const);
  let lastValue = FAULT_VALUES_FROM;
  const nextValue = (): number => (lastValue += 1);
  return () => {
    const [node, gateway, client] = [draw.of(nodes), draw.of(gateways), draw.below(clients)];
    const link = draw.of([
      [gateway, node],
      [node, gateway],
      [gateway, 'postgres'],
      ['postgres', gateway],
    ] as const);
    const forMs = draw.ms(50, 6_000);
    return draw.weighted(choices)({ draw, node, nodes, gateway, link, forMs, client, nextValue });
  };
}

// What happens in one run, drawn from its seed before it begins: requests of clients and faults, each at its time. A plan
// is plain data, so that a failing one can be shrunk and printed.

import { CALL_FAULTS, type CallFault } from './chroma-process.ts';
import type { StatementFault } from './postgres-link.ts';

export type AckLevelName = 'log' | 'primary' | 'quorum' | 'all';
export type ConsistencyName = 'session' | 'strong' | 'eventual' | 'bounded';

/** A request of a client. `value` is unique in the run; what is written says so in every column. */
export type ClientStep =
  | { readonly op: 'create'; readonly name: string; readonly getOrCreate: boolean; readonly value: number }
  | { readonly op: 'drop'; readonly name: string }
  | { readonly op: 'modify'; readonly name: string; readonly value: number }
  | { readonly op: 'rename'; readonly name: string; readonly to: string }
  | {
      readonly op: 'add' | 'upsert' | 'update';
      readonly name: string;
      readonly ids: readonly string[];
      readonly value: number;
      readonly level: AckLevelName;
      /** Deadly: it kills each server; refused: no server takes it. */
      readonly poison: 'deadly' | 'refused' | null;
    }
  | {
      readonly op: 'delete';
      readonly name: string;
      readonly ids: readonly string[];
      readonly level: AckLevelName;
    }
  | { readonly op: 'delete_where'; readonly name: string; readonly color: Color }
  | {
      readonly op: 'get' | 'query';
      readonly name: string;
      readonly ids: readonly string[] | null;
      readonly consistency: ConsistencyName;
    }
  | { readonly op: 'list' };

export type FaultStep =
  | {
      readonly fault: 'kill_node' | 'poison_node' | 'blank_node';
      readonly node: string;
      readonly forMs: number;
    }
  | {
      readonly fault: 'power_cut';
      readonly node: string;
      readonly unsyncedMs: number;
      readonly forMs: number;
    }
  | { readonly fault: 'hang_node' | 'reset_node'; readonly node: string; readonly forMs: number }
  | { readonly fault: 'slow_node'; readonly node: string; readonly slowMs: number; readonly forMs: number }
  | { readonly fault: 'swap_nodes'; readonly nodes: readonly [string, string]; readonly forMs: number }
  | { readonly fault: 'calls'; readonly node: string; readonly how: CallFault; readonly times: number }
  | {
      readonly fault: 'cut';
      readonly from: string;
      readonly to: string;
      readonly isOneWay: boolean;
      readonly forMs: number;
    }
  | {
      readonly fault: 'slow_link';
      readonly from: string;
      readonly to: string;
      readonly slowMs: number;
      readonly forMs: number;
    }
  /** The next mutating call of a client keeps the process from responding to anything. */
  | { readonly fault: 'busy_node'; readonly node: string; readonly busyMs: number }
  /** Reads are executed at once, and their responses come late. */
  | { readonly fault: 'slow_reads'; readonly node: string; readonly slowMs: number; readonly forMs: number }
  /** Every node loses what it has stored in the last `unsyncedMs`. */
  | { readonly fault: 'power_cut_all'; readonly unsyncedMs: number; readonly forMs: number }
  | { readonly fault: 'stop_postgres' | 'slow_postgres'; readonly forMs: number }
  /** PostgreSQL stops once it has executed the next statement of the kind, before the response. */
  | { readonly fault: 'stop_postgres_after'; readonly kind: StatementKind; readonly forMs: number }
  | { readonly fault: 'promote_standby'; readonly lostMs: number; readonly forMs: number }
  | {
      readonly fault: 'statements';
      readonly kind: StatementKind;
      readonly how: StatementFault;
      readonly times: number;
    }
  | { readonly fault: 'kill_gateway' | 'stop_gateway'; readonly gateway: string; readonly forMs: number }
  | { readonly fault: 'freeze_gateway'; readonly gateway: string; readonly forMs: number }
  /** The gateway is frozen while it opens a connection, over which the call of a client then goes. */
  | {
      readonly fault: 'freeze_connecting';
      readonly gateway: string;
      readonly node: string;
      readonly forMs: number;
    }
  /** PostgreSQL is ever further from the gateway that leads, while nodes fail its calls. */
  | { readonly fault: 'isolate_leader'; readonly slowMs: number; readonly forMs: number }
  /** Every gateway ends, and a standby of PostgreSQL is promoted that lacks entries which nodes have applied. */
  | { readonly fault: 'disaster'; readonly lostMs: number; readonly forMs: number }
  | { readonly fault: 'drain'; readonly node: string; readonly forMs: number }
  | { readonly fault: 'promote'; readonly node: string }
  | {
      readonly fault: 'suspect';
      readonly node: string;
      readonly name: string;
      /** The copy has other content than the log says, as a comparison would have found. */
      readonly isWrong: boolean;
    };

export type StatementKind = 'append' | 'checkpoint' | 'decide' | 'lease' | 'any';
export type Color = 'red' | 'green';

export type Step =
  | { readonly atMs: number; readonly client: number; readonly request: ClientStep }
  | { readonly atMs: number; readonly fault: FaultStep };

export interface ClientPlan {
  /** Whether it sends x-polychrome-lsn. */
  readonly echoes: boolean;
  /** Whether each request goes to another gateway than the one before. */
  readonly roams: boolean;
  /** The gateway of its first request. */
  readonly first: number;
}

export interface Plan {
  readonly seed: number;
  readonly nodes: readonly string[];
  readonly gateways: readonly string[];
  readonly clients: readonly ClientPlan[];
  /** How long a gateway's question for the state of the cluster travels, ms: the longer, the older what gateways know. */
  readonly pollMs: number;
  /** In the order of their times. */
  readonly steps: readonly Step[];
}

/** Names of collections. */
export const NAMES = ['apples', 'pears', 'plums'] as const;
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

export function colorOf(value: number): Color {
  return value % 2 === 0 ? 'red' : 'green';
}

/** The time within which the steps of a plan begin, ms; it takes the first clients until a leader serves. */
export const PLAN_BEGINS_MS = 3_000;
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
    const request = { op: 'create', name, getOrCreate: true, value: client } as const;
    steps.push({ atMs: 500, client: client % clients.length, request });
  }
  const requests = requestChoices(draw);
  for (let value = 10; value < 10 + length; value++)
    steps.push({ atMs: at(), client: draw.below(clients.length), request: requests(value) });
  const faults = faultChoices(draw, nodes, gateways);
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

function requestChoices(draw: Draw): (value: number) => ClientStep {
  const kinds = OPERATIONS.map(([, op]) => op);
  const factors = drawFactors(draw, kinds, REQUEST_FACTORS);
  const operations = OPERATIONS.map(([weight, op]) => [weight * factors.get(op)!, op] as const);
  const names = draw.chance(0.3) ? NAMES.slice(0, 1) : NAMES;
  return (value) => drawRequest(draw, value, { op: draw.weighted(operations), names });
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
      ] as const);
      return { op, name, ids: some, value, level, poison };
    }
    case 'delete':
      return { op, name, ids: some, level };
    case 'delete_where':
      return { op, name, color: draw.of(['red', 'green'] as const) };
    case 'get':
    case 'query': {
      const consistency = draw.weighted([
        [4, 'session'],
        [3, 'strong'],
        [1, 'eventual'],
        [1, 'bounded'],
      ] as const);
      return { op, name, ids: op === 'get' && draw.chance(0.5) ? some : null, consistency };
    }
    case 'create':
      return { op, name, getOrCreate: draw.chance(0.5), value };
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

type FaultChoice = readonly [weight: number, kind: string, draw: (at: Target) => FaultStep];

/** What the next fault is about. */
interface Target {
  readonly draw: Draw;
  readonly node: string;
  readonly nodes: readonly string[];
  readonly gateway: string;
  readonly link: readonly [string, string];
  readonly forMs: number;
}

const STATEMENT_KINDS = ['append', 'checkpoint', 'decide', 'lease', 'any'] as const;

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
  [1, 'busy', ({ draw, node }) => ({ fault: 'busy_node', node, busyMs: draw.ms(800, 4_500) })],
  [2, 'reset', ({ node }) => ({ fault: 'reset_node', node, forMs: 0 })],
  [1, 'slow', ({ draw, node, forMs }) => ({ fault: 'slow_node', node, slowMs: draw.ms(20, 3_000), forMs })],
  [1, 'reads', ({ draw, node, forMs }) => ({ fault: 'slow_reads', node, slowMs: draw.ms(2, 400), forMs })],
  [
    1,
    'swap',
    ({ draw, node, nodes, forMs }) => ({ fault: 'swap_nodes', nodes: [node, draw.of(nodes)], forMs }),
  ],
  [
    3,
    'calls',
    ({ draw, node }) => ({ fault: 'calls', node, how: draw.of(CALL_FAULTS), times: 1 + draw.below(3) }),
  ],
  // More often than an entry is tried: the node fails it for good.
  [
    1,
    'calls for good',
    ({ draw, node }) => ({ fault: 'calls', node, how: draw.of(CALL_FAULTS), times: 8 + draw.below(20) }),
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
      how: draw.of(['lose_statement', 'lose_response'] as const),
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
    ({ draw, node }) => ({ fault: 'suspect', node, name: draw.of(NAMES), isWrong: draw.chance(0.7) }),
  ],
];

const FAULTS: readonly FaultChoice[] = [...NODE_FAULTS, ...OTHER_FAULTS];

function faultChoices(draw: Draw, nodes: readonly string[], gateways: readonly string[]): () => FaultStep {
  const kinds = FAULTS.map(([, kind]) => kind);
  const factors = drawFactors(draw, kinds, FAULT_FACTORS);
  const choices = FAULTS.map(([weight, kind, choose]) => [weight * factors.get(kind)!, choose] as const);
  return () => {
    const [node, gateway] = [draw.of(nodes), draw.of(gateways)];
    const link = draw.of([
      [gateway, node],
      [node, gateway],
      [gateway, 'postgres'],
      ['postgres', gateway],
    ] as const);
    return draw.weighted(choices)({ draw, node, nodes, gateway, link, forMs: draw.ms(50, 6_000) });
  };
}

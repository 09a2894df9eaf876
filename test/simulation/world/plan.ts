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
  | { readonly fault: 'stop_postgres' | 'slow_postgres'; readonly forMs: number }
  | { readonly fault: 'promote_standby'; readonly lostMs: number; readonly forMs: number }
  | {
      readonly fault: 'statements';
      readonly kind: StatementKind;
      readonly how: StatementFault;
      readonly times: number;
    }
  | { readonly fault: 'kill_gateway' | 'stop_gateway'; readonly gateway: string; readonly forMs: number }
  | { readonly fault: 'freeze_gateway'; readonly gateway: string; readonly forMs: number }
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

export interface Plan {
  readonly seed: number;
  readonly nodes: readonly string[];
  readonly gateways: readonly string[];
  readonly clients: number;
  /** Clients that echo x-polychrome-lsn. */
  readonly echoing: readonly boolean[];
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
  const clients = 2 + draw.below(3);
  const echoing = Array.from({ length: clients }, () => draw.chance(0.5));
  const untilMs = PLAN_BEGINS_MS + length * MS_PER_STEP;
  const steps: Step[] = [];
  const at = (): number => Math.round(PLAN_BEGINS_MS + draw.random() * (untilMs - PLAN_BEGINS_MS));
  for (const [client, name] of [...NAMES.entries()].slice(0, 2)) {
    const request = { op: 'create', name, getOrCreate: true, value: client } as const;
    steps.push({ atMs: 500, client: client % clients, request });
  }
  for (let value = 10; value < 10 + length; value++)
    steps.push({ atMs: at(), client: draw.below(clients), request: drawRequest(draw, value) });
  const faults = draw.below(1 + Math.ceil(length / 5));
  for (let i = 0; i < faults; i++) steps.push({ atMs: at(), fault: drawFault(draw, nodes, gateways) });
  steps.sort((a, b) => a.atMs - b.atMs);
  return { seed, nodes, gateways, clients, echoing, steps };
}

function drawRequest(draw: Draw, value: number): ClientStep {
  const name = draw.weighted([
    [6, NAMES[0]],
    [3, NAMES[1]],
    [1, NAMES[2]],
  ]);
  const ids = IDS.filter(() => draw.chance(0.3));
  const some = ids.length === 0 ? [draw.of(IDS)] : ids;
  const level = draw.weighted([
    [6, 'primary'],
    [1, 'log'],
    [1, 'quorum'],
    [1, 'all'],
  ] as const);
  const op = draw.weighted([
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

function drawFault(draw: Draw, nodes: readonly string[], gateways: readonly string[]): FaultStep {
  const node = draw.of(nodes);
  const gateway = draw.of(gateways);
  const forMs = draw.ms(50, 6_000);
  const [from, to] = draw.of([
    [gateway, node],
    [node, gateway],
    [gateway, 'postgres'],
    ['postgres', gateway],
  ] as const);
  return draw.weighted<() => FaultStep>([
    [3, () => ({ fault: 'kill_node', node, forMs })],
    [1, () => ({ fault: 'poison_node', node, forMs })],
    [0.3, () => ({ fault: 'blank_node', node, forMs })],
    [1.5, () => ({ fault: 'power_cut', node, unsyncedMs: draw.ms(1, 4_000), forMs })],
    [1, () => ({ fault: 'hang_node', node, forMs: draw.ms(100, 15_000) })],
    [2, () => ({ fault: 'reset_node', node, forMs: 0 })],
    [1, () => ({ fault: 'slow_node', node, slowMs: draw.ms(20, 3_000), forMs })],
    [1, () => ({ fault: 'swap_nodes', nodes: [node, draw.of(nodes)], forMs })],
    [3, () => ({ fault: 'calls', node, how: draw.of(CALL_FAULTS), times: 1 + draw.below(3) })],
    // More often than an entry is tried: the node fails it for good.
    [1, () => ({ fault: 'calls', node, how: draw.of(CALL_FAULTS), times: 8 + draw.below(20) })],
    [2, () => ({ fault: 'cut', from, to, isOneWay: draw.chance(0.5), forMs })],
    [1, () => ({ fault: 'slow_link', from, to, slowMs: draw.ms(100, 1_500), forMs })],
    [1, () => ({ fault: 'stop_postgres', forMs: draw.ms(50, 25_000) })],
    [0.5, () => ({ fault: 'slow_postgres', forMs })],
    [1, () => ({ fault: 'promote_standby', lostMs: draw.chance(0.3) ? 0 : draw.ms(1, 1_500), forMs })],
    [
      3,
      () => ({
        fault: 'statements',
        kind: draw.of(['append', 'checkpoint', 'decide', 'lease', 'any'] as const),
        how: draw.of(['lose_statement', 'lose_response'] as const),
        times: 1 + draw.below(3),
      }),
    ],
    [2, () => ({ fault: 'kill_gateway', gateway, forMs })],
    [1, () => ({ fault: 'stop_gateway', gateway, forMs })],
    [2, () => ({ fault: 'freeze_gateway', gateway, forMs: draw.ms(100, 6_000) })],
    [0.7, () => ({ fault: 'drain', node, forMs })],
    [0.7, () => ({ fault: 'promote', node })],
    [2, () => ({ fault: 'suspect', node, name: draw.of(NAMES), isWrong: draw.chance(0.7) })],
  ])();
}

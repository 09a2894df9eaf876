// What happens in one run: requests of clients and faults, each at its time. A plan is plain data, so that a failing one
// can be shrunk and printed.

import type { CallFault } from './chroma-process.ts';
import type { StatementFault } from './postgres-link.ts';

export type AckLevelName = 'log' | 'primary' | 'quorum' | 'all';
export type ConsistencyName = 'session' | 'strong' | 'eventual' | 'bounded';

/** A request of a client. `value` is unique in the run; what is written says so in every column. */
export type ClientStep =
  | {
      readonly op: 'create';
      readonly name: string;
      readonly getOrCreate: boolean;
      readonly value: number;
      /** Each server creates the collection, and responds with an error. */
      readonly isFailing: boolean;
    }
  | { readonly op: 'drop'; readonly name: string }
  | { readonly op: 'modify'; readonly name: string; readonly value: number }
  | { readonly op: 'rename'; readonly name: string; readonly to: string }
  | {
      readonly op: 'add' | 'upsert' | 'update';
      readonly name: string;
      readonly ids: readonly string[];
      readonly value: number;
      readonly level: AckLevelName;
      readonly poison: Poison | null;
      /** What each document is padded to, KiB. */
      readonly largeKiB?: number;
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
      /** Queries without embeddings can be completed from cached records. */
      readonly withEmbeddings: boolean;
      /** A query for so many vectors; each of them finds every record. */
      readonly vectors?: number;
    }
  | { readonly op: 'list' };

/** Deadly: it kills each server; refused: no server takes it; picky: until everything is repaired, one server takes it. */
export type Poison = 'deadly' | 'refused' | 'picky';

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
  /** When a connection is opened to the first one for calls of clients, the two change places, and no connection ends. */
  | { readonly fault: 'swap_connecting'; readonly nodes: readonly [string, string]; readonly forMs: number }
  /** Everything that was inflicted before is repaired. */
  | { readonly fault: 'repair' }
  /** The next mutating calls of clients fail so. */
  | { readonly fault: 'calls'; readonly node: string; readonly hows: readonly CallFault[] }
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
  /** As busy_node, the next large call. */
  | { readonly fault: 'busy_large'; readonly node: string; readonly busyMs: number }
  /** Reads are executed at once, and their responses come late. */
  | { readonly fault: 'slow_reads'; readonly node: string; readonly slowMs: number; readonly forMs: number }
  /** Mutating calls of clients are executed late, and reads at once. */
  | { readonly fault: 'slow_writes'; readonly node: string; readonly slowMs: number; readonly forMs: number }
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
      /** What a client writes while a new copy is made. */
      readonly writes: readonly ClientStep[];
      readonly client: number;
    };

export type StatementKind = 'append' | 'checkpoint' | 'decide' | 'lease' | 'step' | 'any';
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

export function colorOf(value: number): Color {
  return value % 2 === 0 ? 'red' : 'green';
}

/** The time within which the steps of a plan begin, ms; it takes the first clients until a leader serves. */
export const PLAN_BEGINS_MS = 3_000;

// What a drill has seen: the requests it sent with their responses, and what the nodes and the gateway showed meanwhile.

import { createHash } from 'node:crypto';
import type { Content, Ledger } from './node-files.ts';

export type Operation = 'add' | 'upsert' | 'update' | 'delete';

/** What a response promises: `pending` is a 503 that names the LSN of a durable entry; `unknown` is no response. */
export type Outcome = 'applied' | 'refused' | 'pending' | 'unknown';

/** `either`: the server decides; whatever it is, it must be the same on every node. */
export type Expectation = 'applied' | 'refused' | 'either';

export interface SentWrite {
  readonly collection: string;
  readonly operation: Operation;
  /** Fingerprints of the ids that the write changes when it is applied. */
  readonly ids: readonly string[];
  readonly expected: Expectation;
  readonly outcome: Outcome;
  /** Status and the beginning of the body; 0 without a response. */
  readonly response: string;
  readonly tookMs: number;
}

export interface SentRead {
  readonly what: string;
  /** Null when the response was right. */
  readonly fault: string | null;
  readonly tookMs: number;
}

/** What /status said about one node, at one moment. */
export interface NodeSample {
  readonly node: string;
  readonly state: string;
  readonly reason: string | null;
  readonly pid: number | null;
}

export interface StatusSample {
  readonly primary: string | null;
  readonly epoch: number | null;
  readonly nodes: readonly NodeSample[];
}

/** How the cluster stood when everything had settled, or when the time for that was over. */
export interface Ending {
  readonly head: number;
  readonly checkpoints: ReadonlyMap<string, number>;
  readonly states: ReadonlyMap<string, string>;
  /** Names of collections that are suspect, by node. */
  readonly suspects: ReadonlyMap<string, ReadonlySet<string>>;
  /** Why the files of a node could not be read, by node; nothing is known of what it holds. */
  readonly unreadable: ReadonlyMap<string, string>;
}

export interface History {
  /** The hostile load, its preparation included. */
  readonly load: readonly SentWrite[];
  readonly loadReads: readonly SentRead[];
  /** Paced writes to another collection. */
  readonly otherWrites: readonly SentWrite[];
  /** Paced reads of an old collection. */
  readonly otherReads: readonly SentRead[];
  readonly samples: readonly StatusSample[];
  readonly ending: Ending;
  readonly ledgers: ReadonlyMap<string, Ledger>;
  /** By node, then by collection. */
  readonly contents: ReadonlyMap<string, ReadonlyMap<string, Content>>;
  /** Largest resident set of the gateway during the drill; null where it cannot be measured. */
  readonly rssMaxBytes: number | null;
  /** From the end of the load to the first acknowledged write to another collection; null when there was none. */
  readonly flowMs: number | null;
}

/** Stands for an id of any length: 64 bits suffice to tell the ids of one drill apart. */
export function fingerprint(id: string): string {
  return createHash('sha1').update(id).digest('hex').slice(0, 16);
}

/** What the response to a write promises. */
export function outcomeOf(status: number, text: string): Outcome {
  if (status === 0) return 'unknown';
  if (status < 300) return 'applied';
  return status === 503 && /durable at LSN \d+/.test(text) ? 'pending' : 'refused';
}

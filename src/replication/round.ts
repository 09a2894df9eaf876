// Planning a round: the set of calls an applier makes between two checkpoints. Pure.
//
// I4: a round has at most one call per shard in flight, and repeating an interrupted round is exact however the
// repeated round is cut: all entries of one shard in it are of one kind and touch disjoint ids. A call too large for a
// node to do in about a second is sent in parts, in order.

import { CallMerger, type MergeLimits } from '../chroma/batch/merge.ts';
import { workOf } from '../chroma/batch/split.ts';
import type { Entry } from '../log/entry.ts';
import { toOperation } from './entry-operation.ts';
import { type Operation, type RecordOperation } from '../chroma/protocol/operation.ts';

export interface ShardCall {
  readonly shard: string;
  readonly members: readonly { readonly entry: Entry; readonly operation: RecordOperation }[];
  readonly merger: CallMerger;
}

export type Round =
  | { readonly type: 'records'; readonly calls: readonly ShardCall[]; readonly upTo: number }
  /** An entry that makes a round of its own: a schema entry, a conditional delete. */
  | { readonly type: 'alone'; readonly entry: Entry; readonly operation: Operation; readonly upTo: number };

export interface RoundOptions {
  readonly limits: MergeLimits;
  /** Work of a round (chroma/batch/split.ts): a write waits for the round before its own. */
  readonly workMax: number;
  /** The node skips the entry: it makes no call. */
  readonly skips: (entry: Entry) => boolean;
  /** The entry has failed before: it makes a call, and a round, of its own. */
  readonly isolates: (entry: Entry) => boolean;
}

/** The longest round that `entries` (contiguous, not empty) begin with. */
export function planRound(entries: readonly Entry[], options: RoundOptions): Round {
  const { limits, workMax, skips, isolates } = options;
  const calls = new Map<
    string,
    { members: { entry: Entry; operation: RecordOperation }[]; merger: CallMerger }
  >();
  let upTo = 0;
  let work = 0;
  for (const entry of entries) {
    if (skips(entry)) {
      upTo = entry.lsn;
      continue;
    }
    const operation = toOperation(entry);
    if (operation.type !== 'records' || operation.call.conditional) {
      if (upTo === 0) return { type: 'alone', entry, operation, upTo: entry.lsn };
      break;
    }
    const isIsolated = isolates(entry);
    work += workOf(operation.call);
    if ((work > workMax || isIsolated) && upTo > 0) break;
    let call = calls.get(operation.shard);
    if (call === undefined) {
      call = { members: [], merger: new CallMerger(limits) };
      calls.set(operation.shard, call);
    }
    if (!call.merger.tryAdd(operation.call)) break;
    call.members.push({ entry, operation });
    upTo = entry.lsn;
    if (isIsolated) break;
  }
  const planned = [...calls].map(([shard, { members, merger }]) => ({ shard, members, merger }));
  return { type: 'records', calls: planned.filter((call) => call.members.length > 0), upTo };
}

/** Both halves of a call whose merged form failed: the culprit is in one of them. */
export function halves(call: ShardCall, limits: MergeLimits): ShardCall[] {
  const middle = Math.ceil(call.members.length / 2);
  return [call.members.slice(0, middle), call.members.slice(middle)].map((members) => {
    const merger = new CallMerger(limits);
    for (const { operation } of members) merger.tryAdd(operation.call);
    return { shard: call.shard, members, merger };
  });
}

// Deletes every record of a shard on one node before its collection is dropped.

import { deleteByIdsBodies, type MergeLimits } from '../chroma/batch/merge.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import { getRecordsRequest, recordsRequest } from '../chroma/protocol/node-requests.ts';
import { hasNoEffect, isSuccess } from '../chroma/protocol/response-effect.ts';
import type { Term } from '../coordination/term.ts';
import type { AssignedShard } from './checkpoints.ts';
import { PAGE_IDS } from './conditional-delete.ts';
import type { Delivery } from './delivery.ts';
import type { NodeReads } from './node-reads.ts';

interface EmptyingOptions {
  /** Of the entry that drops the collection. */
  readonly lsn: number;
  readonly delivery: Delivery;
  readonly reads: NodeReads;
  readonly limits: () => MergeLimits;
}

/** Leaves the shard without records; nothing happens when the node does not have it. Throws TermOver, CallFailed. */
export async function emptyShard(
  target: AssignedShard | undefined,
  { lsn, delivery, reads, limits }: EmptyingOptions,
  term: Term,
): Promise<void> {
  if (target === undefined) return;
  const isFinal = (response: NodeResponse): boolean => hasNoEffect('delete', response);
  for (;;) {
    const ids = await someIds(target, { lsn, reads }, term);
    if (ids.length === 0) return;
    for (const body of deleteByIdsBodies(ids, limits().maxIds)) {
      const request = recordsRequest(target, 'delete', [body]);
      const deleted = await delivery.call({ request, lsns: [lsn], work: 1, isFinal }, term);
      // Already dropped: the round is being repeated.
      if (!isSuccess(deleted)) return;
    }
  }
}

/** Some ids of the shard, fewer where they are long; none when it is empty or does not exist. */
async function someIds(
  target: AssignedShard,
  { lsn, reads }: Pick<EmptyingOptions, 'lsn' | 'reads'>,
  term: Term,
): Promise<readonly string[]> {
  for (let limit = PAGE_IDS; ; limit = Math.ceil(limit / 2)) {
    try {
      const page = await reads.read(getRecordsRequest(target, { limit, include: [] }), lsn, term);
      return isSuccess(page) ? (JSON.parse(page.body.toString()) as { ids: string[] }).ids : [];
    } catch (error) {
      if (!(error instanceof NodeError) || error.code !== 'too_large' || limit === 1) throw error;
    }
  }
}

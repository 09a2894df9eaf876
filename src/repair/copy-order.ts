// The order of a copy's records. A server returns records in the order of their insertion; one that is deleted and added
// again moves to the end. Lists of millions of ids are walked in turns of the event loop.

import { eachInTurns } from '../util/next-turn.ts';
import { mapKey } from '../util/map-key.ts';
import type { DeltaIds } from './copy-delta.ts';

/**
 * The donor's order, from one read before and the order among the ids touched since. `touched` are these, and
 * `inDonorOrder` those of them that exist.
 */
export async function donorOrder(
  before: readonly string[],
  inDonorOrder: readonly string[],
  touched: DeltaIds,
): Promise<string[]> {
  const known = new Set<string>();
  await eachInTurns(before, (id) => {
    const key = mapKey(id);
    if (touched.has(key)) known.add(key);
  });
  // The first that was inserted since: everything after it was inserted later still, and nothing untouched was.
  const first = inDonorOrder.findIndex((id) => {
    const key = mapKey(id);
    return !known.has(key) || touched.get(key)?.wasDeleted === true;
  });
  const end = first === -1 ? [] : inDonorOrder.slice(first);
  const staying = new Set(inDonorOrder.slice(0, first === -1 ? undefined : first).map(mapKey));
  const order: string[] = [];
  await eachInTurns(before, (id) => {
    const key = mapKey(id);
    if (!touched.has(key) || staying.has(key)) order.push(id);
  });
  order.push(...end);
  return order;
}

export interface OrderChange {
  /** To delete: not wanted, or out of order. */
  readonly remove: readonly string[];
  /** To add at the end, in this order. */
  readonly append: readonly string[];
  /** How many records stay where they are, at the beginning. */
  readonly kept: number;
}

/** What brings records in the order `have` into the order `want`, when records can only be added at the end. */
export async function orderChange(have: readonly string[], want: readonly string[]): Promise<OrderChange> {
  const remove: string[] = [];
  let kept = 0;
  await eachInTurns(have, (id) => {
    if (want[kept] === id) kept += 1;
    else remove.push(id);
  });
  return { remove, append: want.slice(kept), kept };
}

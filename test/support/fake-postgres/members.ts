// The SQL functions that change the list of nodes (src/postgres/migrations/0012).

import type { NodeTableRow, Tables } from './tables.ts';

const BLANK = {
  incarnation: null,
  checkpoint: 0,
  marker_lsn: 0,
  busy_lsn: null,
  busy_until: null,
  copies: 0,
  marker_copy: 0,
  reason: null,
};

function nextPosition({ nodes }: Tables): number {
  return Math.max(0, ...[...nodes.values()].map(({ position }) => position)) + 1;
}

/** The row of a node that joins. */
function joiningNode(
  tables: Tables,
  { id, url, counts }: Pick<NodeTableRow, 'id' | 'url' | 'counts'>,
): NodeTableRow {
  const isOut = { removed: false, drained: false, resets: 0, filling: false, discard: false };
  const { epoch } = tables.lease;
  const [view, position] = [tables.nextView(), nextPosition(tables)];
  const state = { state: 'joining', state_epoch: 0 };
  return { id, url, ...BLANK, ...state, ...isOut, counts, epoch, view, position };
}

/** Whether the epoch is that of the lease. */
export const isLeading = ({ lease }: Tables, epoch: number): boolean => lease.epoch === epoch;

export function seedNodes(tables: Tables, ids: readonly string[], urls: readonly string[]): void {
  const isFirstStart = tables.nodes.size === 0;
  for (const [i, id] of ids.entries())
    if (!tables.nodes.has(id))
      tables.nodes.set(id, joiningNode(tables, { id, url: urls[i]!, counts: isFirstStart }));
}

/** False when the list has it already. */
export function addNode(tables: Tables, id: string, url: string): boolean {
  const known = tables.nodes.get(id);
  if (known !== undefined && !known.removed) return false;
  forgetContent(tables, id, false);
  const row = joiningNode(tables, { id, url, counts: false });
  const kept = known && {
    ...{ filling: known.filling, discard: known.discard, state_epoch: known.state_epoch },
    resets: known.resets + 1,
  };
  tables.nodes.set(id, { ...row, ...kept });
  return true;
}

/** False when it is the primary, or the lease has moved on. */
export function removeNode(tables: Tables, epoch: number, id: string): boolean {
  if (!isLeading(tables, epoch) || tables.head.primary_node === id) return false;
  keepTaken(tables, id);
  if (tables.nodes.has(id))
    tables.setNode(id, { removed: true, state: 'removed', reason: null, view: tables.nextView() });
  forgetContent(tables, id, true);
  return true;
}

/** False when the lease has moved on, or there is no such node. */
export function resetNode(tables: Tables, epoch: number, id: string): boolean {
  if (!isLeading(tables, epoch)) return false;
  keepTaken(tables, id);
  forgetContent(tables, id, true);
  const row = tables.nodes.get(id);
  if (row === undefined || row.removed) return false;
  tables.setNode(id, {
    ...BLANK,
    state: 'joining',
    filling: true,
    resets: row.resets + 1,
    view: tables.nextView(),
  });
  return true;
}

/** Of a round of 1,024 entries (src/postgres/migrations/0024). */
function keepTaken(tables: Tables, id: string): void {
  const checkpoint = tables.nodes.get(id)?.checkpoint ?? 0;
  const reached = checkpoint === 0 ? 0 : Math.min(tables.head.lsn, checkpoint + 1_024);
  for (const { node, shard, state, suspect } of tables.nodeShards.values()) {
    const row = tables.shards.get(shard);
    if (node !== id || state !== 'current' || suspect !== null || row === undefined) continue;
    tables.shards.set(shard, { ...row, taken_lsn: Math.max(row.taken_lsn, reached) });
  }
}

export interface Introduced {
  readonly epoch: number;
  readonly id: string;
  readonly url: string;
  readonly incarnation: string;
  readonly checkpoint: number;
}

/** False when the lease has moved on, or the node has an incarnation already. */
export function introduceNode(
  tables: Tables,
  { epoch, id, url, incarnation, checkpoint }: Introduced,
  newId: () => string,
): boolean {
  if (!isLeading(tables, epoch)) return false;
  const row = tables.nodes.get(id);
  if (row === undefined) tables.nodes.set(id, joiningNode(tables, { id, url, counts: false }));
  else {
    // The view number is taken before the conflict with the row is found.
    const view = tables.nextView();
    const mayJoin = (row.incarnation === null || row.filling) && !row.removed && row.epoch === epoch;
    if (!mayJoin) return false;
    tables.setNode(id, { view });
  }
  const begun = { marker_lsn: 0, copies: 0, marker_copy: 0, filling: true };
  tables.setNode(id, { ...begun, incarnation, checkpoint });
  forgetContent(tables, id, false);
  if (checkpoint === 0) return true;
  for (const shard of tables.shards.values()) {
    const collection = tables.collections.get(shard.collection);
    if (collection?.state !== 'ready' || collection.created_lsn > checkpoint) continue;
    const made = { from_lsn: 0, suspect: 'not copied to the node yet', copy: 0, since: 0 };
    const view = tables.nextView();
    tables.setNodeShard({
      ...{ node: id, shard: shard.id, physical: newId(), name: collection.name, state: 'current', view },
      ...made,
    });
  }
  return true;
}

function forgetContent(tables: Tables, id: string, attemptsToo: boolean): void {
  for (const [key, { node }] of tables.nodeShards) if (node === id) tables.nodeShards.delete(key);
  if (!attemptsToo) return;
  for (const [key, { node }] of tables.attempts) if (node === id) tables.attempts.delete(key);
}

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
export function joiningNode(
  tables: Tables,
  { id, url, counts }: Pick<NodeTableRow, 'id' | 'url' | 'counts'>,
): NodeTableRow {
  const isOut = { removed: false, drained: false, resets: 0 };
  const { epoch } = tables.lease;
  const [view, position] = [tables.nextView(), nextPosition(tables)];
  return { id, url, ...BLANK, state: 'joining', ...isOut, counts, epoch, view, position };
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
  tables.nodes.set(id, known === undefined ? row : { ...row, resets: known.resets + 1 });
  return true;
}

/** False when it is the primary, or the lease has moved on. */
export function removeNode(tables: Tables, epoch: number, id: string): boolean {
  if (!isLeading(tables, epoch) || tables.head.primary_node === id) return false;
  if (tables.nodes.has(id))
    tables.setNode(id, { removed: true, state: 'removed', reason: null, view: tables.nextView() });
  forgetContent(tables, id, true);
  return true;
}

/** False when the lease has moved on, or there is no such node. */
export function resetNode(tables: Tables, epoch: number, id: string): boolean {
  if (!isLeading(tables, epoch)) return false;
  forgetContent(tables, id, true);
  const row = tables.nodes.get(id);
  if (row === undefined || row.removed) return false;
  tables.setNode(id, { ...BLANK, state: 'joining', resets: row.resets + 1, view: tables.nextView() });
  return true;
}

function forgetContent(tables: Tables, id: string, attemptsToo: boolean): void {
  for (const [key, { node }] of tables.nodeShards) if (node === id) tables.nodeShards.delete(key);
  if (!attemptsToo) return;
  for (const [key, { node }] of tables.attempts) if (node === id) tables.attempts.delete(key);
}

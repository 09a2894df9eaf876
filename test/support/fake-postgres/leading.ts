// The SQL functions of a leader's durable steps (src/postgres/migrations/0003, 0004, 0010 and 0011).

import { refusal } from './refusal.ts';
import { keyOf, type DecisionRow, type LogRow, type Tables } from './tables.ts';

/** The token of a term is in the low 24 bits of its epoch. */
const TOKENS = 2 ** 24;

/** `token`: a whole number below 2^24. The new epoch; null when another challenger was first. */
export function acquireLease(
  tables: Tables,
  [holder, epoch, renewal]: readonly [string, number, number],
  token: number,
): number | null {
  const { lease } = tables;
  if (lease.holder !== null && (lease.epoch !== epoch || lease.renewal !== renewal)) return null;
  const term = (lease.epoch < TOKENS ? lease.epoch : Math.floor(lease.epoch / TOKENS)) + 1;
  const next = term * TOKENS + token;
  tables.lease = { epoch: next, holder, renewal: 0 };
  for (const id of tables.nodes.keys()) tables.setNode(id, { epoch: next });
  return next;
}

export interface CheckpointCall {
  readonly epoch: number;
  readonly nodes: readonly string[];
  readonly resets: readonly number[];
  readonly lsns: readonly number[];
  readonly changes: readonly {
    readonly node: string;
    readonly shard: string;
    readonly physical: string | null;
    readonly name: string | null;
    readonly lsn: number;
  }[];
}

/** Returns the nodes that have begun again since: nothing of theirs was changed. */
export function checkpoint(tables: Tables, call: CheckpointCall, nowMs: number): readonly string[] {
  const { epoch, nodes, resets, lsns } = call;
  if (nodes.some((id) => tables.nodes.get(id)?.epoch !== epoch))
    throw refusal('PC002', 'a checkpoint was refused: the lease has moved on');
  const begunAgain = nodes.filter((id, i) => tables.nodes.get(id)!.resets !== resets[i]).toSorted();
  const changes = call.changes.filter(({ node }) => !begunAgain.includes(node));
  for (const [i, id] of nodes.entries())
    if (!begunAgain.includes(id))
      tables.setNode(id, { checkpoint: Math.max(tables.nodes.get(id)!.checkpoint, lsns[i]!) });
  for (const { node, shard, physical, name } of changes) {
    const current = tables.currentCopy(node, shard);
    if (current === null || physical !== null || name === null) continue;
    const view = tables.nextView();
    tables.setNodeShard({ ...current, state: 'retired', name, suspect: null, since: nowMs, view });
  }
  for (const { node, shard, physical } of changes) {
    const current = tables.currentCopy(node, shard);
    if (current !== null && current.physical !== physical)
      tables.nodeShards.delete(keyOf(node, current.physical));
  }
  for (const { node, shard, physical, name, lsn } of changes) {
    if (physical === null || name === null) continue;
    const known = tables.nodeShards.get(keyOf(node, physical));
    const view = tables.nextView();
    const made = { from_lsn: lsn, suspect: null, state: 'current' as const, since: nowMs, copy: 0 };
    tables.setNodeShard(
      known === undefined ? { node, shard, physical, name, view, ...made } : { ...known, name, view },
    );
  }
  return begunAgain;
}

export interface DecideCall {
  readonly epoch: number;
  /** Null: the leader decides. */
  readonly node: string | null;
  readonly generation: number;
  readonly lsn: number;
  readonly outcome: string;
  readonly status: number;
  readonly body: Buffer;
  readonly pages: number;
}

const isPrimary = ({ head }: Tables, node: string | null, generation: number): boolean =>
  head.primary_node === node && head.primary_generation === generation;

/** The decision that stands; null when the lease or the primary has moved on. */
export function decide(tables: Tables, call: DecideCall): DecisionRow | null {
  const { epoch, node, generation, lsn, outcome, status, body, pages } = call;
  if (tables.lease.epoch !== epoch) return null;
  if (node !== null && !isPrimary(tables, node, generation)) return null;
  const entry = tables.log.get(lsn);
  const known = tables.decisions.get(lsn);
  if (known !== undefined) {
    const replaces =
      entry?.kind === 'delete_where' && known.outcome === 'accepted' && outcome === 'quarantined';
    if (!replaces) return known;
  }
  if (entry === undefined)
    throw refusal('PC006', `the log lacks the entry at LSN ${lsn} that was to be decided`);
  const decision = { lsn, outcome, status, body, pages, generation };
  tables.decisions.set(lsn, decision);
  if (outcome === 'quarantined' || outcome === 'partly_applied')
    tables.setHead({ exceptions: tables.nextView() });
  if (outcome === 'quarantined') tables.quarantine.set(lsn, { closed: false });
  if (outcome === 'accepted') keepBody(tables, entry);
  changeCatalog(tables, entry, outcome === 'accepted');
  return decision;
}

function keepBody(tables: Tables, { kind, target, lsn, header, body }: LogRow): void {
  const collection = target ?? '';
  const keep = (onlyMetadata: boolean): void => {
    const key = keyOf(collection, lsn);
    if (!tables.bodies.has(key))
      tables.bodies.set(key, { collection, lsn, kind, body, only_metadata: onlyMetadata });
  };
  if (kind === 'create_collection') return keep(false);
  if (kind !== 'modify_collection') return;
  const { replaces } = JSON.parse(header) as { replaces?: readonly string[] };
  if (replaces?.length === 0) return;
  if (replaces?.includes('metadata') === true)
    for (const [key, row] of tables.bodies)
      if (row.collection === collection && row.kind === kind && row.only_metadata) tables.bodies.delete(key);
  keep(JSON.stringify(replaces) === '["metadata"]');
}

function changeCatalog(tables: Tables, { kind, target, header }: LogRow, isAccepted: boolean): void {
  const id = target ?? '';
  const fields = JSON.parse(header) as Readonly<Record<string, string | null | undefined>>;
  const { tenant = '', database = '' } = fields;
  switch (kind) {
    case 'create_collection':
      tables.setCollection(id, {
        state: isAccepted ? 'ready' : 'deleted',
        pending_lsn: null,
      });
      if (isAccepted)
        for (const shard of tables.shards.values())
          if (shard.collection === id) tables.shards.set(shard.id, { ...shard, live: true });
      return tables.changeNames(id, (row) => (isAccepted ? { ...row, pending_lsn: null } : null));
    case 'modify_collection': {
      const { name: oldName } = tables.collections.get(id) ?? { name: '' };
      const newName = fields['new_name'] ?? null;
      const name = isAccepted && newName !== null ? newName : oldName;
      tables.changeNames(id, (row) => (row.name === name ? { ...row, pending_lsn: null } : null));
      return tables.setCollection(id, { name, pending_lsn: null });
    }
    case 'create_tenant':
      if (!isAccepted && tables.tenants.has(tenant ?? ''))
        tables.tenants.set(tenant ?? '', { deleted: true, view: tables.nextView() });
      return;
    case 'create_database': {
      const key = keyOf(tenant ?? '', database ?? '');
      const row = tables.databases.get(key);
      if (!isAccepted && row !== undefined)
        tables.databases.set(key, { ...row, deleted: true, view: tables.nextView() });
    }
  }
}

/** False when the lease or the primary has moved on. */
export function addDecisionPage(
  tables: Tables,
  [epoch, node, generation, lsn, page, ids]: readonly [number, string, number, number, number, Buffer],
): boolean {
  if (tables.lease.epoch !== epoch || !isPrimary(tables, node, generation)) return false;
  tables.pages.set(keyOf(lsn, generation, page), ids);
  return true;
}

/** Makes a node the primary of the next generation; null when the lease has moved on. */
export function setPrimary(tables: Tables, epoch: number, node: string): number | null {
  if (tables.lease.epoch !== epoch) return null;
  const generation = tables.head.primary_generation + 1;
  tables.setHead({ primary_node: node, primary_generation: generation });
  tables.nextView();
  return generation;
}

/** False, and nothing changes, when the copy may not be put into use. */
export function swapCopy(
  tables: Tables,
  [epoch, node, shard, physical, fromLSN]: readonly [number, string, string, string, number],
  nowMs: number,
): boolean {
  const row = tables.nodes.get(node);
  if (row?.epoch !== epoch || row.removed) return false;
  const copy = tables.nodeShards.get(keyOf(node, physical));
  if (copy?.shard !== shard || copy.state !== 'building' || copy.suspect !== null) return false;
  if (copy.copy > row.marker_copy) return false;
  const current = tables.currentCopy(node, shard);
  if (current === null) return false;
  tables.setNodeShard({ ...current, state: 'retired', since: nowMs, view: tables.nextView() });
  tables.setNodeShard({
    ...copy,
    state: 'current',
    since: nowMs,
    from_lsn: fromLSN,
    view: tables.nextView(),
  });
  return true;
}

// The SQL functions append_continuing, append and append_schema (src/postgres/migrations/0002, 0005, 0007 and 0022).

import { refusal } from './refusal.ts';
import { keyOf, type LogRow, type Tables } from './tables.ts';

/** Parameters of append_continuing, in their order. */
export interface AppendCall {
  readonly known: number;
  readonly seen: number;
  readonly seenBatch: string | null;
  readonly token: string;
  readonly log: string;
  readonly kinds: readonly string[];
  readonly targets: readonly (string | null)[];
  readonly headers: readonly string[];
  readonly dimensions: readonly (number | null)[];
  readonly checksums: readonly number[];
  readonly lengths: readonly number[];
  readonly bodies: Buffer;
  readonly revision: number | null;
}

/** What the server knows beside its tables. */
export interface ServerState {
  readonly timeline: number;
  readonly nowMs: number;
}

type Header = Readonly<Record<string, string | undefined>>;
type Reply = { readonly s: string; readonly lsn?: number; readonly expected?: number; readonly id?: string };

const RECORD_KINDS = new Set(['add', 'upsert', 'update', 'delete', 'delete_where']);
const OK: Reply = { s: 'ok' };

/** Whether the log has the entry. */
export function logContains({ head, log }: Tables, lsn: number, batch: string | null): boolean {
  return head.lsn >= lsn && (lsn <= head.trimmed || batch === null || log.get(lsn)?.batch === batch);
}

export function appendContinuing(tables: Tables, call: AppendCall, server: ServerState): readonly object[] {
  const { head } = tables;
  const { known, seen, seenBatch, revision } = call;
  if (revision !== null && revision < head.capability_revision)
    throw refusal('PC007', 'a server has joined that can do less than this gateway knew');
  if (head.rewound !== null) throw refusal('PC004', `the log has lost its last entries: ${head.rewound}`);
  if (head.timeline !== null && head.timeline !== server.timeline)
    throw refusal('PC005', 'this server was promoted, and its log has not been compared yet');
  if (head.lsn < known)
    throw refusal('PC006', `the log ends at LSN ${head.lsn}, and this gateway has seen LSN ${known}`);
  if (seenBatch !== null && !tables.batches.has(seenBatch) && !logContains(tables, seen, seenBatch))
    throw refusal('PC006', `the log lacks the entry at LSN ${seen} that this gateway has seen`);
  return append(tables, call, server);
}

function append(tables: Tables, call: AppendCall, { nowMs }: ServerState): readonly object[] {
  if (tables.head.log_id !== call.log)
    throw refusal('PC001', 'this log is not the one the gateway started with');
  const before = tables.batches.get(call.token);
  if (before !== undefined) return before.results;
  let next = tables.head.lsn + 1;
  let at = 0;
  const results: Reply[] = [];
  const taken: LogRow[] = [];
  for (const [i, kind] of call.kinds.entries()) {
    const [target, header, length] = [call.targets[i] ?? null, call.headers[i]!, call.lengths[i]!];
    const reply = RECORD_KINDS.has(kind)
      ? appendRecords(tables, target!, call.dimensions[i] ?? null)
      : appendSchema(tables, { kind, target: target ?? '', header: JSON.parse(header) as Header, lsn: next });
    if (reply.s === 'ok') {
      const body = Buffer.from(call.bodies.subarray(at, at + length));
      const checksum = call.checksums[i]!;
      taken.push({ lsn: next, kind, target, header, body, checksum, batch: call.token, at: nowMs });
      results.push({ s: 'ok', lsn: next });
      next += 1;
    } else results.push(reply);
    at += length;
  }
  for (const row of taken) {
    tables.log.set(row.lsn, row);
    const shard = tables.shards.get(row.target ?? '');
    if (shard !== undefined) tables.shards.set(shard.id, { ...shard, last_lsn: row.lsn });
  }
  tables.setHead({ lsn: next - 1 });
  tables.batches.set(call.token, { results, at: nowMs });
  return results;
}

function appendRecords(tables: Tables, target: string, dimension: number | null): Reply {
  const shard = tables.shards.get(target);
  if (shard === undefined || !shard.live) return { s: 'no_collection' };
  if (dimension === null) return OK;
  if (shard.dimension !== null && shard.dimension !== dimension)
    return { s: 'dimension', expected: shard.dimension };
  tables.shards.set(target, { ...shard, dimension });
  if (shard.dimension === null) tables.setCollection(shard.collection, {});
  return OK;
}

interface SchemaEntry {
  readonly kind: string;
  readonly target: string;
  readonly header: Header;
  readonly lsn: number;
}

function appendSchema(tables: Tables, entry: SchemaEntry): Reply {
  const { tenant = '', database = '' } = entry.header;
  const place = tables.databases.get(keyOf(tenant, database));
  const exists = place !== undefined && !place.deleted;
  switch (entry.kind) {
    case 'create_collection':
      return exists ? appendCreate(tables, entry) : { s: 'no_database' };
    case 'modify_collection':
      return appendModify(tables, entry);
    case 'delete_collection':
      return appendDelete(tables, entry);
    case 'create_tenant':
      if (tables.tenants.get(tenant)?.deleted === false) return { s: 'exists' };
      tables.tenants.set(tenant, { deleted: false, view: tables.nextView() });
      return OK;
    case 'delete_tenant':
      if ([...tables.databases.values()].some((row) => row.tenant === tenant && !row.deleted))
        return { s: 'not_empty' };
      if (tables.tenants.get(tenant)?.deleted === false)
        tables.tenants.set(tenant, { deleted: true, view: tables.nextView() });
      return OK;
    case 'create_database': {
      if (exists) return { s: 'exists' };
      const row = { tenant, name: database, id: entry.target, deleted: false, view: tables.nextView() };
      tables.databases.set(keyOf(tenant, database), row);
      return OK;
    }
    case 'delete_database': {
      if (!exists) return { s: 'no_database' };
      const isIn = (row: { tenant: string; database: string; state: string }): boolean =>
        row.tenant === tenant && row.database === database && row.state !== 'deleted';
      if ([...tables.collections.values()].some(isIn)) return { s: 'not_empty' };
      tables.databases.set(keyOf(tenant, database), { ...place, deleted: true, view: tables.nextView() });
      return OK;
    }
    default:
      throw refusal('20000', `case not found: ${entry.kind}`);
  }
}

function appendCreate(tables: Tables, { target, header, lsn }: SchemaEntry): Reply {
  const { tenant = '', database = '', name = '', shard = '' } = header;
  const held = tables.names.get(keyOf(tenant, database, name));
  if (held !== undefined)
    return held.pending_lsn === null
      ? { s: 'exists', id: held.collection }
      : { s: 'busy', lsn: held.pending_lsn };
  const at = { tenant, database, name };
  const state = 'creating' as const;
  const row = { id: target, ...at, state, pending_lsn: lsn, created_lsn: lsn, view: tables.nextView() };
  tables.collections.set(target, row);
  tables.names.set(keyOf(tenant, database, name), { ...at, collection: target, pending_lsn: lsn });
  const initial = { dimension: null, live: false, taken_lsn: 0 };
  tables.shards.set(shard, { id: shard, collection: target, last_lsn: lsn, ...initial });
  return OK;
}

function appendModify(tables: Tables, { target, header, lsn }: SchemaEntry): Reply {
  const row = tables.collections.get(target);
  if (row?.state !== 'ready') return { s: 'no_collection' };
  if (row.pending_lsn !== null) return { s: 'busy', lsn: row.pending_lsn };
  const { tenant, database } = row;
  const name = header['new_name'] ?? null;
  if (name !== null && name !== row.name) {
    const held = tables.names.get(keyOf(tenant, database, name));
    if (held !== undefined)
      return held.pending_lsn === null
        ? { s: 'exists', id: held.collection }
        : { s: 'busy', lsn: held.pending_lsn };
    const at = { tenant, database, name };
    tables.names.set(keyOf(tenant, database, name), { ...at, collection: target, pending_lsn: lsn });
  }
  tables.setCollection(target, { pending_lsn: lsn });
  return OK;
}

function appendDelete(tables: Tables, { target, header, lsn }: SchemaEntry): Reply {
  const { tenant = '', database = '', name = '' } = header;
  const held = tables.names.get(keyOf(tenant, database, name));
  if (held?.collection !== target) return { s: 'no_collection' };
  const pending = tables.collections.get(target)?.pending_lsn ?? null;
  if (pending !== null) return { s: 'busy', lsn: pending };
  tables.changeNames(target, () => null);
  tables.setCollection(target, { state: 'deleted' });
  for (const shard of tables.shards.values())
    if (shard.collection === target) tables.shards.set(shard.id, { ...shard, live: false, last_lsn: lsn });
  return OK;
}

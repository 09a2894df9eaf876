// Encodes Chroma's mutations as entries of the log, and decodes them.

import type { RecordCall, RecordKind } from '../chroma/parse/record-call.ts';
import type { Capabilities } from '../chroma/protocol/capabilities.ts';
import type { Operation } from '../chroma/protocol/operation.ts';
import { isListed, LISTED_IDS_MAX } from '../chroma/parse/record-ids.ts';
import type { StoredScan } from '../chroma/parse/large-scanner.ts';
import { scanFirstAccepted } from '../chroma/parse/scanner.ts';
import { nextTurn } from '../util/next-turn.ts';
import { readTopLevel } from '../chroma/parse/rewrite.ts';
import { isRefusal } from '../chroma/parse/refusal.ts';
import type { Draft, Entry } from '../log/entry.ts';

const EMPTY: Buffer = Buffer.alloc(0);

/** The form in which an operation is appended. */
export function toDraft(operation: Operation): Draft {
  const draft = (target: string | null, header: object, body = EMPTY): Draft => ({
    kind: operation.type,
    target,
    header: JSON.stringify(header),
    dimension: null,
    body,
    parsed: operation,
  });
  switch (operation.type) {
    case 'records': {
      const { shard, call, revision } = operation;
      return {
        ...draft(shard, {}, call.body),
        kind: call.conditional ? 'delete_where' : call.kind,
        dimension: call.dimension,
        ...(revision === undefined ? {} : { revision }),
      };
    }
    case 'create_collection': {
      const { collection, shard, tenant, database, name, body } = operation;
      return draft(collection, { shard, tenant, database, name }, body);
    }
    case 'modify_collection': {
      const { collection, shards, newName, body } = operation;
      return draft(collection, { shards, new_name: newName, replaces: replacedBy(body) }, body);
    }
    case 'delete_collection': {
      const { collection, shards, tenant, database, name } = operation;
      return draft(collection, { shards, tenant, database, name });
    }
    case 'create_tenant':
    case 'delete_tenant':
      return draft(null, { tenant: operation.tenant });
    case 'note':
      return draft(null, { note: operation.note });
    case 'create_database':
      return draft(operation.id, { tenant: operation.tenant, database: operation.database });
    case 'delete_database':
      return draft(null, { tenant: operation.tenant, database: operation.database });
  }
}

/** What a modification replaces other than the name; kept, so that a copy is created with it (R27). */
function replacedBy(body: Buffer): string[] {
  const fields = readTopLevel(body, ['new_metadata', 'new_configuration']);
  // A body that cannot be read is refused by every node.
  if (isRefusal(fields)) return [];
  const isGiven = (key: 'new_metadata' | 'new_configuration'): boolean =>
    (fields.get(key)?.type ?? 'null') !== 'null';
  return [
    ...(isGiven('new_metadata') ? ['metadata'] : []),
    ...(isGiven('new_configuration') ? ['configuration'] : []),
  ];
}

interface Header {
  shard: string;
  shards: string[];
  tenant: string;
  database: string;
  name: string;
  new_name: string | null;
  note: string;
}

/** The operation of an entry; scans its body only when it was read from PostgreSQL. Throws on an unknown kind. */
export function toOperation(entry: Entry): Operation {
  if (entry.parsed !== undefined) return entry.parsed as Operation;
  const target = entry.target as string;
  const { body } = entry;
  switch (entry.kind) {
    case 'add':
    case 'upsert':
    case 'update':
    case 'delete':
    case 'delete_where':
      return { type: 'records', shard: target, call: scanned(entry) };
  }
  const header = JSON.parse(entry.header) as Header;
  const { shard, shards, tenant, database, name, new_name: newName } = header;
  switch (entry.kind) {
    case 'create_collection':
      return { type: 'create_collection', collection: target, shard, tenant, database, name, body };
    case 'modify_collection':
      return { type: 'modify_collection', collection: target, shards, newName, body };
    case 'delete_collection':
      return { type: 'delete_collection', collection: target, shards, tenant, database, name };
    case 'create_tenant':
    case 'delete_tenant':
      return { type: entry.kind, tenant };
    case 'note':
      return { type: 'note', note: header.note };
    case 'create_database':
      return { type: 'create_database', id: target, tenant, database };
    case 'delete_database':
      return { type: 'delete_database', tenant, database };
    default:
      throw new Error(
        `The entry at LSN ${entry.lsn} is of kind "${entry.kind}", which this release does not know.`,
      );
  }
}

// An entry was validated against the capability level at the time, which may have been raised since: newer levels
// accept more, but refuse metadata keys that older ones accepted, and know a field that older ones ignored. Every body
// that any level accepts is accepted by one of these, and means the same at each that accepts it.
const NEWEST: Capabilities = {
  maxBatchSize: Number.MAX_SAFE_INTEGER,
  base64Embeddings: true,
  metadataArrays: true,
  deleteLimit: true,
  schema: true,
};
const LEVELS: readonly Capabilities[] = [
  NEWEST,
  { ...NEWEST, metadataArrays: false },
  // Accepts `limit` twice, when it is null.
  { ...NEWEST, deleteLimit: false },
];

const RECORD_KINDS: Readonly<Record<string, RecordKind>> = {
  add: 'add',
  upsert: 'upsert',
  update: 'update',
  delete: 'delete',
  delete_where: 'delete',
};

function scanned(entry: Entry): RecordCall {
  const call = scanFirstAccepted(RECORD_KINDS[entry.kind] as RecordKind, entry.body, LEVELS);
  if (!isRefusal(call)) return call;
  throw new Error(`The entry at LSN ${entry.lsn} no longer passes the scanner: ${call.message}`);
}

export interface StoredScanner {
  scanStored(
    kind: RecordKind,
    body: Buffer,
    levels: readonly Capabilities[],
  ): Promise<StoredScan> | StoredScan;
}

// Some ms of scanning.
const SLICE_BYTES = 1024 * 1024;

/** Entries that were read from PostgreSQL, scanned once for all uses, large ones in the scanner's thread. */
export async function scannedEntries(entries: readonly Entry[], scanner: StoredScanner): Promise<Entry[]> {
  const all: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const kind = RECORD_KINDS[entry.kind];
    if (kind === undefined || entry.target === null) {
      all.push(entry);
      continue;
    }
    bytes += entry.body.length;
    if (bytes > SLICE_BYTES) {
      await nextTurn();
      bytes = entry.body.length;
    }
    const { scanned: call, body } = await scanner.scanStored(kind, entry.body, LEVELS);
    // `toOperation` reports one that cannot be scanned, where it is needed.
    const parsed: Operation | undefined = isRefusal(call)
      ? undefined
      : { type: 'records', shard: entry.target, call };
    all.push({ ...entry, body, ...(parsed && { parsed }) });
  }
  return all;
}

// Ids above 16,383 characters are keyed by digests: 25 MB of them would hold the event loop for a quarter of a second.
const LISTED_BYTES_MAX = 1024 * 1024;

/** Ids of the records that an entry changes; null when they are not listed (conditional deletes, very many ids). */
export function idsChanged(parsed: unknown): Iterable<string> | null {
  const operation = parsed as Operation | undefined;
  if (operation?.type !== 'records' || operation.call.conditional) return null;
  const { ids, idSlice } = operation.call;
  return ids.length <= LISTED_IDS_MAX && idSlice.end - idSlice.start <= LISTED_BYTES_MAX ? ids : null;
}

// V8 needs a header of 16 bytes for a string and 8 in the array; measured: 33 bytes for an id of 8 characters.
const LISTED_ID_BYTES = 24;

/** Memory of the ids that the parsed form of an entry lists, bytes. */
export function listedBytes(parsed: unknown): number {
  const operation = parsed as Operation | undefined;
  if (operation?.type !== 'records' || !isListed(operation.call.ids)) return 0;
  const { ids, idSlice } = operation.call;
  return ids.length * LISTED_ID_BYTES + idSlice.end - idSlice.start;
}

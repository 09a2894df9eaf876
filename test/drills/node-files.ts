// What a node has on disk: every record operation it has ever taken, and the content that came of them. Read from its
// sqlite file, because no response can be trusted to tell how often a call was executed.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { fingerprint } from './history.ts';

/** By collection name: how often the node took each operation on each id; keys are made by ledgerKey(). */
export type Ledger = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Digests of one collection; equal digests are equal content, record order included. */
export interface Content {
  readonly records: number;
  /** Ids, documents and metadata. */
  readonly stored: string;
  /** Operations, ids and vectors in the order in which the node took them. */
  readonly taken: string;
  /** What the node's own responses show of it. */
  readonly served?: string;
}

// The numbers that Chroma gives the operations in its queue.
const OPERATIONS = ['add', 'update', 'upsert', 'delete'] as const;

export const ledgerKey = (operation: string, idFingerprint: string): string =>
  `${operation} ${idFingerprint}`;

/** A server holds the lock for as long as one call of documents takes it. */
const BUSY_MS_MAX = 60_000;

function open(dataDir: string, readOnly: boolean): DatabaseSync {
  return new DatabaseSync(join(dataDir, 'chroma.sqlite3'), { readOnly, timeout: BUSY_MS_MAX });
}

/**
 * Makes a node keep its queue, which it otherwise empties every 1,000 records or so. The setting is Chroma's own; the
 * server reads it before each purge.
 */
export function keepQueue(dataDir: string): void {
  const database = open(dataDir, false);
  try {
    const kept = '{"automatically_purge":false,"_type":"EmbeddingsQueueConfigurationInternal"}';
    database.prepare('UPDATE embeddings_queue_config SET config_json_str = ?').run(kept);
  } finally {
    database.close();
  }
}

interface CollectionRow {
  readonly id: string;
  readonly name: string;
}

function collections(database: DatabaseSync): readonly CollectionRow[] {
  return database
    .prepare(
      `SELECT c.id, c.name FROM collections c JOIN databases d ON d.id = c.database_id
       WHERE d.tenant_id = 'default_tenant'`,
    )
    .all() as unknown as CollectionRow[];
}

/** The ledger and the content of the collections whose names begin with `prefix`. */
export function readNodeFiles(
  dataDir: string,
  prefix: string,
): { readonly ledger: Ledger; readonly contents: ReadonlyMap<string, Content> } {
  const database = open(dataDir, true);
  try {
    const ledger = new Map<string, ReadonlyMap<string, number>>();
    const contents = new Map<string, Content>();
    for (const { id, name } of collections(database).filter((each) => each.name.startsWith(prefix))) {
      const { counts, taken } = readQueue(database, id);
      ledger.set(name, counts);
      contents.set(name, { ...readStored(database, id), taken });
    }
    return { ledger, contents };
  } finally {
    database.close();
  }
}

function readQueue(
  database: DatabaseSync,
  collection: string,
): { readonly counts: ReadonlyMap<string, number>; readonly taken: string } {
  const rows = database
    .prepare('SELECT operation, id, vector FROM embeddings_queue WHERE topic LIKE ? ORDER BY seq_id')
    .iterate(`%/${collection}`) as NodeJS.Iterator<{
    operation: number;
    id: string;
    vector: Uint8Array | null;
  }>;
  const counts = new Map<string, number>();
  const hash = createHash('sha256');
  for (const { operation, id, vector } of rows) {
    const key = ledgerKey(OPERATIONS[operation] ?? String(operation), fingerprint(id));
    counts.set(key, (counts.get(key) ?? 0) + 1);
    hash.update(`${key}:`).update(vector ?? 'none');
  }
  return { counts, taken: hash.digest('hex') };
}

function readStored(
  database: DatabaseSync,
  collection: string,
): { readonly records: number; readonly stored: string } {
  const hash = createHash('sha256');
  const records = prepareRecords(database).iterate(collection) as NodeJS.Iterator<Record<string, unknown>>;
  let last: unknown = null;
  let count = 0;
  for (const { embedding_id: id, key, value, kind } of records) {
    if (id !== last) count += 1;
    last = id;
    hash.update(JSON.stringify([id, key, kind, String(value)]));
  }
  return { records: count, stored: hash.digest('hex') };
}

function prepareRecords(database: DatabaseSync): StatementSync {
  const statement = database.prepare(
    `SELECT e.embedding_id, m.key,
            coalesce(m.string_value, m.int_value, m.float_value, m.bool_value) AS value,
            CASE WHEN m.string_value IS NOT NULL THEN 's' WHEN m.int_value IS NOT NULL THEN 'i'
                 WHEN m.float_value IS NOT NULL THEN 'f' ELSE 'b' END AS kind
     FROM embeddings e JOIN segments s ON s.id = e.segment_id LEFT JOIN embedding_metadata m ON m.id = e.id
     WHERE s.collection = ? ORDER BY e.id, m.key`,
  );
  // Integers of 64 bits as text: a JavaScript number would round them.
  statement.setReadBigInts(true);
  return statement;
}

/** The folder in which a node keeps the vector index of a collection. */
export function indexFolder(dataDir: string, collection: string): string {
  const database = open(dataDir, true);
  try {
    const row = database
      .prepare(
        `SELECT s.id FROM segments s JOIN collections c ON c.id = s.collection
         WHERE c.name = ? AND s.scope = 'VECTOR'`,
      )
      .get(collection) as { id: string } | undefined;
    if (row === undefined) throw new Error(`the node has no index of ${collection}`);
    return join(dataDir, row.id);
  } finally {
    database.close();
  }
}

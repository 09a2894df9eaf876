// Reads a node's copies to learn whether its server finds its own files damaged. A full disk, a lack of memory and a stopped
// log reader fail in other words (docs/chroma-behaviour.md#damaged-files).

import type { Catalog } from '../catalog/catalog.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { getRecordsRequest, type ShardLocation } from '../chroma/protocol/node-requests.ts';
import type { Clock } from '../util/clock.ts';

export interface DamageEvidenceOptions {
  readonly client: Pick<NodeClient, 'read'>;
  readonly copies: readonly ShardLocation[];
  readonly clock: Clock;
}

// SQLite's texts for SQLITE_CORRUPT and SQLITE_NOTADB.
const DAMAGE = /database disk image is malformed|malformed database schema|file is not a database/;
// Damage throughout a file shows in the first copies; a node may have thousands.
const COPIES_MAX = 100;
const RECORDS = 1_000;
const DEADLINE_MS = 10_000;
const LIMIT_MS = 30_000;

/** The server's words about its damaged files; null when it says nothing of the kind. */
export async function damageEvidence({
  client,
  copies,
  clock,
}: DamageEvidenceOptions): Promise<string | null> {
  const until = clock.monotonic() + LIMIT_MS;
  for (const copy of copies.slice(0, COPIES_MAX)) {
    if (clock.monotonic() > until) return null;
    const selection = { limit: RECORDS, include: ['documents', 'metadatas'] as const };
    const { status, body } = await client.read({
      ...getRecordsRequest(copy, selection),
      deadlineMs: DEADLINE_MS,
    });
    const found = status >= 500 ? saysDamaged(body.toString('utf8', 0, 1_000)) : null;
    if (found !== null) return found;
  }
  return null;
}

/** `text`, if it says that files are damaged. */
export function saysDamaged(text: string): string | null {
  return DAMAGE.test(text) ? text.slice(0, 300) : null;
}

/** The copies that a node has in use, or had before they became suspect. */
export function copiesOf(
  catalog: Pick<Catalog, 'shards' | 'physical' | 'collectionOfShard'>,
  node: string,
): ShardLocation[] {
  return catalog.shards().flatMap((shard) => {
    const at = catalog.collectionOfShard(shard);
    const copy = catalog.physical(node, shard);
    if (at === null || copy === null) return [];
    return [{ tenant: at.tenant, database: at.database, physical: copy.physical }];
  });
}

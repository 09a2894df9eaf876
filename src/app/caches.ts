// What this gateway keeps in memory of each shard: its head, cached responses and records, session floors.

import type { Config } from '../config/config.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import type { Knowledge } from '../coordination/knowledge.ts';
import { Invalidation } from '../read/invalidation.ts';
import { RecordCache } from '../read/record-cache.ts';
import { ResultCache } from '../read/result-cache.ts';
import { SessionFloors } from '../read/session-floors.ts';
import { ShardLSNs } from '../read/shard-lsns.ts';
import type { Storage } from './storage.ts';

export interface Caches {
  readonly heads: ShardLSNs;
  readonly responses: ResultCache;
  readonly records: RecordCache;
  readonly floors: SessionFloors;
  readonly invalidation: Invalidation;
}

/** What the log held when this gateway started may have been acknowledged by another one. */
export function buildCaches(
  config: Config,
  { head, lastChanges }: Pick<Storage, 'head' | 'lastChanges'>,
  { current, knowledge }: { readonly current: CurrentTerm; readonly knowledge: Knowledge },
): Caches {
  const heads = new ShardLSNs(lastChanges.otherShards, lastChanges.shards);
  // A cached response is served only if it reflects the floor of the read.
  const responses = new ResultCache(config.RESULT_CACHE_BYTES, () => knowledge.isCurrent);
  // A gateway that does not lead learns of entries after nodes have applied them: rows completed from its cache could be
  // of two states.
  const isCurrent = (): boolean => current.term !== null;
  const records = new RecordCache({ bytesMax: config.RECORD_CACHE_BYTES, heads, head: head.lsn, isCurrent });
  const invalidation = new Invalidation({ heads, records, responses });
  return { heads, responses, records, floors: new SessionFloors(lastChanges), invalidation };
}

// What this gateway keeps in memory of each shard: its head, cached responses and records, session floors.

import type { Config } from '../config/config.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import { Invalidation } from '../read/invalidation.ts';
import { RecordCache } from '../read/record-cache.ts';
import { ResultCache } from '../read/result-cache.ts';
import { SessionFloors } from '../read/session-floors.ts';
import { ShardLSNs } from '../read/shard-lsns.ts';

export interface Caches {
  readonly heads: ShardLSNs;
  readonly responses: ResultCache;
  readonly records: RecordCache;
  readonly floors: SessionFloors;
  readonly invalidation: Invalidation;
}

/** `head`: where the log ended when this gateway started; another one may have acknowledged writes up to there. */
export function buildCaches(config: Config, head: number, current: CurrentTerm): Caches {
  const heads = new ShardLSNs(head);
  // A gateway that does not lead learns of entries late: what it cached may be outdated.
  const isCurrent = (): boolean => current.term !== null;
  const responses = new ResultCache(config.RESULT_CACHE_BYTES, isCurrent);
  const records = new RecordCache({ bytesMax: config.RECORD_CACHE_BYTES, heads, head, isCurrent });
  const invalidation = new Invalidation({ heads, records, responses });
  return { heads, responses, records, floors: new SessionFloors(head), invalidation };
}

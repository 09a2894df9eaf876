// Raises the heads of shards and invalidates cached records and responses when entries are appended.

import type { Entry } from '../log/entry.ts';
import type { EntryChange } from '../log/log-feed.ts';
import type { EntryListener } from '../log/entry-publisher.ts';
import { idsChanged } from '../replication/entry-operation.ts';
import type { RecordCache } from './record-cache.ts';
import type { ResultCache } from './result-cache.ts';
import type { ShardLSNs } from './shard-lsns.ts';

export interface InvalidationOptions {
  readonly heads: Pick<ShardLSNs, 'raise' | 'raiseAll'>;
  readonly records: Pick<RecordCache, 'changed' | 'unseen' | 'clear'>;
  readonly responses: Pick<ResultCache, 'clear'>;
}

export class Invalidation implements EntryListener {
  readonly #options: InvalidationOptions;

  constructor(options: InvalidationOptions) {
    this.#options = options;
  }

  /** Entries of another gateway may come without their content: they may change any record. */
  committed(entries: readonly (EntryChange & Pick<Entry, 'parsed'>)[]): void {
    const { heads, records, responses } = this.#options;
    for (const { lsn, kind, target, parsed } of entries) {
      heads.raise(target ?? '', lsn);
      records.changed(target ?? '', lsn, idsChanged(parsed));
      // A changed configuration may change what queries find.
      if (kind === 'modify_collection') responses.clear();
    }
  }

  /** There are entries up to `lsn` that another gateway appended: any shard may have changed. */
  unseen(lsn: number): void {
    this.#options.heads.raiseAll(lsn);
    this.#options.records.unseen(lsn);
  }

  /** Drops everything cached: a node's content was found to differ from the log. */
  forget(): void {
    this.#options.responses.clear();
    this.#options.records.clear();
  }
}

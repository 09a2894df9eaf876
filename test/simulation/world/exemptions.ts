// Shards and collections that may differ from the log, as docs/guarantees.md says; everything else is checked.

import type { Tables } from '../../support/fake-postgres/tables.ts';

export class Exemptions {
  /** Ids of shards and collections. */
  readonly #ids = new Set<string>();

  /** A PostgreSQL with `before` is replaced by one with `after`: what lost an entry, a decision or a copy is exempt. */
  rewound(before: Tables, after: Tables): void {
    for (const { lsn, target } of before.log.values())
      if (target !== null && (lsn > after.head.lsn || before.decisions.get(lsn) !== after.decisions.get(lsn)))
        this.#ids.add(target);
    for (const [key, row] of before.nodeShards)
      if (after.nodeShards.get(key) !== row) this.#ids.add(row.shard);
    for (const [id, row] of before.collections) if (after.collections.get(id) !== row) this.#ids.add(id);
    for (const [id, row] of before.shards) if (after.shards.get(id) !== row) this.#ids.add(id);
    this.#complete(before);
  }

  /** An entry was quarantined that some copy had applied: every healthy one, or only suspect ones. */
  ended(shard: string, tables: Tables): void {
    this.#ids.add(shard);
    this.#complete(tables);
  }

  get isEmpty(): boolean {
    return this.#ids.size === 0;
  }

  has(shardOrCollection: string): boolean {
    return this.#ids.has(shardOrCollection);
  }

  /** A shard and its collection are exempt together. */
  #complete({ shards }: Tables): void {
    for (const { id, collection } of shards.values()) {
      if (this.#ids.has(id)) this.#ids.add(collection);
      if (this.#ids.has(collection)) this.#ids.add(id);
    }
  }
}

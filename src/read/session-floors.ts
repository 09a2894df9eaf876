// I6: the LSN that a read through this gateway must reflect to see every write this gateway acknowledged on the collection.

import type { Operation } from '../chroma/protocol/operation.ts';
import type { LastChanges } from '../log/postgres-log.ts';
import { ShardLSNs } from './shard-lsns.ts';

export class SessionFloors {
  readonly #shards: ShardLSNs;
  #schema: number;

  /** What the log held at the start: other gateways may have acknowledged all of it. */
  constructor({ schema, shards, otherShards }: LastChanges) {
    this.#shards = new ShardLSNs(otherShards, shards);
    this.#schema = schema;
  }

  acknowledged(operation: Operation, lsn: number): void {
    if (operation.type === 'records') this.#shards.raise(operation.shard, lsn);
    else this.#schema = Math.max(this.#schema, lsn);
  }

  /** Changes of collections, databases and tenants up to `lsn` may have been acknowledged through any gateway. */
  raiseSchema(lsn: number): void {
    this.#schema = Math.max(this.#schema, lsn);
  }

  /** Writes up to these LSNs may have been acknowledged through gateways that are gone. */
  raiseShards(heads: ShardLSNs): void {
    this.#shards.raiseTo(heads);
  }

  /** The LSN up to which a node must have applied this shard. */
  shard(shard: string): number {
    return this.#shards.get(shard);
  }

  /** The LSN up to which a node must have applied everything, for reads of collections, databases and tenants. */
  get schema(): number {
    return this.#schema;
  }
}

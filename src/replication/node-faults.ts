// Contradictions between a node and the log.

/** A node has content under a name that is free in the log, or a collection cannot be created on it as logged. */
export class ForeignContent extends Error {
  override readonly name = 'ForeignContent';
}

/** A node lacks a shard that is assigned to it, or cannot use it. */
export class LacksShard extends Error {
  override readonly name = 'LacksShard';
  readonly shards: readonly string[];

  constructor(shards: readonly string[], reason: string) {
    super(reason);
    this.shards = shards;
  }
}

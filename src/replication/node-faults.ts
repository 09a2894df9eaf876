// What a node shows that contradicts the log.

/** A node holds something under a name that the log says is free, or cannot be given what the log says it has. */
export class ForeignContent extends Error {
  override readonly name = 'ForeignContent';
}

/** A node does not have a shard that the log says it has, or cannot use it. */
export class LacksShard extends Error {
  override readonly name = 'LacksShard';
  readonly shards: readonly string[];

  constructor(shards: readonly string[], reason: string) {
    super(reason);
    this.shards = shards;
  }
}

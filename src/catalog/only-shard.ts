// The one place that relies on a collection being one shard: code that would have to route records among several shards
// calls it.

/** The shard of a collection. Throws when the collection is not exactly one shard. */
export function onlyShard<S>({ shards }: { readonly shards: readonly S[] }): S {
  const [shard] = shards;
  if (shard === undefined || shards.length > 1) {
    throw new Error(`this release supports collections of exactly one shard; this one has ${shards.length}`);
  }
  return shard;
}

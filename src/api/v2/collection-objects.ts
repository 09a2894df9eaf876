// Collection objects as clients see them: a node's description with the id that Polychrome assigned.

import type { Catalog, Collection } from '../../catalog/catalog.ts';
import { elementEnds } from '../../chroma/batch/response-slices.ts';
import { collectionByNamePath, collectionsPath } from '../../chroma/protocol/paths.ts';
import { readTopLevel, withCollectionId } from '../../chroma/parse/rewrite.ts';
import { isRefusal } from '../../chroma/parse/refusal.ts';
import type { SessionFloors } from '../../read/session-floors.ts';
import type { RoutedRead, Reader } from '../../read/reader.ts';

export interface CollectionObjectsOptions {
  readonly catalog: Catalog;
  readonly reader: Reader;
  readonly floors: SessionFloors;
}

// Up to here objects are read one by one; for more, one list of the whole database is cheaper.
const SINGLY_MAX = 8;
const NEVER = new AbortController().signal;

export class CollectionObjects {
  readonly #options: CollectionObjectsOptions;

  constructor(options: CollectionObjectsOptions) {
    this.#options = options;
  }

  /** The object of a collection the catalog has; null when it was deleted or renamed meanwhile. */
  async one(collection: Collection, signal: AbortSignal = NEVER): Promise<Buffer | null> {
    const { catalog } = this.#options;
    const path = collectionByNamePath(collection, collection.name);
    try {
      return withCollectionId(await this.#read(path, this.#floor([collection]), signal), collection.id);
    } catch (error) {
      await catalog.refresh();
      if (catalog.collection(collection.id)?.name !== collection.name) return null;
      throw error;
    }
  }

  /** The objects of collections of one database, in their order, without those deleted meanwhile. */
  async many(collections: readonly Collection[], signal: AbortSignal): Promise<Buffer[]> {
    const first = collections[0];
    if (first === undefined) return [];
    const listed =
      collections.length <= SINGLY_MAX
        ? new Map<string, Buffer>()
        : objectsByName(await this.#read(collectionsPath(first), this.#floor(collections), signal));
    const objects = await Promise.all(
      collections.map(async (collection) => {
        const object = listed.get(collection.name);
        return object === undefined ? this.one(collection, signal) : withCollectionId(object, collection.id);
      }),
    );
    return objects.filter((object) => object !== null);
  }

  /** The LSN from which all of them are as this gateway acknowledged them. */
  #floor(collections: readonly Collection[]): number {
    const { floors } = this.#options;
    let floor = floors.schema;
    for (const { createdLSN, shards } of collections) {
      floor = Math.max(floor, createdLSN);
      for (const shard of shards) floor = Math.max(floor, floors.shard(shard.id));
    }
    return floor;
  }

  #read(path: string, floor: number, signal: AbortSignal): Promise<Buffer> {
    const read: RoutedRead = { method: 'GET', path: () => path };
    return this.#options.reader.readBody({ shard: null, floor, sticky: false }, read, signal);
  }
}

/** The objects of a node's list, each by its name. */
function objectsByName(list: Buffer): Map<string, Buffer> {
  const objects = new Map<string, Buffer>();
  let start = 1;
  for (const end of elementEnds(list, 0)) {
    const object = list.subarray(start, end);
    const fields = readTopLevel(object, ['name']);
    const name = isRefusal(fields) ? undefined : fields.get('name');
    if (name?.type === 'string') objects.set(name.value, object);
    start = end + 1;
  }
  return objects;
}

// Collection objects as clients see them: a node's description with the identity that Polychrome assigned, and the dimension
// that the log has fixed. A node may know the collection by another name (repair/shard-copier.ts).

import type { Catalog, Collection } from '../../catalog/catalog.ts';
import { onlyShard } from '../../catalog/only-shard.ts';
import { elementEnds } from '../../chroma/batch/response-slices.ts';
import { collectionByNamePath, collectionsPath } from '../../chroma/protocol/paths.ts';
import { readTopLevel, withCollectionIdentity } from '../../chroma/parse/rewrite.ts';
import { isRefusal } from '../../chroma/parse/refusal.ts';
import type { SessionFloors } from '../../read/session-floors.ts';
import type { RoutedRead, Reader } from '../../read/reader.ts';
import { refreshed } from './catalog-refresh.ts';

export interface CollectionObjectsOptions {
  readonly catalog: Pick<Catalog, 'collection' | 'copies' | 'refresh'>;
  readonly reader: Pick<Reader, 'readBody'>;
  readonly floors: Pick<SessionFloors, 'schema'>;
}

// Up to here objects are read one by one; for more, one list of the whole database is cheaper.
const SINGLY_MAX = 8;
const NEVER = new AbortController().signal;

export class CollectionObjects {
  readonly #options: CollectionObjectsOptions;

  constructor(options: CollectionObjectsOptions) {
    this.#options = options;
  }

  /** The object of a collection the catalog has, under its present name; null when it was deleted meanwhile. */
  async one(collection: Collection, signal: AbortSignal = NEVER): Promise<Buffer | null> {
    return this.#present(collection, () => true, signal);
  }

  /** As `one`; null also when it was renamed meanwhile. */
  async named(collection: Collection, signal: AbortSignal = NEVER): Promise<Buffer | null> {
    return this.#present(collection, ({ name }) => name === collection.name, signal);
  }

  /** The objects of collections of one database, in their order, without those deleted meanwhile. */
  async many(collections: readonly Collection[], signal: AbortSignal): Promise<Buffer[]> {
    const first = collections[0];
    if (first === undefined) return [];
    const listed =
      collections.length <= SINGLY_MAX
        ? new Map<string, Buffer>()
        : objectsById(await this.#list(collections, signal));
    const objects = await Promise.all(
      collections.map(async (collection) => {
        const object = this.#listedObject(collection, listed);
        return object === null ? this.one(collection, signal) : withIdentity(object, collection);
      }),
    );
    return objects.filter((object) => object !== null);
  }

  async #present(
    collection: Collection,
    isWanted: (current: Collection) => boolean,
    signal: AbortSignal,
  ): Promise<Buffer | null> {
    const { catalog } = this.#options;
    try {
      return await this.#object(collection, signal);
    } catch {
      // The name by which a node knows it may have changed since the catalog was read.
      await refreshed(catalog);
      const current = catalog.collection(collection.id);
      const isThere = current !== null && current.state !== 'deleted';
      return isThere && isWanted(current) ? this.#object(current, signal) : null;
    }
  }

  /** The object that a list has for one of the collection's healthy copies; null when it has none. */
  #listedObject(collection: Collection, listed: ReadonlyMap<string, Buffer>): Buffer | null {
    for (const { physical, suspect } of this.#options.catalog.copies(onlyShard(collection).id)) {
      const object = suspect === null ? listed.get(physical) : undefined;
      if (object !== undefined) return object;
    }
    return null;
  }

  /** The LSN from which all of them are as this gateway acknowledged them; writes of records change only the dimension. */
  #floor(collections: readonly Collection[]): number {
    let floor = this.#options.floors.schema;
    for (const { createdLSN } of collections) floor = Math.max(floor, createdLSN);
    return floor;
  }

  async #object(collection: Collection, signal: AbortSignal): Promise<Buffer> {
    const { catalog, reader } = this.#options;
    const shard = onlyShard(collection).id;
    const path = (physicalId: string): string => {
      const copy = catalog.copies(shard).find(({ physical }) => physical === physicalId);
      return collectionByNamePath(collection, copy?.name ?? collection.name);
    };
    const requirements = { shard, floor: this.#floor([collection]), sticky: false };
    const object = await reader.readBody(requirements, { method: 'GET', path }, signal);
    return withIdentity(object, collection);
  }

  #list(collections: readonly Collection[], signal: AbortSignal): Promise<Buffer> {
    const path = collectionsPath(collections[0] as Collection);
    const read: RoutedRead = { method: 'GET', path: () => path };
    const requirements = { shard: null, floor: this.#floor(collections), sticky: false };
    return this.#options.reader.readBody(requirements, read, signal);
  }
}

function withIdentity(object: Buffer, collection: Collection): Buffer {
  const { id, name, tenant, database } = collection;
  const { dimension } = onlyShard(collection);
  return withCollectionIdentity(object, { id, name, tenant, database, dimension });
}

/** The objects of a node's list, each by its id there. */
function objectsById(list: Buffer): Map<string, Buffer> {
  const objects = new Map<string, Buffer>();
  let start = 1;
  for (const end of elementEnds(list, 0)) {
    const object = list.subarray(start, end);
    const fields = readTopLevel(object, ['id']);
    const id = isRefusal(fields) ? undefined : fields.get('id');
    if (id?.type === 'string') objects.set(id.value, object);
    start = end + 1;
  }
  return objects;
}

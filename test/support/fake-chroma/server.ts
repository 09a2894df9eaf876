// A Chroma 1.0.5 server in memory, with content that survives its process. Calls that it does not model throw NotModelled;
// test/conformance asserts its behaviour of real servers too.

import {
  canonicalUuid,
  checkDimension,
  checkName,
  CONFIGURATION,
  copyOf,
  fixDimension,
  listText,
  objectText,
  shown,
  vectorText,
  type Collection,
} from './collection.ts';
import { float32Text, writeJson } from './json.ts';
import {
  type FakeResponse,
  count,
  included,
  invalid,
  itemsOf,
  metadataOf,
  NotModelled,
  queryEmbeddings,
  readObject,
  readWrite,
  Refused,
  texts,
  type WriteKind,
} from './payload.ts';
import { distance, documentOf, Records, type StoredRecord, uriOf, visibleMetadata } from './records.ts';

interface Database {
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
}

/** A copy of everything that a server has stored. */
export interface Disk {
  readonly tenants: ReadonlySet<string>;
  readonly databases: readonly Database[];
  readonly collections: ReadonlyMap<string, Collection>;
}

const NIL_UUID = '00000000-0000-0000-0000-000000000000';

const ok = (text = '{}', status = 200): FakeResponse => ({ status, text });
const notFound = (message: string): Refused => new Refused(404, 'NotFoundError', message);
const exists = (what: string): Refused => new Refused(409, 'ChromaError', `${what} already exists`);
const internal = (message: string): Refused => new Refused(500, 'InternalError', message);

export class FakeChroma {
  readonly #random: () => number;
  #tenants = new Set(['default_tenant']);
  #databases: Database[] = [{ id: NIL_UUID, name: 'default_database', tenant: 'default_tenant' }];
  #collections = new Map<string, Collection>();

  /** Whether every write fails until the process ends. */
  get isPoisoned(): boolean {
    return this.#readerDead;
  }

  /** The log reader panics, as on a metadata key that stops a server. */
  poison(): void {
    this.#readerDead = true;
  }

  /** Whether the log reader has panicked: no backlog is applied until the process ends. */
  #readerDead = false;
  /** Collections whose backlog this process has applied once; reads of these do not need the log reader. */
  #caughtUp = new Set<string>();

  /** `random`: numbers in [0, 1), for ids. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Starts a process on the same content. */
  restart(): void {
    this.#readerDead = false;
    this.#caughtUp = new Set();
    for (const { records } of this.#collections.values()) records.restart();
  }

  disk(): Disk {
    const collections = [...this.#collections].map(([id, each]) => [id, copyOf(each)] as const);
    return {
      tenants: new Set(this.#tenants),
      databases: [...this.#databases],
      collections: new Map(collections),
    };
  }

  /** Starts a process on other content, such as an older copy, which lacks the last writes. */
  restore(disk: Disk): void {
    this.#tenants = new Set(disk.tenants);
    this.#databases = [...disk.databases];
    this.#collections = new Map([...disk.collections].map(([id, each]) => [id, copyOf(each)]));
    this.restart();
  }

  /** The records that a read of the collection finds while the log reader works, without the effects of a read. */
  peekRecords(id: string): readonly StoredRecord[] | null {
    const appliesBacklog = !this.#caughtUp.has(id) && !this.#readerDead;
    return this.#collections.get(id)?.records.peek(appliesBacklog) ?? null;
  }

  peekCollections(): readonly Readonly<Collection>[] {
    return [...this.#collections.values()];
  }

  /** The collection of that name; null when there is none. */
  peekNamed(tenant: string, database: string, name: string): Readonly<Collection> | null {
    for (const each of this.#collections.values())
      if (each.name === name && each.database === database && each.tenant === tenant) return each;
    return null;
  }

  createTenant(body: string): FakeResponse {
    const name = nameIn(body);
    if (name.length < 3) throw invalid('Validation error: name: Validation error: length');
    if (this.#tenants.has(name)) throw exists(`Tenant [${name}]`);
    this.#tenants.add(name);
    return ok();
  }

  getTenant(tenant: string): FakeResponse {
    if (!this.#tenants.has(tenant)) throw notFound(`Tenant [${tenant}] not found`);
    return ok(JSON.stringify({ name: tenant, resource_name: null }));
  }

  createDatabase(tenant: string, body: string): FakeResponse {
    const name = nameIn(body);
    if (name.length < 3) throw new NotModelled('how releases refuse short names of databases');
    if (this.#database(tenant, name) !== undefined) throw exists(`Database [${name}]`);
    // The tenant need not exist.
    this.#databases.push({ id: this.#uuid(), name, tenant });
    return ok();
  }

  listDatabases(tenant: string): FakeResponse {
    return ok(JSON.stringify(this.#databases.filter((each) => each.tenant === tenant)));
  }

  getDatabase(tenant: string, name: string): FakeResponse {
    const found = this.#database(tenant, name);
    if (found === undefined) throw notFound(`Database [${name}] not found. Are you sure it exists?`);
    return ok(JSON.stringify(found));
  }

  deleteDatabase(tenant: string, name: string): FakeResponse {
    const found = this.#database(tenant, name);
    if (found === undefined) throw notFound(`Database [${name}] not found`);
    this.#databases = this.#databases.filter((each) => each !== found);
    for (const { id } of this.#inDatabase(tenant, name)) this.#collections.delete(id);
    return ok();
  }

  createCollection(tenant: string, database: string, body: string): FakeResponse {
    const fields = readObject(body);
    const name = fields['name'];
    if (typeof name !== 'string') throw new NotModelled('a collection without a name');
    const configuration = fields['configuration'] ?? null;
    const { hnsw } = readObject(CONFIGURATION);
    const isDefault = hnsw !== undefined && writeJson(configuration) === writeJson({ hnsw });
    if (configuration !== null && !isDefault) throw new NotModelled('a configuration of its own');
    const metadata = metadataOf(fields['metadata'] ?? null, false);
    if (metadata?.size === 0) throw invalid('Validation error: metadata: Metadata cannot be empty');
    checkName(name, 'name');
    if (this.#database(tenant, database) === undefined) {
      throw invalid(`Database [${database}] does not exist`);
    }
    const found = this.#named(tenant, database, name);
    if (found !== undefined) {
      if (fields['get_or_create'] === true) return ok(shown(found));
      throw exists(`Collection [${name}]`);
    }
    const id = this.#uuid();
    const collection = { id, tenant, database, name, metadata, dimension: null, records: new Records() };
    this.#collections.set(id, collection);
    return ok(shown(collection));
  }

  /** Ordered by id, as a server does; the order differs between nodes. */
  listCollections(tenant: string, database: string, page: URLSearchParams): FakeResponse {
    const all = this.#inDatabase(tenant, database).sort((a, b) => (a.id < b.id ? -1 : 1));
    const offset = Number(page.get('offset') ?? 0);
    const limit = Number(page.get('limit') ?? Infinity);
    return ok(
      `[${all
        .slice(offset, offset + limit)
        .map(shown)
        .join(',')}]`,
    );
  }

  countCollections(tenant: string, database: string): FakeResponse {
    return ok(String(this.#inDatabase(tenant, database).length));
  }

  getCollection(tenant: string, database: string, name: string): FakeResponse {
    const found = this.#named(tenant, database, name);
    if (found === undefined) throw notFound(`Collection [${name}] does not exists`);
    return ok(shown(found));
  }

  deleteCollection(tenant: string, database: string, name: string): FakeResponse {
    const found = this.#named(tenant, database, name);
    if (found === undefined) throw notFound(`Collection [${name}] does not exists`);
    this.#collections.delete(found.id);
    return ok();
  }

  modifyCollection(id: string, body: string): FakeResponse {
    const fields = readObject(body);
    if ((fields['new_configuration'] ?? null) !== null) throw new NotModelled('a new configuration');
    const name = fields['new_name'] ?? null;
    const metadata = metadataOf(fields['new_metadata'] ?? null, true);
    const collection = this.#collection(id, () => {
      if (typeof name === 'string') checkName(name, 'new_name');
      if (metadata?.size === 0) throw invalid('Validation error: new_metadata: Metadata cannot be empty');
    });
    if (typeof name === 'string') {
      const other = this.#named(collection.tenant, collection.database, name);
      if (other !== undefined && other !== collection) {
        throw internal(
          'Database error: error returned from database: (code: 2067) UNIQUE constraint failed: collections.name, collections.database_id',
        );
      }
      collection.name = name;
    }
    if (metadata !== null) collection.metadata = metadata;
    return ok();
  }

  write(kind: WriteKind, id: string, body: string): FakeResponse {
    const payload = readWrite(kind, body);
    const collection = this.#collection(id);
    fixDimension(collection, payload);
    const items = itemsOf(payload);
    return this.#take(collection, items, kind === 'add' ? 201 : 200, () =>
      collection.records.queue({ kind, items }),
    );
  }

  deleteRecords(id: string, body: string): FakeResponse {
    const fields = readObject(body);
    const ids = texts(fields, 'ids');
    const collection = this.#collection(id);
    const filtered = (fields['where'] ?? null) !== null || (fields['where_document'] ?? null) !== null;
    if (!filtered && ids === null) return ok();
    if (ids?.length === 0) {
      if (filtered) throw new NotModelled('a filtered delete of no ids');
      throw invalid('Validation error: ids, where: Either ids or where must be specified');
    }
    let doomed = ids ?? [];
    if (filtered) {
      this.#readable(collection, 'Failed to resolve records for deletion');
      doomed = collection.records.select(fields, ids).map((record) => record.id); // ignores a limit
    }
    return this.#take(collection, doomed, 200, () =>
      collection.records.queue({ kind: 'delete', ids: doomed }),
    );
  }

  countRecords(id: string): FakeResponse {
    const collection = this.#collection(id);
    this.#readable(collection);
    return ok(String(collection.records.size));
  }

  getRecords(id: string, body: string): FakeResponse {
    const fields = readObject(body);
    const ids = texts(fields, 'ids');
    const include = included(fields, ['documents', 'metadatas']);
    const [limit, offset] = [count(fields, 'limit'), count(fields, 'offset') ?? 0];
    const collection = this.#collection(id);
    this.#readable(collection);
    const found = collection.records
      .select(fields, ids)
      .slice(offset, limit === null ? undefined : offset + limit);
    const column = <T>(name: string, of: (record: (typeof found)[number]) => T): T[] | null =>
      include.includes(name) ? found.map(of) : null;
    return ok(
      objectText({
        ids: JSON.stringify(found.map((each) => each.id)),
        embeddings: listText(column('embeddings', ({ embedding }) => vectorText(embedding))),
        documents: JSON.stringify(column('documents', documentOf)),
        uris: JSON.stringify(column('uris', uriOf)),
        metadatas: listText(column('metadatas', (each) => writeJson(visibleMetadata(each)))),
        include: JSON.stringify(include),
      }),
    );
  }

  query(id: string, body: string): FakeResponse {
    const fields = readObject(body);
    const vectors = queryEmbeddings(fields);
    const results = count(fields, 'n_results') ?? 10;
    const ids = texts(fields, 'ids');
    const include = included(fields, ['documents', 'metadatas', 'distances']);
    const collection = this.#collection(id);
    checkDimension(collection, vectors);
    this.#readable(collection);
    if (ids?.some((each) => !collection.records.has(each)) === true) {
      throw internal('Error executing plan: Internal error: Error finding id');
    }
    const candidates = collection.records.select(fields, ids);
    const found = vectors.map((vector) =>
      candidates
        .map((each) => ({ each, apart: distance(vector, each.embedding) }))
        .sort((a, b) => a.apart - b.apart)
        .slice(0, results),
    );
    type Found = (typeof found)[number][number];
    const column = (name: string, of: (hit: Found) => string): string =>
      include.includes(name) || name === 'ids'
        ? listText(found.map((hits) => listText(hits.map(of))))
        : 'null';
    return ok(
      objectText({
        ids: column('ids', ({ each }) => JSON.stringify(each.id)),
        embeddings: column('embeddings', ({ each }) => vectorText(each.embedding)),
        documents: column('documents', ({ each }) => JSON.stringify(documentOf(each))),
        uris: column('uris', ({ each }) => JSON.stringify(uriOf(each))),
        metadatas: column('metadatas', ({ each }) => writeJson(visibleMetadata(each))),
        distances: column('distances', ({ apart }) => float32Text(apart)),
        include: JSON.stringify(include),
      }),
    );
  }

  /** Stores a write, then applies it; the response reports only the second. */
  #take(
    collection: Collection,
    touched: readonly unknown[],
    status: number,
    commit: () => void,
  ): FakeResponse {
    if (touched.length === 0) return ok('{}', status);
    commit();
    if (this.#readerDead) throw internal('Error sending message to compactor');
    switch (collection.records.catchUp()) {
      case 'panic':
        this.#readerDead = true;
        throw internal('Error sending message to compactor');
      case 'wedged':
        throw invalid('Error in compaction: Failed to pull logs from the log store');
      case 'too many keys':
        throw internal('Error in compaction: Failed to apply logs to the metadata segment');
      case null:
        return ok('{}', status);
    }
  }

  /** The first read of a collection by this process applies its backlog; later reads do not. */
  #readable(collection: Collection, doing = 'Error executing plan'): void {
    if (this.#caughtUp.has(collection.id)) return;
    const failed = `${doing}: Error sending backfill request to compactor`;
    if (this.#readerDead) throw internal(`${failed}: Failed to send request`);
    switch (collection.records.catchUp()) {
      case 'panic':
        this.#readerDead = true;
        throw internal(`${failed}: Failed to receive response`);
      case 'wedged':
        throw invalid(`${failed}: Failed to pull logs from the log store`);
      case 'too many keys':
        throw internal(`${failed}: Failed to apply logs to the metadata segment`);
      case null:
        this.#caughtUp.add(collection.id);
        collection.records.read();
    }
  }

  /** By id, whatever tenant and database the path names. `check` runs between parsing the id and the lookup. */
  #collection(id: string, check: () => void = () => undefined): Collection {
    const canonical = canonicalUuid(id);
    if (canonical === null) throw invalid('Collection ID is not a valid UUIDv4');
    check();
    const found = this.#collections.get(canonical);
    if (found === undefined) throw notFound(`Collection [${canonical}] does not exists.`);
    return found;
  }

  #database(tenant: string, name: string): Database | undefined {
    return this.#databases.find((each) => each.tenant === tenant && each.name === name);
  }

  #inDatabase(tenant: string, database: string): Collection[] {
    return [...this.#collections.values()].filter(
      (each) => each.tenant === tenant && each.database === database,
    );
  }

  #named(tenant: string, database: string, name: string): Collection | undefined {
    return this.peekNamed(tenant, database, name) ?? undefined;
  }

  #uuid(): string {
    const digits = Array.from({ length: 32 }, () => Math.floor(this.#random() * 16).toString(16));
    digits[12] = '4';
    digits[16] = '8';
    return canonicalUuid(digits.join('')) ?? '';
  }
}

function nameIn(body: string): string {
  const { name } = readObject(body);
  if (typeof name !== 'string') throw new NotModelled('a body without a name');
  return name;
}

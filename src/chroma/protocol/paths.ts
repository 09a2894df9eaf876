// Builds every path of Chroma's HTTP API that Polychrome calls, from typed parts.
//
// Paths are never made by replacing text in other paths: a tenant may be called "collections", and a name may contain an id.
// Routes: rust/frontend/src/server.rs:285-397 in chroma-core/chroma.

/** A database by the names that clients use, which nodes use too. */
export interface DatabaseName {
  readonly tenant: string;
  readonly database: string;
}

/** Last segment of a path for the records of a collection. */
export type RecordAction = 'add' | 'upsert' | 'update' | 'delete' | 'get' | 'query' | 'count' | 'search';

const ROOT = '/api/v2';

/** One path segment, percent-encoded; throws RangeError when empty, URIError when not well-formed Unicode. */
export function segment(text: string): string {
  if (text === '') throw new RangeError('a path segment must not be empty');
  // encodeURIComponent leaves dots alone, and a reverse proxy before the node may resolve "." and ".." away.
  if (text === '.' || text === '..') return text.replaceAll('.', '%2E');
  return encodeURIComponent(text);
}

/** max_batch_size and supports_base64_encoding. */
export const preflightPath = `${ROOT}/pre-flight-checks`;

/** The description of the API, about 35 KiB; only it distinguishes releases without writing. */
export const openApiPath = '/openapi.json';

/** POST here creates a tenant. */
export const tenantsPath = `${ROOT}/tenants`;

/** One tenant. */
function tenantPath(tenant: string): string {
  return `${tenantsPath}/${segment(tenant)}`;
}

/** The databases of a tenant: POST creates, GET lists. */
export function databasesPath(tenant: string): string {
  return `${tenantPath(tenant)}/databases`;
}

/** One database: GET reads it, DELETE deletes it with its collections. */
export function databasePath(name: DatabaseName): string {
  return `${databasesPath(name.tenant)}/${segment(name.database)}`;
}

/** The collections of a database: POST creates, GET lists. */
export function collectionsPath(name: DatabaseName): string {
  return `${databasePath(name)}/collections`;
}

/** How many collections a database holds. */
export function collectionsCountPath(name: DatabaseName): string {
  return `${databasePath(name)}/collections_count`;
}

/** A collection by name: GET and DELETE accept names only; the status for an id is 404. */
export function collectionByNamePath(name: DatabaseName, collection: string): string {
  return `${collectionsPath(name)}/${segment(collection)}`;
}

/** A collection by the id that the node gave it: PUT accepts ids only. */
export function collectionByIdPath(name: DatabaseName, physicalId: string): string {
  return `${collectionsPath(name)}/${segment(physicalId)}`;
}

/** The records of a collection, by the id that the node gave it. */
export function recordsPath(name: DatabaseName, physicalId: string, action: RecordAction): string {
  return `${collectionByIdPath(name, physicalId)}/${action}`;
}

// One operation as data: what is sent, byte for byte, except for what only a run knows. A sequence of them can be
// printed, shrunk and replayed.
//
// Placeholders, in paths and bodies: {tenant} is the tenant this run made for itself. In paths only: {id:NAME} is the
// id under which this side last showed the collection NAME; {upper:NAME}, {undashed:NAME} and {urn:NAME} are the same
// id written otherwise. Everything else between braces is sent as it stands.

export interface Operation {
  /** What a person would call it. */
  readonly action: string;
  readonly method: string;
  /** Path and query string as they go on the wire. */
  readonly path: string;
  readonly body?: string;
  /** Instead of `body`, for bytes that are not UTF-8: base64, without placeholders. */
  readonly bytes?: string;
  /** Instead of `content-type: application/json`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What goes out on one side. */
export interface WireRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
}

export interface Names {
  readonly tenant: string;
  /** The id of the collection last seen under this name; the same unknown id on both sides when there was none. */
  id(name: string): string;
}

const ID = /\{(id|upper|undashed|urn):([^{}]*)\}/g;

/** The names of collections that a path refers to by id. */
export function referredCollections(path: string): string[] {
  return [...path.matchAll(ID)].map((match) => match[2] ?? '');
}

/** The operation with its placeholders filled in. */
export function toRequest(operation: Operation, names: Names): WireRequest {
  const { method, headers, body, bytes } = operation;
  const path = operation.path
    .replaceAll('{tenant}', names.tenant)
    .replaceAll(ID, (_whole, form: string, name: string) => written(names.id(name), form));
  const content =
    bytes === undefined ? body?.replaceAll('{tenant}', names.tenant) : Buffer.from(bytes, 'base64');
  return {
    method,
    path,
    headers: headers ?? (content === undefined ? {} : { 'content-type': 'application/json' }),
    body: content === undefined ? null : Buffer.from(content),
  };
}

function written(id: string, form: string): string {
  if (form === 'upper') return id.toUpperCase();
  if (form === 'undashed') return id.replaceAll('-', '');
  return form === 'urn' ? `urn:uuid:${id}` : id;
}

/** The place in the API a path names. */
export interface Place {
  readonly tenant: string | null;
  readonly database: string | null;
  /** The segment after `collections`: a name or an id. */
  readonly collection: string | null;
  /** What follows it: `add`, `get`, … */
  readonly call: string | null;
}

/** Takes a path on the wire apart by its segments; null where there is none or its escapes are broken. */
export function placeOf(path: string): Place {
  const segments = (path.split('?', 1)[0] ?? '').split('/').map(decoded);
  const [, api, version, tenants, tenant, databases, database, collections, collection, call] = segments;
  const inTenant = api === 'api' && version === 'v2' && tenants === 'tenants';
  const inDatabase = inTenant && databases === 'databases';
  const inCollection = inDatabase && collections === 'collections';
  return {
    tenant: inTenant ? (tenant ?? null) : null,
    database: inDatabase ? (database ?? null) : null,
    collection: inCollection ? (collection ?? null) : null,
    call: inCollection ? (call ?? null) : null,
  };
}

function decoded(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

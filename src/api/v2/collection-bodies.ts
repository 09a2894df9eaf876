// Validates the bodies of schema calls as far as a gateway can; the primary decides on the rest.

import { crashesServers, readCollectionMetadata } from '../../chroma/parse/collection-metadata.ts';
import { Faults } from '../../chroma/parse/faults.ts';
import { JsonCursor, JsonSyntaxError, OBJECT_CLOSE, type Slice } from '../../chroma/parse/json.ts';
import type { Wording } from '../../chroma/protocol/messages.ts';
import { readMetadata } from '../../chroma/parse/metadata-column.ts';
import {
  invalidArgument,
  isRefusal,
  shapeRefusal,
  RefusedBody,
  type Refusal,
} from '../../chroma/parse/refusal.ts';
import { readTopLevel, type TopLevelValue } from '../../chroma/parse/rewrite.ts';
import { PolychromeError } from '../../errors.ts';

/** Required string fields of a body, in this order; or Chroma's refusal when one is missing. */
export function stringFields(body: Buffer, payload: string, names: readonly string[]): string[] | Refusal {
  const types = Object.fromEntries(names.map((name) => [name, 'a string' as const]));
  const fields = readTopLevel(body, names, { name: `struct ${payload}`, types });
  if (isRefusal(fields)) return fields;
  const found = names.map((name) => fields.get(name));
  const missing = names.find((_name, index) => found[index] === undefined);
  if (missing !== undefined) return shapeRefusal(body, endOfJson(body), `missing field \`${missing}\``);
  return found.map((field) => (field?.type === 'string' ? field.value : ''));
}

/** As stringFields, for a single one. */
export function stringField(body: Buffer, payload: string, name: string): string | Refusal {
  const found = stringFields(body, payload, [name]);
  return isRefusal(found) ? found : (found[0] as string);
}

// serde reports a missing field at the closing brace.
function endOfJson(body: Buffer): number {
  return body.lastIndexOf(OBJECT_CLOSE) + 1;
}

const UNSTORABLE =
  'Lists and sparse vectors in the metadata of a collection are not supported: a server cannot store them.';
const FATAL = 'max_neighbors must be from 2 to 10000: other values end a server or make it hang.';

// Names of collections: rust/types/src/validators.rs.
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]$/;
const NAME_LENGTH_MIN = 3;
const IP_ADDRESS = /^\d{1,3}(\.\d{1,3}){3}$/;

/** Why Chroma refuses a modification of a collection, or null; `fields` are those of its body. */
export function modificationFault(
  body: Buffer,
  fields: ReadonlyMap<string, TopLevelValue>,
  { modern }: Wording,
): Refusal | null {
  const [name, metadata] = [fields.get('new_name'), fields.get('new_metadata')];
  const faultOf = modern ? topologicalFault : nameFault;
  const faults = {
    new_name: name?.type === 'string' ? faultOf(name.value) : null,
    new_metadata:
      metadata?.type === 'object' ? readCollectionMetadata(body, metadata.slice, modern).fault : null,
  };
  const reported = Object.entries(faults).flatMap(([field, fault]) =>
    fault === null ? [] : [`${field}: ${fault}`],
  );
  return reported.length === 0 ? null : invalidArgument(`Validation error: ${reported.join('\n')}`);
}

/** Throws when `fields` describe a collection that ends a server or makes it hang. */
export function refuseHazards(
  body: Buffer,
  fields: ReadonlyMap<string, TopLevelValue>,
  { modern }: Wording,
): void {
  for (const [name, { type, slice }] of fields) {
    if (type !== 'object') continue;
    const metadata = name.endsWith('metadata') ? readCollectionMetadata(body, slice, modern) : null;
    if (metadata?.unstorable === true) throw new PolychromeError('unsupported', UNSTORABLE);
    if (metadata?.crashesServers ?? crashesServers(body, slice))
      throw new PolychromeError('invalid_argument', FATAL);
  }
}

/**
 * Whether a modification is readable, and changes nothing but metadata that no server can store: then no node needs to
 * validate it, and its handler would panic. With a new name a node first finds that the collection is missing, and only
 * a node can validate a configuration (rust/sysdb/src/sqlite.rs, update_collection).
 */
export function isOnlyUnstorable(body: Buffer, { modern }: Wording): boolean {
  const fields = readTopLevel(body, ['new_name', 'new_metadata', 'new_configuration']);
  if (!modern || isRefusal(fields)) return false;
  const metadata = fields.get('new_metadata');
  if (metadata?.type !== 'object') return false;
  if ([...fields.values()].some((field) => field !== metadata && field.type !== 'null')) return false;
  const { fault, unstorable } = readCollectionMetadata(body, metadata.slice, modern);
  return fault === null && unstorable && isReadable(body, metadata.slice);
}

// Values have the types that the metadata of a record's update may have.
function isReadable(body: Buffer, { start }: Slice): boolean {
  const cursor = new JsonCursor(body, true);
  cursor.pos = start;
  try {
    readMetadata(cursor, 0, { kind: 'update', arrays: true, faults: new Faults() });
    return true;
  } catch (error) {
    if (error instanceof RefusedBody || error instanceof JsonSyntaxError) return false;
    throw error;
  }
}

/** Why Chroma refuses a database's name, or null; releases without schemas accept any that is long enough. */
export function databaseNameFault(name: string, { modern }: Wording): Refusal | null {
  if (!modern) return tooShort('database_name', name);
  const fault = topologicalFault(name);
  return fault === null ? null : invalidArgument(fault);
}

/** Why Chroma refuses a tenant's name, or null. */
export function tenantNameFault(name: string): Refusal | null {
  return tooShort('name', name);
}

// Newer releases accept the name of a topology and a plus before a name.
function topologicalFault(name: string): string | null {
  const parts = name.split('+');
  if (parts.length > 2) return 'Expected a name to contain at most one topology:  Got two `+` characters.';
  return parts.map(nameFault).find((fault) => fault !== null) ?? null;
}

function nameFault(name: string): string | null {
  if (!NAME.test(name)) {
    return `Expected a name containing 3-512 characters from [a-zA-Z0-9._-], starting and ending with a character in [a-zA-Z0-9]. Got: ${name}`;
  }
  if (name.includes('..')) {
    return `Expected a name that does not contains two consecutive periods (..). Got ${name}`;
  }
  return IP_ADDRESS.test(name) ? `Expected a name that is not a valid ip address. Got ${name}` : null;
}

function tooShort(field: string, value: string): Refusal | null {
  if (Array.from(value).length >= NAME_LENGTH_MIN) return null;
  const text = `{"value": String(${JSON.stringify(value)}), "min": Number(${NAME_LENGTH_MIN})}`;
  return invalidArgument(`Validation error: ${field}: Validation error: length [${text}]`);
}

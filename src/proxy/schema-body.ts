// What the door checks in the bodies of schema calls; the rest only a node can judge, and the primary does.

import type { Wording } from '../chroma/messages.ts';
import type { Refusal } from '../chroma/record-call.ts';
import { invalid, isRefusal, misshapen, wrongType } from '../chroma/refusal.ts';
import { readTopLevel } from '../chroma/rewrite.ts';

/** A required string field of a body, or what Chroma answers when it is not there. */
export function stringField(body: Buffer, name: string): string | Refusal {
  const fields = readTopLevel(body, [name]);
  if (isRefusal(fields)) return fields;
  const field = fields.get(name);
  if (field?.type === 'string') return field.value;
  if (field === undefined) return misshapen(body, body.length, `missing field \`${name}\``);
  return wrongType(body, field.slice, `${name}: `, 'a string');
}

// rust/types/src/validators.rs: what a collection may be called.
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]$/;
const NAME_LENGTH_MIN = 3;
const IP_ADDRESS = /^\d{1,3}(\.\d{1,3}){3}$/;

/** Why Chroma does not take a collection's name, or null. */
export function collectionNameFault(field: string, name: string, wording: Wording): Refusal | null {
  const fault = wording.modern ? topologicalFault(name) : nameFault(name);
  return fault === null ? null : invalid(`Validation error: ${field}: ${fault}`);
}

/** Why Chroma does not take a database's name, or null; releases that do not know schemas take any long enough. */
export function databaseNameFault(name: string, { modern }: Wording): Refusal | null {
  if (!modern) return tooShort('database_name', name);
  const fault = topologicalFault(name);
  return fault === null ? null : invalid(fault);
}

/** Why Chroma does not take a tenant's name, or null. */
export function tenantNameFault(name: string): Refusal | null {
  return tooShort('name', name);
}

// Newer releases take the name of a topology, and a plus, before a name.
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
  return invalid(`Validation error: ${field}: Validation error: length [${text}]`);
}

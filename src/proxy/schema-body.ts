// What the door checks in the bodies of schema calls; the rest only a node can judge, and the primary does.

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
const IP_ADDRESS = /^\d{1,3}(\.\d{1,3}){3}$/;

/** Why Chroma does not take a collection's name, or null. */
export function collectionNameFault(field: string, name: string): Refusal | null {
  if (!NAME.test(name)) {
    return invalid(
      `Validation error: ${field}: Expected a name containing 3-512 characters from [a-zA-Z0-9._-], starting and ending with a character in [a-zA-Z0-9]. Got: ${name}`,
    );
  }
  if (name.includes('..')) {
    return invalid(
      `Validation error: ${field}: Expected a name that does not contains two consecutive periods (..). Got: ${name}`,
    );
  }
  if (IP_ADDRESS.test(name)) {
    return invalid(
      `Validation error: ${field}: Expected a name that is not a valid ip address. Got: ${name}`,
    );
  }
  return null;
}

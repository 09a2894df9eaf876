// Reads collection ids in paths, in every notation that Rust's uuid crate accepts in Chroma's servers.

/** Chroma's message, with status 400, for a collection id that is not a UUID; checked before any lookup. */
export const NOT_A_COLLECTION_ID = 'Collection ID is not a valid UUIDv4';

const DASHED = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const PLAIN = /^[0-9a-f]{32}$/;
const URN = 'urn:uuid:';

/**
 * The lower-case form with dashes of a UUID in any notation that Chroma accepts: either case, without dashes, in braces,
 * or as urn:uuid:…; null for anything else. Despite the message, the version digit is not checked.
 */
export function canonicalUuid(text: string): string | null {
  if (text.length === 36 && DASHED.test(text)) return text;
  let hex = text.toLowerCase();
  if (text.startsWith('{') && text.endsWith('}')) hex = hex.slice(1, -1);
  else if (text.startsWith(URN)) hex = hex.slice(URN.length);
  if (DASHED.test(hex)) return hex;
  if (!PLAIN.test(hex) || hex.length !== text.length) return null;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

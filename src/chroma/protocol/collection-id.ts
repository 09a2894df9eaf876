// Collection ids in paths. Chroma parses them with Rust's uuid crate, which knows more spellings than the usual one.

/** What Chroma answers, with 400, to a collection id that is no UUID. Checked before anything is looked up. */
export const NOT_A_COLLECTION_ID = 'Collection ID is not a valid UUIDv4';

const DASHED = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const PLAIN = /^[0-9a-f]{32}$/;
const URN = 'urn:uuid:';

/**
 * The lower-case, dashed form of a UUID written in any way Chroma takes: either case, without dashes, in braces, or
 * as urn:uuid:…; null for anything else. The version digit is not looked at, whatever the message says.
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

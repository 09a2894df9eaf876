// Makes Map and Set keys of bounded length from strings that clients choose.

import { createHash } from 'node:crypto';

// V8 hashes longer strings by their length alone: strings of one length then share a bucket, and each lookup compares
// them character by character (V8, src/objects/string.h, kMaxHashCalcLength = 16,383).
const HASHED_LENGTH_MAX = 16_383;
const DIGEST_PREFIX = 'sha256:';

/**
 * A key that is equal for equal texts only: the text itself up to 16,383 characters, else its SHA-256 digest. A short
 * text that begins like a digest is replaced by its digest too, so the two forms never collide.
 */
export function mapKey(text: string): string {
  if (text.length <= HASHED_LENGTH_MAX && !text.startsWith(DIGEST_PREFIX)) return text;
  // Not UTF-8, which encodes every unpaired surrogate as the same bytes.
  return DIGEST_PREFIX + createHash('sha256').update(text, 'utf16le').digest('base64');
}

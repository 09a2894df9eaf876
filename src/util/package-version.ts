// The version of this release.

import { readFileSync } from 'node:fs';

export function packageVersion(): string {
  // From src/ and from dist/ alike, package.json is two folders up.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const content: unknown = JSON.parse(text);
  const hasVersion = typeof content === 'object' && content !== null && 'version' in content;
  return hasVersion ? String(content.version) : 'unknown';
}

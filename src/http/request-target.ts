// Parses request targets. Nothing is resolved: "//" and ".." are segments like any other, and no route has them.

export interface Target {
  readonly path: string;
  /** Without its question mark; '' when there is none. */
  readonly query: string;
}

/** The longest target that Chroma's servers accept (http crate, u16::MAX - 1). */
export const TARGET_LENGTH_MAX = 65_534;

// What the same crate accepts in a path or query. Node's parser accepts more.
const PATH = /^[!$-;=@-_a-z|~"{}#]*$/;
const QUERY = /^[!#-;=?-~]*$/;

/** Splits a target; null when Chroma's servers would refuse it with 400. */
export function parseTarget(text: string): Target | null {
  const origin = text.charCodeAt(0) === 0x2f || text === '*' ? text : afterAuthority(text);
  if (origin === null) return null;
  const hash = origin.indexOf('#');
  const whole = hash < 0 ? origin : origin.slice(0, hash);
  const mark = whole.indexOf('?');
  const path = mark < 0 ? whole : whole.slice(0, mark);
  const query = mark < 0 ? '' : whole.slice(mark + 1);
  return PATH.test(path) && QUERY.test(query) ? { path, query } : null;
}

// Every server must accept the absolute form (RFC 9112, 3.2.2); the authority is ignored.
function afterAuthority(text: string): string | null {
  const start = /^https?:\/\/[^/?#]+/i.exec(text)?.[0].length;
  if (start === undefined) return null;
  return text.charCodeAt(start) === 0x2f ? text.slice(start) : `/${text.slice(start)}`;
}

// `limit` and `offset` of a query string, as axum reads them into unsigned 32-bit numbers.

import { PolychromeError } from '../../errors.ts';

export interface PageRange {
  /** Null: no limit. */
  readonly limit: number | null;
  readonly offset: number;
}

/** Throws invalid_argument with Chroma's message. */
export function pageOf(query: URLSearchParams): PageRange {
  return { limit: unsigned(query, 'limit'), offset: unsigned(query, 'offset') ?? 0 };
}

function unsigned(query: URLSearchParams, name: string): number | null {
  const [text, second] = query.getAll(name);
  if (text === undefined) return null;
  if (second !== undefined) {
    throw new PolychromeError(
      'invalid_argument',
      `Failed to deserialize query string: duplicate field \`${name}\``,
    );
  }
  const fault = text === '' ? 'cannot parse integer from empty string' : 'invalid digit found in string';
  if (!/^\+?\d+$/.test(text)) throw refusedQuery(name, fault);
  const value = Number(text);
  if (value > 0xffff_ffff) throw refusedQuery(name, 'number too large to fit in target type');
  return value;
}

function refusedQuery(name: string, fault: string): PolychromeError {
  return new PolychromeError('invalid_argument', `Failed to deserialize query string: ${name}: ${fault}`);
}

// What operator routes share: responses that nothing may store, and numbers in queries.

import { PolychromeError } from '../../errors.ts';
import { jsonResponse, type WholeResponse } from '../../http/response.ts';

export const PRIVATE = { 'cache-control': 'no-store' };

export function privateJson(value: unknown, status = 200): WholeResponse {
  return { ...jsonResponse(value, status), headers: PRIVATE };
}

/** A whole number in the query string; null when it is absent. Throws PolychromeError for anything else. */
export function numberIn(query: URLSearchParams, name: string): number | null {
  const text = query.get(name);
  if (text === null) return null;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new PolychromeError('invalid_argument', `${name} must be a whole number.`);
}

// Classifies the two responses to a hostile request: equal, refused, a documented difference, or a fault.

import { SETTINGS } from '../../../src/config/config.ts';
import { RESPONSE_DIFFERENCES, type Exchange, SPARED_DIFFERENCES } from '../differences.ts';
import type { EndpointResponse } from '../endpoint.ts';

export type Classification =
  /** The same response: both sides must be in the same state. */
  | { readonly kind: 'equal' }
  /** Polychrome refused, on purpose or as a failing server did: it must be as it was before. */
  | { readonly kind: 'refused'; readonly why: string }
  /** A documented difference; `equal` when both sides are in the same state after it. */
  | { readonly kind: 'difference'; readonly name: string }
  | { readonly kind: 'fault'; readonly message: string };

/** Polychrome refuses with 400 and names the setting that holds the limit. */
export function namedLimit({ status, body }: EndpointResponse): string | null {
  if (status !== 400) return null;
  const words = body.toString().match(/\b[A-Z]+(?:_[A-Z]+)+\b/g) ?? [];
  return words.find((word) => word in SETTINGS) ?? null;
}

/** Why the bare server need not, or must not, be asked; null when it is to be asked. */
export function refusedAlone(exchange: Omit<Exchange, 'b'>): string | null {
  const limit = namedLimit(exchange.a);
  if (limit !== null) return `limit ${limit}`;
  return SPARED_DIFFERENCES.find((difference) => difference.applies(exchange))?.name ?? null;
}

/** No response, or one that says the server failed. */
const hasFailed = ({ status }: EndpointResponse): boolean => status === 0 || status >= 500;

const isClientError = ({ status }: EndpointResponse): boolean => status >= 400 && status < 500;

/** `isEqual`: whether the responses are the same but for what no two servers share. */
export function classify(exchange: Exchange, isEqual: boolean): Classification {
  const { a, b } = exchange;
  if (!hasFailed(b)) {
    if (isEqual) return { kind: 'equal' };
    const known = RESPONSE_DIFFERENCES.find((difference) => difference.applies(exchange));
    if (known !== undefined) return { kind: 'difference', name: known.name };
    return { kind: 'fault', message: 'the responses differ' };
  }
  if (isClientError(a)) return { kind: 'refused', why: `${a.status} where the server fails` };
  if (a.status === b.status && a.status !== 0) return { kind: 'refused', why: `${a.status} as the server` };
  const better = RESPONSE_DIFFERENCES.find((difference) => difference.applies(exchange));
  if (better !== undefined) return { kind: 'difference', name: better.name };
  return { kind: 'fault', message: `status ${a.status} where the bare server fails with ${b.status}` };
}

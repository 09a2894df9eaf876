// JSON with integers that JavaScript would round: they are shown as the server wrote them, where the browser can tell.

/** As in the language since 2025; the types of older compilers lack it. */
const { rawJSON } = JSON as unknown as { readonly rawJSON?: (text: string) => unknown };

/** Parses JSON; an integer beyond 2^53 becomes an object that only JSON.stringify understands, as which it is exact. */
export function parseExact(text: string): unknown {
  return JSON.parse(text, (_key: string, value: unknown, context?: { readonly source?: string }): unknown => {
    if (typeof value !== 'number' || Number.isSafeInteger(value) || !Number.isInteger(value)) return value;
    const source = context?.source ?? '';
    return rawJSON !== undefined && /^-?\d+$/.test(source) ? rawJSON(source) : value;
  });
}

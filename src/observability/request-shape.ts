// The shape of a request body: how much of what it asks for, without a single value that a client chose as text.

/** Sizes and counts by field; `bytes` of the whole body. */
export type Shape = Readonly<Record<string, number | string>>;

// Parsing more would hold the event loop for longer than a slow request is worth.
const PARSED_BYTES_MAX = 256 * 1024;
const DEPTH_MAX = 32;
/** Numbers that are limits, not data. */
const LIMITS: ReadonlySet<string> = new Set(['n_results', 'limit', 'offset']);
/** Fields whose conditions are counted. */
const FILTERS: ReadonlySet<string> = new Set(['where', 'where_document']);
/** Columns, of which the number of elements counts. */
const COLUMNS: ReadonlySet<string> = new Set([
  'ids',
  'embeddings',
  'query_embeddings',
  'documents',
  'metadatas',
  'uris',
]);
const INCLUDES: ReadonlySet<string> = new Set(['documents', 'metadatas', 'embeddings', 'distances', 'uris']);

export function shapeOf(body: Buffer): Shape {
  const shape: Record<string, number | string> = { bytes: body.length };
  if (body.length === 0 || body.length > PARSED_BYTES_MAX) return shape;
  const content = parsed(body);
  if (typeof content !== 'object' || content === null) return shape;
  for (const [name, value] of Object.entries(content)) {
    if (COLUMNS.has(name) && Array.isArray(value)) {
      shape[name] = value.length;
      const [first] = value as unknown[];
      if (name.endsWith('embeddings') && Array.isArray(first)) shape['dimension'] = first.length;
    } else if (LIMITS.has(name) && typeof value === 'number') shape[name] = value;
    else if (FILTERS.has(name) && value !== null) shape[`${name}_conditions`] = conditionsIn(value, 0);
    else if (name === 'include' && Array.isArray(value))
      shape[name] = value.filter((each) => typeof each === 'string' && INCLUDES.has(each)).join(',');
  }
  return shape;
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}

/** Leaves of a filter: comparisons, and elements of lists. */
function conditionsIn(value: unknown, depth: number): number {
  if (depth > DEPTH_MAX || typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce((sum: number, each) => sum + conditionsIn(each, depth + 1), 0);
}

// What nodes return for one query, side by side, and where they differ.

/** A record as a node returned it; the first is the nearest. */
export interface Hit {
  readonly id: string;
  /** Null where the query has no vector. */
  readonly distance: number | null;
  readonly document: string | null;
  readonly metadata: unknown;
}

export interface NodeHits {
  readonly node: string;
  readonly isPrimary: boolean;
  readonly applied: number;
  readonly ms: number | null;
  /** Null: the node returned none; `reason` says why. */
  readonly hits: readonly Hit[] | null;
  readonly reason: string | null;
}

/** As POST /ui/collections/ID/nodes/… returns it. */
export interface EachNodeResponse {
  readonly nodes: readonly {
    readonly node: string;
    readonly isPrimary: boolean;
    readonly applied: number;
    readonly reason: string | null;
    readonly status: number | null;
    readonly ms: number | null;
    readonly body: unknown;
  }[];
}

type Nested<T> = readonly (readonly T[])[] | readonly T[] | null | undefined;

interface RecordsBody {
  readonly ids: Nested<string>;
  readonly distances?: Nested<number>;
  readonly documents?: Nested<string | null>;
  readonly metadatas?: Nested<unknown>;
}

export function hitsOf({ nodes }: EachNodeResponse): NodeHits[] {
  return nodes.map(({ body, status, reason, ...node }) => {
    if (status === 200) return { ...node, reason, hits: recordsOf(body as RecordsBody) };
    return { ...node, hits: null, reason: reason ?? `${status}: ${messageOf(body)}` };
  });
}

function messageOf(body: unknown): string {
  const text = String(body);
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    return text;
  }
}

/** Records in a response to a get, or to a query with one vector. */
export function recordsOf({ ids, distances, documents, metadatas }: RecordsBody): Hit[] {
  return first(ids).map((id, at) => ({
    id,
    distance: first(distances)[at] ?? null,
    document: first(documents)[at] ?? null,
    metadata: first(metadatas)[at] ?? null,
  }));
}

function first<T>(values: Nested<T>): readonly T[] {
  const [row] = values ?? [];
  return (Array.isArray(row) ? row : (values ?? [])) as readonly T[];
}

/** The ranks at which a node returned another record than the node that it is compared with. */
export function differingRanks(hits: readonly Hit[], reference: readonly Hit[]): Set<number> {
  const ranks = new Set<number>();
  for (let at = 0; at < Math.max(hits.length, reference.length); at++)
    if (hits[at]?.id !== reference[at]?.id) ranks.add(at);
  return ranks;
}

/** What the comparison shows, in one sentence. */
export function comparisonText(nodes: readonly NodeHits[]): string {
  const responded = nodes.filter(({ hits }) => hits !== null);
  if (responded.length === 0) return 'No node returned records.';
  const compared = referenceNode(nodes);
  const reference = compared?.hits ?? [];
  const others = responded.filter(({ hits }) => differingRanks(hits ?? [], reference).size > 0);
  const missing = nodes.length - responded.length;
  const rest = missing === 0 ? '' : ` ${missing} of ${nodes.length} nodes returned nothing.`;
  if (others.length > 0)
    return `${others.map(({ node }) => node).join(', ')} ${others.length === 1 ? 'returns' : 'return'} other records or another order.${positionText(others, compared)}${rest}`;
  const count = reference.length === 0 ? 'nothing' : `the same ${reference.length} records in the same order`;
  const all =
    responded.length === 1 ? `${responded[0]?.node} returns` : `All ${responded.length} nodes return`;
  return `${all} ${responded.length === 1 ? `${reference.length} records` : count}.${rest}`;
}

/** The hits that others are compared with: those of the primary, or of the first node that returned any. */
export function referenceOf(nodes: readonly NodeHits[]): readonly Hit[] | null {
  return referenceNode(nodes)?.hits ?? null;
}

function referenceNode(nodes: readonly NodeHits[]): NodeHits | undefined {
  return (
    nodes.find(({ isPrimary, hits }) => isPrimary && hits !== null) ?? nodes.find(({ hits }) => hits !== null)
  );
}

/** That writes between two positions in the log explain a difference. */
function positionText(others: readonly NodeHits[], compared: NodeHits | undefined): string {
  const isApart = others.every(({ applied }) => applied !== compared?.applied);
  return isApart ? ' Writes between their LSNs may be the reason: run it again.' : '';
}

/** Metadata as JSON, by name: servers return the keys of each record in another order. */
export function metadataText(metadata: unknown, indent?: number): string {
  if (typeof metadata !== 'object' || metadata === null) return '';
  const sorted = Object.entries(metadata).sort(([a], [b]) => a.localeCompare(b, 'en'));
  return JSON.stringify(Object.fromEntries(sorted), null, indent);
}

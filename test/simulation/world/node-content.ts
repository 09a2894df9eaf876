// What a model of a Chroma server holds of a collection, read from it directly and checked record by record.

import { MARKER_COLLECTION, RESERVED } from '../../../src/chroma/client/identity.ts';
import { JsonNumber, writeJson } from '../../support/fake-chroma/json.ts';
import { documentOf } from '../../support/fake-chroma/records.ts';
import { serve } from '../../support/fake-chroma/routes.ts';
import type { FakeChroma } from '../../support/fake-chroma/server.ts';
import type { NodeTableRow } from '../../support/fake-postgres/tables.ts';
import { documentFor, valueOf, type Content } from './expected-content.ts';

/** An integer beyond the range of a double, in the metadata of every record: its text must survive (I11). */
export const LARGE_INTEGER = '9007199254740993';

const PLACE = '/api/v2/tenants/default_tenant/databases/default_database/collections';

export const recordsPath = (collection: string, action: string): string => `${PLACE}/${collection}/${action}`;
export const collectionPath = (name: string): string => `${PLACE}/${name}`;
export const COLLECTIONS_PATH = PLACE;

interface Records {
  readonly ids: readonly string[];
  readonly documents: readonly (string | null)[] | null;
  readonly metadatas: readonly ({ readonly n?: number } | null)[] | null;
  readonly embeddings: readonly (readonly number[])[] | null;
}

/** The values in the body of a response to a get. Throws when the columns of a record are not of one write. */
export function contentIn(body: string): Content {
  return contentOf(JSON.parse(body) as Records, body);
}

/** `body`: the text of the response, in which integers are as they were sent, of so many rows. */
function contentOf(
  { ids, documents, metadatas, embeddings }: Records,
  body: string,
  rows = ids.length,
): Content {
  const large = body.split(LARGE_INTEGER).length - 1;
  if (metadatas !== null && large !== rows) throw new Error(`an integer changed (I11): ${body}`);
  return new Map(
    ids.map((id, i) => {
      const value = valueOf(documents?.[i] ?? '');
      const others = [metadatas?.[i]?.n ?? value, embeddings?.[i]?.[0] ?? value];
      if (others.some((other) => other !== value))
        throw new Error(`the columns of record ${id} are of different writes: ${body}`);
      return [id, value];
    }),
  );
}

/** The content of a collection on a server, unchanged by the look at it; null when it has no such collection. */
export function contentOn(server: FakeChroma, physical: string): Content | null {
  const records = server.peekRecords(physical);
  if (records === null) return null;
  const content = new Map<string, number>();
  for (const record of records) {
    const { id, embedding, values } = record;
    const value = valueOf(documentOf(record) ?? '');
    const [n, big] = [values.get('n'), values.get('big')];
    if (!(big instanceof JsonNumber) || big.text !== LARGE_INTEGER)
      throw new Error(`an integer of record ${id} changed (I11): ${writeJson(big ?? null)}`);
    if (!(n instanceof JsonNumber) || n.value !== value || embedding[0] !== value)
      throw new Error(`the columns of record ${id} are of different writes`);
    content.set(id, value);
  }
  return content;
}

/** Gives a record of a collection on a server another value, past everything. */
export function replaceOn(server: FakeChroma, physical: string, id: string, value: number): void {
  const document = documentFor(value);
  const body = `{"ids":["${id}"],"embeddings":[[${value},1.0]],"documents":["${document}"],"metadatas":[{"n":${value},"big":${LARGE_INTEGER}}]}`;
  serve(server, 'POST', recordsPath(physical, 'update'), body);
}

export function isEqual(a: Content, b: Content): boolean {
  return a.size === b.size && [...a].every(([id, value]) => b.get(id) === value);
}

export function shownContent(content: Content): string {
  return [...content]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, value]) => `${id}=${value}`)
    .join(' ');
}

/** As contentIn, of what a query found for its first embedding. */
export function contentInQuery(body: string): Content {
  const columns = JSON.parse(body) as Readonly<Record<keyof Records, readonly unknown[] | null>>;
  const first = (name: keyof Records): unknown => columns[name]?.[0] ?? null;
  return contentOf(
    {
      ids: first('ids'),
      documents: first('documents'),
      metadatas: first('metadatas'),
      embeddings: first('embeddings'),
    } as Records,
    body,
    columns.ids?.flat().length,
  );
}

/** LSN up to which the marker on a server says that everything was applied. */
export function markerLSN(server: FakeChroma): number {
  const { tenant, database } = RESERVED;
  const lsn = server.peekNamed(tenant, database, MARKER_COLLECTION)?.metadata?.get('checkpoint');
  return lsn instanceof JsonNumber ? lsn.value : 0;
}

/** Whether the marker on a server is that of the node, in the incarnation of its row. */
export function hasMarkerOf(server: FakeChroma, node: string, row: NodeTableRow | undefined): boolean {
  const { tenant, database } = RESERVED;
  const metadata = server.peekNamed(tenant, database, MARKER_COLLECTION)?.metadata;
  return (
    metadata?.get('node') === node && (row === undefined || metadata.get('incarnation') === row.incarnation)
  );
}

/** The documents in a body; records without documents have none. */
export function documentsIn(body: string): readonly string[] {
  if (!body.startsWith('{"ids":')) return [];
  try {
    return (JSON.parse(body) as { documents?: string[] }).documents ?? [];
  } catch {
    return [];
  }
}

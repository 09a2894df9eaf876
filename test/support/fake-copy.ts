// One copy of a shard on a node, as reads see it: records as JSON texts, in an order; a search that finds each record by
// its own vector unless the record is missing from the index.

import type { ReadCopy } from '../../src/repair/copy-content.ts';

export interface FakeRecord {
  embedding: string;
  document: string;
  uri: string;
  metadata: string;
}

export class FakeCopy {
  readonly records = new Map<string, FakeRecord>();
  /** Ids that a search does not find. */
  readonly unindexed = new Set<string>();
  /** Ids that a search finds only among many candidates. */
  readonly remote = new Set<string>();
  /** Texts that filters by document see instead of the document; null: none. */
  readonly filtered = new Map<string, string | null>();
  space = 'l2';
  physical = 'p';
  /** Decides what happens before a read is answered; a status other than null is the response. */
  onRead: (path: string) => number | null | Promise<number | null> = () => null;
  /** Paths that were read. */
  readonly reads: string[] = [];

  constructor(count = 0) {
    for (let index = 0; index < count; index++) this.put(`r${index}`, { embedding: `[${index}.0,1.0]` });
  }

  put(id: string, columns: Partial<FakeRecord> = {}): void {
    const known = this.records.get(id) ?? {
      embedding: '[1.0]',
      document: `"${id}"`,
      uri: 'null',
      metadata: 'null',
    };
    this.records.set(id, { ...known, ...columns });
  }

  readonly read: ReadCopy = async ({ path, body }) => {
    const action = path.split('/').at(-1) ?? '';
    this.reads.push(action);
    const status = await this.onRead(action);
    if (status !== null) return { status, body: Buffer.from('{"error":"InternalError"}') };
    return {
      status: 200,
      body: Buffer.from(this.#respond(action, body === undefined ? '{}' : String(body))),
    };
  };

  #respond(action: string, body: string): string {
    const request = JSON.parse(body) as {
      ids?: readonly string[];
      where_document?: { readonly $contains?: string; readonly $not_contains?: string };
      include?: readonly string[];
      query_embeddings?: readonly (readonly number[])[];
      n_results?: number;
    };
    if (action === 'get') {
      const ids = request.where_document === undefined ? null : this.#selected(request.where_document);
      const wanted = ids?.filter((id) => request.ids?.includes(id) ?? true) ?? request.ids ?? null;
      return this.#get(wanted, new Set(request.include));
    }
    if (action === 'query') {
      const isWide = (request.n_results ?? 1) > 1;
      const distances = (request.query_embeddings ?? []).map((vector) => [this.#distance(vector, isWide)]);
      return JSON.stringify({ distances });
    }
    return JSON.stringify({ id: this.physical, configuration_json: { hnsw: { space: this.space } } });
  }

  #selected(filter: { readonly $contains?: string; readonly $not_contains?: string }): string[] {
    return [...this.records.keys()].filter((id) => {
      const own = this.filtered.get(id);
      const whole = own === undefined ? (JSON.parse(this.records.get(id)!.document) as string | null) : own;
      // As sqlite's LIKE.
      const text = whole?.split('\0', 1)[0] ?? null;
      const { $contains: wanted, $not_contains: unwanted = '' } = filter;
      return wanted === undefined ? text?.includes(unwanted) !== true : text?.includes(wanted) === true;
    });
  }

  #get(ids: readonly string[] | null, include: ReadonlySet<string>): string {
    const wanted = ids === null ? null : new Set(ids);
    const found = [...this.records].filter(([id]) => wanted?.has(id) ?? true);
    const column = (name: string, of: (record: FakeRecord) => string): string =>
      `"${name}":${include.has(name) ? `[${found.map(([, record]) => of(record)).join(',')}]` : 'null'}`;
    return (
      `{"ids":${JSON.stringify(found.map(([id]) => id))},${column('embeddings', (r) => r.embedding)},` +
      `${column('documents', (r) => r.document)},${column('uris', (r) => r.uri)},` +
      `${column('metadatas', (r) => r.metadata)},"include":[]}`
    );
  }

  #distance(vector: readonly number[], isWide: boolean): number {
    const text = JSON.stringify(vector);
    const isFound = (id: string): boolean => !this.unindexed.has(id) && (isWide || !this.remote.has(id));
    for (const [id, { embedding }] of this.records)
      if (isFound(id) && JSON.stringify(JSON.parse(embedding)) === text) return 0;
    return 7;
  }
}

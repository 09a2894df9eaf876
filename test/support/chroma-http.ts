// Chroma's HTTP API for tests: raw statuses and bodies, without a client library.

export interface TextResponse {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

const DEFAULT = '/api/v2/tenants/default_tenant/databases/default_database';

export class ChromaHttp {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<TextResponse> {
    const init: RequestInit = { method, headers: { 'content-type': 'application/json', ...headers } };
    if (body !== undefined) init.body = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(this.url + path, init);
    return { status: response.status, text: await response.text(), headers: response.headers };
  }

  /** Creates a collection in the default database and returns its id. Throws unless the status is 200. */
  async create(name: string, body: object = {}): Promise<string> {
    const created = await this.call('POST', `${DEFAULT}/collections`, { name, ...body });
    if (created.status !== 200) throw new Error(`create ${name}: ${created.status} ${created.text}`);
    return (JSON.parse(created.text) as { id: string }).id;
  }

  /** Calls an action on the records of a collection: add, get, query, … */
  records(
    id: string,
    action: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<TextResponse> {
    return this.call(
      body === undefined ? 'GET' : 'POST',
      `${DEFAULT}/collections/${id}/${action}`,
      body,
      headers,
    );
  }

  collections(): Promise<TextResponse> {
    return this.call('GET', `${DEFAULT}/collections`);
  }

  /**
   * Every collection of the default database with every record, in the server's order, as text: equal texts are
   * equal content. Ids of collections are random and are left out. `nameOf`: the name under which the collection
   * with this id is shown; null leaves it out.
   */
  async everything(
    nameOf: (id: string, name: string) => string | null = (_id, name) => name,
  ): Promise<string> {
    const { text } = await this.collections();
    const listed = JSON.parse(text) as { id: string; name: string; metadata: unknown; dimension: unknown }[];
    const collections = listed.flatMap((collection) => {
      const name = nameOf(collection.id, collection.name);
      return name === null ? [] : [{ ...collection, name }];
    });
    const parts: string[] = [];
    for (const { id, name, metadata, dimension } of collections.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      parts.push(`== ${name} ${JSON.stringify(sorted(metadata))} ${String(dimension)}`);
      for (let offset = 0; ; offset += PAGE) {
        const page = await this.#page(id, offset);
        parts.push(...page);
        if (page.length < PAGE) break;
      }
    }
    return parts.join('\n');
  }

  async #page(id: string, offset: number): Promise<string[]> {
    const include = ['documents', 'metadatas', 'embeddings', 'uris'];
    const { status, text } = await this.records(id, 'get', { limit: PAGE, offset, include });
    if (status !== 200) throw new Error(`reading ${id}: ${status} ${text}`);
    // Numbers stay text: 1 and 1.0 are different values.
    const keepText = (_key: string, value: unknown, context?: { source?: string }): unknown =>
      typeof value === 'number' ? `#${context?.source ?? ''}` : value;
    const parsed = JSON.parse(text, keepText) as Record<
      'ids' | 'documents' | 'metadatas' | 'embeddings' | 'uris',
      unknown[]
    >;
    return parsed.ids.map((record, index) =>
      JSON.stringify([
        record,
        parsed.documents[index],
        sorted(parsed.metadatas[index]),
        parsed.embeddings[index],
        parsed.uris?.[index],
      ]),
    );
  }
}

const PAGE = 1_000;

/** Servers return metadata keys in any order. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

// Bodies with one or several faults get the same status and body from Polychrome and from a bare server of the same
// release, for a collection with a dimension, one without, and a missing one.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChromaHttp } from '../support/chroma-http.ts';
import { capabilitiesOf, startBareServer, type BareServer } from '../support/chroma-server.ts';
import { TestCluster } from '../support/cluster.ts';

const C = '/api/v2/tenants/default_tenant/databases/default_database/collections';
const NOWHERE = '5f0c9a34-1111-4222-8333-0123456789ab';

const base64 = (...floats: number[]): string =>
  JSON.stringify(Buffer.from(new Float32Array(floats).buffer).toString('base64'));

interface Body {
  readonly text: string;
  /** Accepted by a 1.0.5 server, or a documented hazard of it. */
  readonly newestOnly: boolean;
}

const of = (newestOnly: boolean, ...texts: string[]): Body[] => texts.map((text) => ({ text, newestOnly }));

const EMBEDDINGS: readonly Body[] = [
  ...of(
    false,
    '[1,2],[3,4]',
    `${base64(1, 2)},"AAA"`,
    `${base64(1, 2)},"AAAA"`,
    `"AA!A",${base64(1, 2)}`,
    '[],[]',
  ),
  ...of(
    false,
    '"",""',
    '[1,2],[]',
    '[1,2],[1,2,3]',
    '[1,2,3],[4,5,6]',
    '[1,2]',
    `${base64(1)},${base64(1, 2)}`,
  ),
  ...of(
    true,
    `${base64(1, Infinity)},${base64(1, 2)}`,
    `${base64(NaN)},"AAA"`,
    '[1,2],[1,1e39]',
    '[1],[1,1e39]',
  ),
];
const METADATAS: readonly Body[] = [
  ...of(false, '[null,null]', '[null]', '[{"k":{}},null]'),
  ...of(true, '[{"#k":1},null]', '[null,{"":1}]', '[{"k":{"indices":[1],"values":[1]}},null]'),
  ...of(true, '[{"k":{"indices":[1],"values":[]}},{"k":{"#type":"sparse_vector","indices":[],"values":[]}}]'),
];
const IDS = ['"a","b"', '"a",""'];

// These updates make a collection on a 1.0.5 server unreadable: a documented difference.
const WITHOUT_COMPONENTS = new Set(['[],[]', '"",""']);

// Accepted by both releases.
const TAKEN = new Set(
  ['[1,2],[3,4]', '[1,2,3],[4,5,6]'].map(
    (embeddings) => `{"ids":["a","b"],"embeddings":[${embeddings}],"metadatas":[null,null]}`,
  ),
);

const DELETES: readonly Body[] = [
  ...of(
    false,
    '{"ids":[]}',
    '{"where":{}}',
    '{"where":{"k":[]},"where_document":{}}',
    '{"where":{},"where_document":{}}',
  ),
  ...of(
    false,
    '{"where_document":{}}',
    '{"where":{"k":1},"where":{"k":1}}',
    '{"where":1,"where":1,"ids":1}',
    '{"ids":[1]}',
  ),
  ...of(
    true,
    '{"ids":[],"limit":1}',
    '{"ids":["a"],"limit":1}',
    '{"limit":-1}',
    '{"limit":1e2}',
    '{"limit":1,"limit":1}',
  ),
];
const READS: readonly (readonly [call: string, body: string])[] = [
  ['get', '{"limit":"x"}'],
  ['get', '{"ids":["a"],"where":{'],
  ['query', '{}'],
  ['query', '{"query_embeddings":[[1,2]],"include":["nothing"]}'],
];
const UNREADABLE = [
  ...['"x"', '{"new_name":1}', '{"new_name":"get"', '{"new_name":"taken","new_metadata":[null]}'],
  '{"new_name":"x","new_configuration":{"hnsw":{"unknown":1}}}',
];
const INVALID = [
  ...['{"new_name":"x"}', '{"new_metadata":{}}', '{"new_name":"x","new_metadata":{}}'],
  ...['{"new_name":"taken","new_metadata":{}}', '{"new_name":"x","new_metadata":{"#a":1}}'],
];

type Request = readonly [method: string, call: string, body: string];

const REQUESTS: readonly Request[] = [
  ...READS.map(([call, body]): Request => ['POST', `/${call}`, body]),
  ...[...UNREADABLE, ...INVALID, '{}'].map((body): Request => ['PUT', '', body]),
];

class Side {
  readonly #http: ChromaHttp;
  #withDimension = '';

  constructor(url: string) {
    this.#http = new ChromaHttp(url);
  }

  async prepare(): Promise<void> {
    await this.#http.create('taken');
    this.#withDimension = await this.#http.create('subject');
    await this.#http.records(this.#withDimension, 'add', '{"ids":["z"],"embeddings":[[1,2]]}');
  }

  /** The response to a request for a new collection (`without` a dimension), the one `with` one, or a missing one. */
  async ask([method, call, body]: Request, name: string, kind: Kind): Promise<object> {
    const id = await this.#idOf(name, kind);
    const { status, text } = await this.#http.call(method, `${C}/${id}${call}`, body);
    if (kind === 'without') await this.#http.call('DELETE', `${C}/${name}`);
    return { status, text: sorted(text.replaceAll(id, '{id}')) };
  }

  async #idOf(name: string, kind: Kind): Promise<string> {
    if (kind === 'nowhere') return NOWHERE;
    return kind === 'with' ? this.#withDimension : this.#http.create(name);
  }
}

type Kind = 'with' | 'without' | 'nowhere';

// A server reports several validation errors in any order, one a line.
function sorted(text: string): string {
  return text.replace(/(?<=Validation error: )(.*)\\n(.*)(?="\})/, (_all, ...lines: string[]) =>
    lines.slice(0, 2).sort().join('; '),
  );
}

let cluster: TestCluster;
let bare: BareServer;
let newest: boolean;
let ours: Side;
let theirs: Side;
let asked = 0;

beforeAll(async () => {
  [cluster, bare] = await Promise.all([TestCluster.start({ nodes: 1 }), startBareServer()]);
  newest = (await capabilitiesOf(bare)).deleteLimit;
  [ours, theirs] = [new Side(cluster.url), new Side(bare.url)];
  await Promise.all([ours.prepare(), theirs.prepare()]);
});
afterAll(() => Promise.all([cluster?.stop(), bare?.stop()]));

async function compare(
  request: Request,
  kinds: readonly Kind[] = ['with', 'without', 'nowhere'],
): Promise<void> {
  for (const kind of kinds) {
    const name = `collection-${asked++}`;
    const [a, b] = await Promise.all([ours.ask(request, name, kind), theirs.ask(request, name, kind)]);
    expect(a, `${kind}: ${request.join(' ')}`).toEqual(b);
    expect(b, request.join(' ')).not.toMatchObject({ status: 200 });
  }
}

describe.each(['add', 'upsert', 'update'])('%s', (call) => {
  test.each(EMBEDDINGS)('of $text', async (embeddings) => {
    for (const metadatas of METADATAS) {
      if ((embeddings.newestOnly || metadatas.newestOnly) && !newest) continue;
      for (const ids of IDS) {
        const body = `{"ids":[${ids}],"embeddings":[${embeddings.text}],"metadatas":${metadatas.text}}`;
        const hazard = call === 'update' && !newest && WITHOUT_COMPONENTS.has(embeddings.text);
        if (!hazard && !TAKEN.has(body)) await compare(['POST', `/${call}`, body]);
      }
    }
  });
});

test.each(DELETES)('delete $text', async ({ text, newestOnly }) => {
  if (newest || !newestOnly) await compare(['POST', '/delete', text]);
});

test.each(REQUESTS)('%s %s %s', async (...request) => {
  const isValid = request[2] === '{}' && request[0] === 'PUT';
  await compare(request, isValid ? ['nowhere'] : undefined);
});

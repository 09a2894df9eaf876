import { beforeEach, describe, expect, test } from 'vitest';
import type { Collection } from '../catalog/catalog.ts';
import { scanQueryCall, type QueryCall } from '../chroma/batch/query-call.ts';
import type { HttpResponse, WholeResponse } from '../http/response.ts';
import { Queries } from './queries.ts';
import type { Reader, ReadResponse } from './reader.ts';
import { RecordCache } from './record-cache.ts';
import { ShardLSNs } from './shard-lsns.ts';

const SHARD = 's';
const collection = { tenant: 't', database: 'd', id: 'c', shards: [] } as unknown as Collection;
const target = { shard: SHARD, collection };
const never = new AbortController().signal;

interface Asked {
  readonly action: 'query' | 'get';
  readonly body: { include?: string[]; ids?: string[]; query_embeddings?: number[][]; n_results?: number };
  readonly floor: number;
  readonly signal: AbortSignal;
}

/** Stands for the nodes: a vector finds the records of its numbers, `[1,2]` finds r1 and r2. */
class FakeNodes {
  applied = 10;
  readonly documents = new Map<string, string | null>();
  readonly asked: Asked[] = [];
  /** Called before each response; what it returns is the response instead. */
  before: (asked: Asked) => HttpResponse | undefined = () => undefined;

  readonly read: Reader['read'] = async ({ floor }, { path, body }, signal) => {
    const action = path('physical').endsWith('/get') ? 'get' : 'query';
    const text = Buffer.concat(body as readonly Buffer[]).toString();
    const asked: Asked = { action, body: JSON.parse(text) as Asked['body'], floor, signal };
    this.asked.push(asked);
    const headers = { 'x-polychrome-lsn': String(this.applied) };
    const given = this.before(asked);
    if (given !== undefined) return given;
    const found = Buffer.from(JSON.stringify(this.#respond(asked)));
    const response: ReadResponse = { status: 200, headers, body: found, applied: this.applied };
    return response;
  };

  #respond({ action, body }: Asked): object {
    const include = body.include ?? ['metadatas', 'documents', 'distances'];
    const known = (id: string): string | null => this.documents.get(id) ?? null;
    const only = (name: string, value: unknown): unknown => (include.includes(name) ? value : null);
    if (action === 'get') {
      // In its own order, and only what there is.
      const ids = [...this.documents.keys()].filter((id) => body.ids!.includes(id));
      const metadatas = ids.map(() => null);
      return {
        ids,
        documents: only('documents', ids.map(known)),
        metadatas: only('metadatas', metadatas),
        include,
      };
    }
    const ids = body.query_embeddings!.map((vector) => vector.map((n) => `r${n}`));
    const of = (value: (id: string) => unknown): unknown => ids.map((found) => found.map(value));
    return {
      ids,
      embeddings: null,
      documents: only('documents', of(known)),
      metadatas: only(
        'metadatas',
        of(() => null),
      ),
      distances: only(
        'distances',
        of(() => 0.5),
      ),
      include,
    };
  }

  /** How each call was sent: `query` in full, `projected`, or `get` with its ids. */
  get calls(): string[] {
    return this.asked.map(({ action, body }) => {
      if (action === 'get') return `get ${body.ids!.join()}`;
      return body.include?.includes('documents') === false && !body.include.includes('metadatas')
        ? 'projected'
        : 'query';
    });
  }
}

let nodes: FakeNodes;
let records: RecordCache;
let queries: Queries;
let isCurrent: boolean;
beforeEach(() => {
  nodes = new FakeNodes();
  for (let n = 0; n < 1_000; n++) nodes.documents.set(`r${n}`, `document "${n}"`);
  isCurrent = true;
  const heads = new ShardLSNs(10);
  records = new RecordCache({ bytesMax: 1e7, heads, head: 10, isCurrent: () => isCurrent });
  queries = new Queries(nodes, records, { reportMisses: () => undefined });
});

const query = (vector: readonly number[], rest: object = {}): QueryCall =>
  scanQueryCall(
    Buffer.from(JSON.stringify({ query_embeddings: [vector], n_results: vector.length, ...rest })),
  )!;

const ask = async (vector: readonly number[], rest: object = {}, signal = never): Promise<string> => {
  const response = await queries.readOne(target, { call: query(vector, rest), floor: 0, signal });
  // It learns from the response after it has returned it.
  await new Promise(setImmediate);
  return typeof response === 'function' ? 'streamed' : String(response.body);
};

/** What a node itself responds; not counted among the calls. */
async function expected(vector: readonly number[], rest: object = {}): Promise<string> {
  const node = new FakeNodes();
  for (const [id, document] of nodes.documents) node.documents.set(id, document);
  const response = await node.read(
    { shard: SHARD, floor: 0, sticky: false },
    { method: 'POST', path: () => '/query', body: [query(vector, rest).body] },
    never,
  );
  return String((response as WholeResponse).body);
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, n) => from + n);

/** Queries in full until everything up to r499 is cached, and expected to be. */
async function warm(rest: object = {}): Promise<void> {
  for (let n = 0; n < 3; n++) await ask(range(0, 500), rest);
  nodes.asked.length = 0;
}

describe('a query', () => {
  test('is sent in full while little is cached, and projected once its records are', async () => {
    await ask([1, 2]);
    await ask([1, 2]);
    expect(nodes.calls).toEqual(['query', 'query']);
    await warm();
    expect(await ask([1, 2])).toBe(await expected([1, 2]));
    expect(nodes.calls).toEqual(['projected']);
    expect(nodes.asked[0]!.body.include).toEqual(['distances']);
  });

  test.each([
    [{ include: ['documents'] }, 'projected'],
    [{ include: ['documents', 'metadatas'], where: { a: 1 } }, 'projected'],
    [{ include: ['documents', 'embeddings'] }, 'query'],
    [{ include: [] }, 'projected'],
    [{ include: null }, 'query'],
  ])('with %j has the same response as from a node', async (rest, how) => {
    await warm();
    if (rest.include !== null) await ask([1], rest).catch(() => '');
    nodes.asked.length = 0;
    if (rest.include === null) {
      nodes.before = () => ({ status: 200, body: Buffer.from('{}') });
      expect(await ask([3], rest)).toBe('{}');
    } else expect(await ask([3], rest)).toBe(await expected([3], rest));
    expect(nodes.calls).toEqual([how]);
  });

  test('is sent in full until the echo of its include is known', async () => {
    await warm();
    const rest = { include: ['distances', 'documents'] };
    for (let n = 0; n < 2; n++) expect(await ask([3], rest)).toBe(await expected([3], rest));
    expect(nodes.calls).toEqual(['query', 'projected']);
  });

  test('fetches the rows that are not cached from a node that has applied as much', async () => {
    await warm();
    nodes.applied = 12;
    expect(await ask([1, 700, 2, 701, 700])).toBe(await expected([1, 700, 2, 701, 700]));
    expect(nodes.calls).toEqual(['projected', 'get r700,r701']);
    expect(nodes.asked[1]!.floor).toBe(12);
    expect(await ask([700, 701])).toBe(await expected([700, 701]));
    expect(nodes.calls.at(-1)).toBe('projected');
  });

  test('merged from several is projected, and frees the node once nothing is missing', async () => {
    await warm();
    let free = false;
    const calls = [query([1, 2]), query([2, 3])];
    const merged = await queries.readMerged(target, { calls, floor: 0, onNodeFree: () => (free = true) });
    expect(merged!.bodies.map(String)).toEqual([await expected([1, 2]), await expected([2, 3])]);
    expect([nodes.calls, free]).toEqual([['projected'], true]);
  });

  test('is never completed with a record that an entry has changed since', async () => {
    await warm();
    nodes.before = ({ action }) => {
      if (action !== 'query' || nodes.asked.length > 1) return undefined;
      // Appended and applied while the projected query is in flight.
      records.changed(SHARD, 11, ['r1']);
      nodes.documents.set('r1', 'new');
      return undefined;
    };
    // The fetched row may be of a later state than the query's: the query is sent again, in full.
    expect(await ask([1, 2])).toContain('"new"');
    expect(nodes.calls).toEqual(['projected', 'get r1', 'query']);
  });
});

describe('a projected query is sent again in full when', () => {
  const odd = (spoil: (asked: Asked) => HttpResponse | undefined | void): void => {
    nodes.before = (asked) => (nodes.calls.at(-1) === 'query' ? undefined : (spoil(asked) ?? undefined));
  };
  const whole = (body: string, status = 200): HttpResponse => ({ status, body: Buffer.from(body) });

  test.each<[string, (asked: Asked) => HttpResponse | undefined | void, string[]]>([
    ['its response is an error', () => whole('{"error":"x"}', 400), ['projected', 'query']],
    ['its response is of another shape', () => whole('[]'), ['projected', 'query']],
    [
      'its response has rows for another number of vectors',
      () => whole('{"ids":[],"include":[]}'),
      ['projected', 'query'],
    ],
    [
      'its response has no place for the documents',
      () => whole('{"ids":[["r1"]],"include":[]}'),
      ['projected', 'get r1', 'query'],
    ],
    ['the cache was cleared meanwhile', () => records.clear(), ['projected', 'get r1', 'query']],
    [
      'entries of other gateways were noticed meanwhile',
      () => records.unseen(11),
      ['projected', 'get r1', 'query'],
    ],
    ['this gateway stopped leading meanwhile', () => void (isCurrent = false), ['projected', 'query']],
    [
      'an unlisted change was appended meanwhile',
      () => records.changed(SHARD, 11, null),
      ['projected', 'get r1', 'query'],
    ],
  ])('%s', async (_name, spoil, calls) => {
    await warm();
    odd(spoil);
    expect(await ask([1])).toBe(await expected([1]));
    expect(nodes.calls).toEqual(calls);
  });

  test('a row it found was deleted meanwhile', async () => {
    await warm();
    const before = await expected([700]);
    odd(({ action }) => {
      if (action === 'get') nodes.documents.delete('r700');
      return undefined;
    });
    expect(await ask([700])).toBe(before.replace('"document \\"700\\""', 'null'));
    expect(nodes.calls).toEqual(['projected', 'get r700', 'query']);
  });

  test('the missing rows cannot be fetched', async () => {
    await warm();
    odd(({ action }) => {
      if (action === 'get') throw new Error('no node');
      return undefined;
    });
    expect(await ask([700])).toBe(await expected([700]));
    expect(nodes.calls).toEqual(['projected', 'get r700', 'query']);
  });

  test('its completed response would be too large to be buffered, and is then streamed', async () => {
    for (let n = 0; n < 10; n++) nodes.documents.set(`r${n}`, 'x'.repeat(900_000));
    await warm();
    await ask(range(0, 10));
    nodes.asked.length = 0;
    nodes.before = () => (nodes.calls.at(-1) === 'query' ? () => Promise.resolve() : undefined);
    expect(await ask(range(0, 10))).toBe('streamed');
    expect(nodes.calls.at(-1)).toBe('query');
  });
});

describe('a projected query', () => {
  test('that fails is not sent again in full', async () => {
    await warm();
    nodes.before = () => {
      throw new Error('the nodes asked did not respond');
    };
    await expect(ask([1])).rejects.toThrow('did not respond');
    const calls = [query([1]), query([2])];
    await expect(
      queries.readMerged(target, { calls, floor: 0, onNodeFree: () => undefined }),
    ).rejects.toThrow('did not respond');
    expect(nodes.calls).toEqual(['projected', 'projected']);
  });

  test('ends when its client disconnects', async () => {
    await warm();
    const client = new AbortController();
    nodes.before = ({ signal }) => {
      client.abort();
      expect(signal.aborted).toBe(true);
      throw new Error('the client disconnected');
    };
    await expect(ask([1], {}, client.signal)).rejects.toThrow('the client disconnected');
    expect(nodes.calls).toEqual(['projected']);
  });

  test('ends a response that is too large to be buffered', async () => {
    await warm();
    const parts: Asked[] = [];
    nodes.before = (asked) => {
      if (nodes.calls.at(-1) === 'query') return undefined;
      parts.push(asked);
      return asked.action === 'get' ? () => Promise.resolve() : undefined;
    };
    expect(await ask([700])).toBe(await expected([700]));
    expect(parts.map(({ action, signal }) => [action, signal.aborted])).toEqual([
      ['query', false],
      ['get', true],
    ]);
  });
});

import { beforeEach, describe, expect, test } from 'vitest';
import type { Collection } from '../catalog/catalog.ts';
import { scanQueryCall, type QueryCall } from '../chroma/batch/query-call.ts';
import type { HttpResponse, WholeResponse } from '../http/response.ts';
import { Queries } from './queries.ts';
import type { Reader } from './reader.ts';
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
class Nodes {
  applied = 10;
  readonly documents = new Map<string, string | null>();
  readonly asked: Asked[] = [];
  /** Called before each answer; what it returns is answered instead. */
  before: (asked: Asked) => HttpResponse | undefined = () => undefined;

  readonly read: Reader['read'] = async ({ floor }, { path, body }, signal) => {
    const action = path('physical').endsWith('/get') ? 'get' : 'query';
    const text = Buffer.concat(body as readonly Buffer[]).toString();
    const asked: Asked = { action, body: JSON.parse(text) as Asked['body'], floor, signal };
    this.asked.push(asked);
    const headers = { 'x-polychrome-lsn': String(this.applied) };
    const given = this.before(asked);
    if (given !== undefined) return given;
    return { status: 200, headers, body: Buffer.from(JSON.stringify(this.#answer(asked))) };
  };

  #answer({ action, body }: Asked): object {
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

  /** How each call went: `query` in full, `lean`, or `get` with its ids. */
  get calls(): string[] {
    return this.asked.map(({ action, body }) => {
      if (action === 'get') return `get ${body.ids!.join()}`;
      return body.include?.includes('documents') === false && !body.include.includes('metadatas')
        ? 'lean'
        : 'query';
    });
  }
}

let nodes: Nodes;
let records: RecordCache;
let queries: Queries;
let isTold: boolean;
beforeEach(() => {
  nodes = new Nodes();
  for (let n = 0; n < 1_000; n++) nodes.documents.set(`r${n}`, `document "${n}"`);
  isTold = true;
  const heads = new ShardLSNs(10);
  records = new RecordCache({ bytesMax: 1e7, heads, head: 10, isTold: () => isTold });
  queries = new Queries(nodes, records, { missed: () => undefined });
});

const query = (vector: readonly number[], rest: object = {}): QueryCall =>
  scanQueryCall(
    Buffer.from(JSON.stringify({ query_embeddings: [vector], n_results: vector.length, ...rest })),
  )!;

const ask = async (vector: readonly number[], rest: object = {}, signal = never): Promise<string> => {
  const answer = await queries.alone(target, 0, query(vector, rest), signal);
  // It learns from the answer once that is on its way.
  await new Promise(setImmediate);
  return typeof answer === 'function' ? 'streamed' : String(answer.body);
};

/** What a node says itself, asked past everything; not counted among the calls. */
async function truth(vector: readonly number[], rest: object = {}): Promise<string> {
  const asked = new Nodes();
  for (const [id, document] of nodes.documents) asked.documents.set(id, document);
  const answer = await asked.read(
    { shard: SHARD, floor: 0, sticky: false },
    { method: 'POST', path: () => '/query', body: [query(vector, rest).body] },
    never,
  );
  return String((answer as WholeResponse).body);
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, n) => from + n);

/** Asks in full until everything up to r499 is known, and believed to be. */
async function warm(rest: object = {}): Promise<void> {
  for (let n = 0; n < 3; n++) await ask(range(0, 500), rest);
  nodes.asked.length = 0;
}

describe('a query', () => {
  test('is asked in full while little is known, and lean once its records are', async () => {
    await ask([1, 2]);
    await ask([1, 2]);
    expect(nodes.calls).toEqual(['query', 'query']);
    await warm();
    expect(await ask([1, 2])).toBe(await truth([1, 2]));
    expect(nodes.calls).toEqual(['lean']);
    expect(nodes.asked[0]!.body.include).toEqual(['distances']);
  });

  test.each([
    [{ include: ['documents'] }, 'lean'],
    [{ include: ['documents', 'metadatas'], where: { a: 1 } }, 'lean'],
    [{ include: ['documents', 'embeddings'] }, 'query'],
    [{ include: [] }, 'lean'],
    [{ include: null }, 'query'],
  ])('with %j is answered alike', async (rest, how) => {
    await warm();
    if (rest.include !== null) await ask([1], rest).catch(() => '');
    nodes.asked.length = 0;
    if (rest.include === null) {
      nodes.before = () => ({ status: 200, body: Buffer.from('{}') });
      expect(await ask([3], rest)).toBe('{}');
    } else expect(await ask([3], rest)).toBe(await truth([3], rest));
    expect(nodes.calls).toEqual([how]);
  });

  test('is asked in full until it was seen what servers say was included', async () => {
    await warm();
    const rest = { include: ['distances', 'documents'] };
    for (let n = 0; n < 2; n++) expect(await ask([3], rest)).toBe(await truth([3], rest));
    expect(nodes.calls).toEqual(['query', 'lean']);
  });

  test('has the rows that are not known fetched, from a node that is as far', async () => {
    await warm();
    nodes.applied = 12;
    expect(await ask([1, 700, 2, 701, 700])).toBe(await truth([1, 700, 2, 701, 700]));
    expect(nodes.calls).toEqual(['lean', 'get r700,r701']);
    expect(nodes.asked[1]!.floor).toBe(12);
    expect(await ask([700, 701])).toBe(await truth([700, 701]));
    expect(nodes.calls.at(-1)).toBe('lean');
  });

  test('of several goes lean as one, the node free for the next as soon as nothing is missing', async () => {
    await warm();
    let free = false;
    const calls = [query([1, 2]), query([2, 3])];
    const together = await queries.together(target, 0, calls, () => (free = true));
    expect(together!.bodies.map(String)).toEqual([await truth([1, 2]), await truth([2, 3])]);
    expect([nodes.calls, free]).toEqual([['lean'], true]);
  });

  test('is never answered with what an entry has changed since', async () => {
    await warm();
    nodes.before = ({ action }) => {
      if (action !== 'query' || nodes.asked.length > 1) return undefined;
      // Appended and applied while the lean query is at the node.
      records.changed(SHARD, 11, ['r1']);
      nodes.documents.set('r1', 'new');
      return undefined;
    };
    // The fetched row may be of a later state than the query's: it is asked again, in full.
    expect(await ask([1, 2])).toContain('"new"');
    expect(nodes.calls).toEqual(['lean', 'get r1', 'query']);
  });
});

describe('it is asked again in full when', () => {
  const odd = (spoil: (asked: Asked) => HttpResponse | undefined | void): void => {
    nodes.before = (asked) => (nodes.calls.at(-1) === 'query' ? undefined : (spoil(asked) ?? undefined));
  };
  const whole = (body: string, status = 200): HttpResponse => ({ status, body: Buffer.from(body) });

  test.each<[string, (asked: Asked) => HttpResponse | undefined | void, string[]]>([
    ['the lean answer is an error', () => whole('{"error":"x"}', 400), ['lean', 'query']],
    ['it is of another shape', () => whole('[]'), ['lean', 'query']],
    ['it has rows for another number of vectors', () => whole('{"ids":[],"include":[]}'), ['lean', 'query']],
    [
      'it has no place for the documents',
      () => whole('{"ids":[["r1"]],"include":[]}'),
      ['lean', 'get r1', 'query'],
    ],
    ['all was forgotten meanwhile', () => records.clear(), ['lean', 'get r1', 'query']],
    ['entries of others turned up meanwhile', () => records.unseen(11), ['lean', 'get r1', 'query']],
    ['this gateway leads no more', () => void (isTold = false), ['lean', 'query']],
    [
      'an unlisted change came meanwhile',
      () => records.changed(SHARD, 11, null),
      ['lean', 'get r1', 'query'],
    ],
  ])('%s', async (_name, spoil, calls) => {
    await warm();
    odd(spoil);
    expect(await ask([1])).toBe(await truth([1]));
    expect(nodes.calls).toEqual(calls);
  });

  test('a row it found is there no more', async () => {
    await warm();
    const expected = await truth([700]);
    odd(({ action }) => {
      if (action === 'get') nodes.documents.delete('r700');
      return undefined;
    });
    expect(await ask([700])).toBe(expected.replace('"document \\"700\\""', 'null'));
    expect(nodes.calls).toEqual(['lean', 'get r700', 'query']);
  });

  test('the missing rows cannot be had', async () => {
    await warm();
    odd(({ action }) => {
      if (action === 'get') throw new Error('no node');
      return undefined;
    });
    expect(await ask([700])).toBe(await truth([700]));
    expect(nodes.calls).toEqual(['lean', 'get r700', 'query']);
  });

  test('it would be too large to be held, and is then passed on as it comes', async () => {
    for (let n = 0; n < 10; n++) nodes.documents.set(`r${n}`, 'x'.repeat(900_000));
    await warm();
    await ask(range(0, 10));
    nodes.asked.length = 0;
    nodes.before = () => (nodes.calls.at(-1) === 'query' ? () => Promise.resolve() : undefined);
    expect(await ask(range(0, 10))).toBe('streamed');
    expect(nodes.calls.at(-1)).toBe('query');
  });
});

describe('a lean query', () => {
  test('that fails is not made again as another', async () => {
    await warm();
    nodes.before = () => {
      throw new Error('the nodes asked did not answer');
    };
    await expect(ask([1])).rejects.toThrow('did not answer');
    await expect(queries.together(target, 0, [query([1]), query([2])], () => undefined)).rejects.toThrow(
      'did not answer',
    );
    expect(nodes.calls).toEqual(['lean', 'lean']);
  });

  test('is given up with its client', async () => {
    await warm();
    const client = new AbortController();
    nodes.before = ({ signal }) => {
      client.abort();
      expect(signal.aborted).toBe(true);
      throw new Error('the client went away');
    };
    await expect(ask([1], {}, client.signal)).rejects.toThrow('the client went away');
    expect(nodes.calls).toEqual(['lean']);
  });

  test('leaves no answer unread that is too large to be held', async () => {
    await warm();
    const parts: Asked[] = [];
    nodes.before = (asked) => {
      if (nodes.calls.at(-1) === 'query') return undefined;
      parts.push(asked);
      return asked.action === 'get' ? () => Promise.resolve() : undefined;
    };
    expect(await ask([700])).toBe(await truth([700]));
    expect(parts.map(({ action, signal }) => [action, signal.aborted])).toEqual([
      ['query', false],
      ['get', true],
    ]);
  });
});

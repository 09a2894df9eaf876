import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Collection } from '../catalog/catalog.ts';
import { scanQueryCall, type QueryCall } from '../chroma/batch/query-call.ts';
import type { HttpResponse, WholeResponse } from '../http/response.ts';
import { Coalescer } from './coalescer.ts';
import { Queries } from './queries.ts';
import type { Reader } from './reader.ts';
import { RecordCache } from './record-cache.ts';
import { ShardLSNs } from './shard-lsns.ts';

const collection = { id: 'c', shards: [] } as unknown as Collection;
const target = { shard: 's', collection };
const never = new AbortController().signal;

const query = (vector: readonly number[], rest: object = {}): QueryCall =>
  scanQueryCall(Buffer.from(JSON.stringify({ query_embeddings: [vector], ...rest })))!;

/** A node that responds when a test says so, to each vector with its own text. */
class FakeNode {
  readonly calls: {
    body: string;
    floor: number;
    signal: AbortSignal;
    respond: (response?: HttpResponse) => void;
  }[] = [];
  readonly clock = new ManualClock();
  readonly coalescer: Coalescer<QueryCall>;

  constructor() {
    const read: Reader['read'] = ({ floor }, { body }, signal) =>
      new Promise<HttpResponse>((resolve) => {
        const text = Buffer.concat(body as readonly Buffer[]).toString();
        const vectors = (JSON.parse(text) as { query_embeddings: number[][] }).query_embeddings;
        const found = Buffer.from(
          JSON.stringify({ ids: vectors.map((vector) => [`id of ${vector.join()}`]) }),
        );
        this.calls.push({
          body: text,
          floor,
          signal,
          respond: (response = { status: 200, body: found, headers: { 'x-polychrome-lsn': '7' } }) =>
            resolve(response),
        });
      });
    const records = new RecordCache({ bytesMax: 0, heads: new ShardLSNs(0), head: 0, isCurrent: () => true });
    const kind = new Queries({ read }, records, { reportMisses: () => undefined });
    this.coalescer = new Coalescer({ kind, clock: this.clock, callsMax: () => 1 });
  }

  ask(call: QueryCall, floor = 0): Promise<string> {
    const response = this.coalescer.read(target, { call, floor, signal: never });
    return response.then((whole) => String((whole as WholeResponse).body));
  }
}

const turn = (): Promise<void> => new Promise(setImmediate);

describe('queries', () => {
  test('of one turn share a call, and those that arrive meanwhile share the next', async () => {
    const node = new FakeNode();
    const first = [node.ask(query([1])), node.ask(query([2]))];
    expect(node.calls.length).toBe(0);
    await turn();
    expect(node.calls[0]!.body).toBe('{"query_embeddings":[[1],[2]]}');
    const meanwhile = [node.ask(query([3])), node.ask(query([4]))];
    await turn();
    expect(node.calls.length).toBe(1);
    node.calls[0]!.respond();
    await turn();
    expect(node.calls[1]!.body).toBe('{"query_embeddings":[[3],[4]]}');
    node.calls[1]!.respond();
    expect(await Promise.all([...first, ...meanwhile])).toEqual([
      '{"ids":[["id of 1"]]}',
      '{"ids":[["id of 2"]]}',
      '{"ids":[["id of 3"]]}',
      '{"ids":[["id of 4"]]}',
    ]);
    expect(node.coalescer.counts).toEqual({ reads: 4, calls: 2 });
  });

  test('that differ in more than their vectors never share a call', async () => {
    const node = new FakeNode();
    void node.ask(query([1]));
    void node.ask(query([2], { where: { a: 1 } }));
    void node.ask(query([3, 4]));
    await turn();
    expect(node.calls.map((call) => call.body)).toEqual([
      '{"query_embeddings":[[1]]}',
      '{"query_embeddings":[[2]],"where":{"a":1}}',
      '{"query_embeddings":[[3,4]]}',
    ]);
  });

  test('that share a call require the highest of their floors', async () => {
    const node = new FakeNode();
    void node.ask(query([2]), 3);
    void node.ask(query([3]), 5);
    await turn();
    expect(node.calls[0]!.floor).toBe(5);
  });

  test('are sent uncoalesced for a while after their call fails', async () => {
    const node = new FakeNode();
    const merged = [node.ask(query([2])), node.ask(query([3]))];
    await turn();
    node.calls[0]!.respond({ status: 500, body: Buffer.from('{}') });
    await turn();
    expect(node.calls.slice(1).map((call) => call.body)).toEqual([
      '{"query_embeddings":[[2]]}',
      '{"query_embeddings":[[3]]}',
    ]);
    node.calls[1]!.respond({ status: 400, body: 'refused' });
    node.calls[2]!.respond();
    expect(await Promise.all(merged)).toEqual(['refused', '{"ids":[["id of 3"]]}']);

    void node.ask(query([4]));
    void node.ask(query([5]));
    await turn();
    expect(node.calls.length).toBe(5);
    node.clock.advance(10_001);
    void node.ask(query([6]));
    void node.ask(query([7]));
    await turn();
    expect(node.calls.length).toBe(6);
  });

  test('are sent uncoalesced when their response is too large to be buffered, and the rest of it is not read', async () => {
    const node = new FakeNode();
    void node.ask(query([1]));
    void node.ask(query([2]));
    await turn();
    node.calls[0]!.respond(() => Promise.resolve());
    await turn();
    expect(node.calls[0]!.signal.aborted).toBe(true);
    expect(node.calls.length).toBe(3);
  });

  test('share a call only up to the rows that a server can return', async () => {
    const node = new FakeNode();
    for (let n = 1; n <= 40; n++) void node.ask(query([n], { n_results: 1_000 }));
    await turn();
    const vectors = (JSON.parse(node.calls[0]!.body) as { query_embeddings: unknown[] }).query_embeddings
      .length;
    expect(vectors).toBeGreaterThan(1);
    expect(vectors * 1_000).toBeLessThanOrEqual(32_000);
  });
});

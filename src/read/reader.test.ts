import { beforeEach, describe, expect, test } from 'vitest';
import { FakeClusterView } from '../../test/support/fake-cluster-view.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { type NodeClient } from '../chroma/client/node-client.ts';
import type { ResponseSink, ReadRequest } from '../chroma/client/node-request.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { ReadsInFlight } from '../nodes/reads-in-flight.ts';
import { ResponseBudget } from '../http/response-budget.ts';
import type { HttpResponse, WholeResponse } from '../http/response.ts';
import { NodeSelection, type ReadCandidate } from './node-selection.ts';
import { plainRanking } from '../../test/support/read-ranking.ts';
import { servingNode } from '../../test/support/serving-node.ts';
import { ReadHealth } from './read-health.ts';
import { bufferedBody, Reader, type ServedGet } from './reader.ts';
import { RetryBudget } from './retry-budget.ts';

type Behaviour = (request: ReadRequest, sink: ResponseSink) => Promise<void>;

const TIMEOUT_MS = 1_000;
const MIB = 1024 * 1024;
const quiet = () => undefined;

let clock: ManualClock;
/** How each node responds. */
let behaviours: Record<string, Behaviour>;
/** Nodes in the order they were asked. */
let asked: string[];
let nodes: ReadCandidate[];
let reader: Reader;
let responseBudget: ResponseBudget;
let health: ReadHealth;
let retryBudget: RetryBudget;
let client: AbortController;
let view: FakeClusterView;
let served: ServedGet[];

beforeEach(() => {
  clock = new ManualClock();
  client = new AbortController();
  asked = [];
  behaviours = { a: respondsWith(200, 'a'), b: respondsWith(200, 'b'), c: respondsWith(200, 'c') };
  view = new FakeClusterView();
  view.primaryNode = 'a';
  health = new ReadHealth({ clock, logger: { info: quiet, warn: quiet } });
  retryBudget = new RetryBudget(0.2, clock);
  nodes = Object.keys(behaviours).map((id) => serving(id, view));
  const selection = new NodeSelection({
    nodes: () => nodes,
    view,
    physicalId: (node) => `${node}-id`,
    ranking: plainRanking(health),
  });
  const logger = { debug: quiet };
  responseBudget = new ResponseBudget({ clock, bytesMax: 12 * MIB });
  const limits = { timeoutMs: TIMEOUT_MS, responseBudget, retryBudget };
  served = [];
  const onGetServed = (get: ServedGet): void => void served.push(get);
  reader = new Reader({ selection, view, clock, logger, health, onGetServed, ...limits });
});

function serving(id: string, cluster: FakeClusterView): ReadCandidate {
  const member = servingNode(id, clock);
  cluster.apply(id, 10);
  const stream = (request: ReadRequest, sink: ResponseSink): Promise<void> => {
    asked.push(id);
    return behaviours[id]!(request, sink);
  };
  return { member, client: { stream } as unknown as NodeClient, readsInFlight: new ReadsInFlight(clock) };
}

function respondsWith(status: number, ...chunks: readonly (string | Buffer)[]): Behaviour {
  return async (_request, sink) => {
    sink.head(status, { 'content-type': 'application/json' }, { pause: quiet, resume: quiet });
    for (const chunk of chunks) sink.data(Buffer.from(chunk));
  };
}

const failsWith =
  (code: ConstructorParameters<typeof NodeError>[0], sent: boolean): Behaviour =>
  async () => {
    throw new NodeError(code, `it was ${code}`, { sent });
  };

/** A sticky read: it is sent to a first, then to b, then to c. */
const read = (): Promise<HttpResponse> =>
  reader.read(
    { shard: 'shard', floor: 0, sticky: true },
    { method: 'POST', path: (physical) => `/${physical}/get`, body: Buffer.from('{}') },
    client.signal,
  );
const whole = async (): Promise<WholeResponse> => (await read()) as WholeResponse;

describe('a read', () => {
  test('returns the response of the node with the LSN it reflects', async () => {
    behaviours['a'] = respondsWith(200, '{"ids":', '[1.0]}');
    const { status, body, headers } = await whole();
    expect([status, String(body), headers?.['x-polychrome-lsn']]).toEqual([200, '{"ids":[1.0]}', '10']);
    expect(asked).toEqual(['a']);
  });

  test('names the LSN of a write that is in flight on the node: its effect may be in the response', async () => {
    behaviours['a'] = (request, sink) => {
      view.send('a', 12, 'shard');
      return respondsWith(200, '1')(request, sink);
    };
    const response = await read();
    expect((response as WholeResponse).headers?.['x-polychrome-lsn']).toBe('12');
    expect(bufferedBody(response)?.applied).toBe(10);
  });

  test('uses the id the shard has on the selected node', async () => {
    let path = '';
    behaviours['a'] = async (request, sink) => ((path = request.path), respondsWith(200, '')(request, sink));
    await read();
    expect(path).toBe('/a-id/get');
  });

  test('whose copy becomes suspect meanwhile is sent to another node', async () => {
    behaviours['a'] = async (request, sink) => {
      view.suspect('a', 'shard');
      return respondsWith(200, 'wrong')(request, sink);
    };
    expect(String((await whole()).body)).toBe('b');
    expect(asked).toEqual(['a', 'b']);
  });

  test('whose copies become suspect meanwhile is sent to any node that is left', async () => {
    for (const id of ['a', 'b'])
      behaviours[id] = async (request, sink) => {
        view.suspect(id, 'shard');
        return respondsWith(200, 'wrong')(request, sink);
      };
    expect(String((await whole()).body)).toBe('c');
  });

  test('whose copy becomes suspect before a large response is forwarded is sent to another node', async () => {
    behaviours['a'] = async (request, sink) => {
      view.suspect('a', 'shard');
      return respondsWith(200, Buffer.alloc(9 * MIB), 'wrong')(request, sink);
    };
    expect(String((await whole()).body)).toBe('b');
  });

  test('that Chroma refuses is refused, and not retried', async () => {
    behaviours['a'] = respondsWith(400, '{"error":"InvalidArgumentError"}');
    expect((await whole()).status).toBe(400);
    expect(asked).toEqual(['a']);
  });

  test('leaves no read in flight behind', async () => {
    behaviours['a'] = failsWith('unanswered', true);
    await read();
    expect(nodes.map((node) => node.readsInFlight.size)).toEqual([0, 0, 0]);
  });
});

describe('a read that fails on one node', () => {
  test.each([
    ['no response', () => failsWith('unanswered', true)],
    ['HTTP 500', () => respondsWith(500, '{}')],
    ['404, though the catalog has the collection', () => respondsWith(404, '{"error":"NotFoundError"}')],
    [
      'a connection lost in mid-response',
      (): Behaviour => async (request, sink) => {
        await respondsWith(200, '{"ids":')(request, sink);
        throw new NodeError('unanswered', 'cut off', { sent: true });
      },
    ],
  ])('%s: is retried on another', async (_what, failure) => {
    behaviours['a'] = failure();
    expect(String((await whole()).body)).toBe('b');
    expect(asked).toEqual(['a', 'b']);
  });

  test('and on a second is not retried again', async () => {
    behaviours['a'] = failsWith('unanswered', true);
    behaviours['b'] = failsWith('unanswered', true);
    await expect(read()).rejects.toMatchObject({
      code: 'no_node',
      message: expect.stringContaining('(a, b)'),
    });
    expect(asked).toEqual(['a', 'b']);
  });

  test('and on a second with HTTP 500 too returns that response', async () => {
    behaviours['a'] = respondsWith(500, '{}');
    behaviours['b'] = respondsWith(500, '{"error":"Error finding id"}');
    expect(await whole()).toMatchObject({ status: 500 });
    expect(asked).toEqual(['a', 'b']);
  });

  test('with 404 on both never reports the collection as missing', async () => {
    for (const id of ['a', 'b', 'c']) behaviours[id] = respondsWith(404, '{"error":"NotFoundError"}');
    await expect(read()).rejects.toMatchObject({ code: 'no_node' });
  });
});

describe('the retry budget', () => {
  test('once exhausted, leaves a failed read with the response it got', async () => {
    while (retryBudget.take());
    behaviours['a'] = respondsWith(500, '{}');
    expect(await whole()).toMatchObject({ status: 500 });
    behaviours['a'] = failsWith('unanswered', true);
    await expect(read()).rejects.toMatchObject({ code: 'no_node' });
    expect(asked).toEqual(['a', 'a']);
  });

  test('is not needed where a node lacks its copy or was not reached', async () => {
    while (retryBudget.take());
    behaviours['a'] = respondsWith(404, '{}');
    expect(String((await whole()).body)).toBe('b');
    behaviours['a'] = failsWith('refused', false);
    expect(String((await whole()).body)).toBe('b');
  });
});

describe('the circuit of a node', () => {
  test('opens when reads fail there and succeed elsewhere, and closes after one that succeeds', async () => {
    behaviours['a'] = respondsWith(500, '{}');
    for (let n = 0; n < 5; n++) await read();
    asked.length = 0;
    await read();
    expect(asked).toEqual(['b']);
    await clock.pass(1_000);
    await read();
    expect(asked).toEqual(['b', 'a', 'b']);
    behaviours['a'] = respondsWith(200, 'a');
    await clock.pass(2_000);
    await read();
    await read();
    expect(asked).toEqual(['b', 'a', 'b', 'a', 'a']);
  });

  test('stays closed when a read fails on every node', async () => {
    for (const id of ['a', 'b', 'c']) behaviours[id] = respondsWith(500, '{}');
    for (let n = 0; n < 9; n++) await read();
    expect(health.isOpen('a')).toBe(false);
  });
});

describe('a read of a collection whose first write is in flight', () => {
  const unwritten = respondsWith(500, '{"error":"InternalError","message":"Nothing found on disk"}');

  test('is retried on another node', async () => {
    behaviours['a'] = unwritten;
    expect(String((await whole()).body)).toBe('b');
    expect(asked).toEqual(['a', 'b']);
  });

  test('is repeated on the same nodes after a pause', async () => {
    for (const id of ['a', 'b', 'c']) behaviours[id] = unwritten;
    const waiting = whole();
    await clock.pass(0);
    expect(asked).toEqual(['a', 'b', 'c']);
    behaviours['a'] = respondsWith(200, 'written');
    await clock.pass(TIMEOUT_MS - 1);
    expect(String((await waiting).body)).toBe('written');
  });

  test('fails within its timeout, without the text of the nodes', async () => {
    for (const id of ['a', 'b', 'c']) behaviours[id] = unwritten;
    const waiting = expect(read()).rejects.toMatchObject({
      code: 'no_node',
      message: expect.not.stringContaining('on disk'),
    });
    await clock.pass(TIMEOUT_MS + 1);
    await waiting;
    expect(asked.length).toBeLessThan(21);
  });

  test('ends when its client disconnects', async () => {
    for (const id of ['a', 'b', 'c']) behaviours[id] = unwritten;
    const waiting = expect(read()).rejects.toMatchObject({ code: 'stopping' });
    await clock.pass(0);
    client.abort();
    await waiting;
  });
});

describe('a read that never left this process', () => {
  test('is retried on every node: it can have done no harm', async () => {
    behaviours['a'] = failsWith('refused', false);
    behaviours['b'] = failsWith('refused', false);
    expect(String((await whole()).body)).toBe('c');
    expect(nodes.map(({ member }) => member.state)).toEqual(['down', 'down', 'serving']);
  });

  test('is sent to another node when no connection to the first was usable in time', async () => {
    behaviours['a'] = failsWith('timeout', false);
    const waiting = whole();
    await clock.pass(100);
    expect(String((await waiting).body)).toBe('b');
    expect(asked).toEqual(['a', 'b']);
  });

  test('waits for a node when all are down', async () => {
    for (const id of ['a', 'b', 'c']) behaviours[id] = failsWith('refused', false);
    const waiting = whole();
    await clock.pass(100);
    behaviours['b'] = respondsWith(200, 'back');
    nodes[1]!.member.on('responds', '');
    nodes[1]!.member.on('caught_up', '');
    expect(String((await waiting).body)).toBe('back');
  });

  test('fails when all nodes are down until its timeout', async () => {
    for (const id of ['a', 'b', 'c']) behaviours[id] = failsWith('refused', false);
    const waiting = expect(read()).rejects.toMatchObject({ code: 'no_node' });
    await clock.pass(TIMEOUT_MS + 1);
    await waiting;
  });

  test('fails at once when too many reads wait', async () => {
    behaviours['a'] = failsWith('busy', false);
    await expect(read()).rejects.toMatchObject({ code: 'overloaded' });
    expect(asked).toEqual(['a']);
  });
});

describe('an aborted read', () => {
  test('is not retried when its client disconnected', async () => {
    behaviours['a'] = (request) =>
      new Promise((_, reject) =>
        request.signal!.addEventListener('abort', () => reject(new NodeError('aborted', '', { sent: true }))),
      );
    const reading = expect(read()).rejects.toMatchObject({ code: 'stopping' });
    client.abort();
    await reading;
    expect(asked).toEqual(['a']);
  });

  test('is retried on another node when its node stopped serving', async () => {
    behaviours['a'] = (request) =>
      new Promise((_, reject) =>
        request.signal!.addEventListener('abort', () => reject(new NodeError('aborted', '', { sent: true }))),
      );
    const reading = whole();
    nodes[0]!.readsInFlight.abort();
    expect(String((await reading).body)).toBe('b');
  });

  test('is retried on a third node when the first one had ended, and not after a second one stopped serving', async () => {
    const hangs: Behaviour = (request) =>
      new Promise((_, reject) =>
        request.signal!.addEventListener('abort', () => reject(new NodeError('aborted', '', { sent: true }))),
      );
    behaviours = { ...behaviours, a: failsWith('unanswered', true), b: hangs };
    const reading = whole();
    await clock.pass(0);
    nodes[1]!.readsInFlight.abort();
    expect(String((await reading).body)).toBe('c');

    behaviours = { ...behaviours, a: hangs };
    asked = [];
    const hanging = expect(read()).rejects.toMatchObject({ code: 'no_node' });
    for (const node of nodes.slice(0, 2)) {
      await clock.pass(0);
      node.readsInFlight.abort();
    }
    await hanging;
    expect(asked).toEqual(['a', 'b']);
  });

  test('is not retried after its timeout', async () => {
    behaviours['a'] = failsWith('timeout', true);
    await expect(read()).rejects.toMatchObject({
      code: 'no_node',
      message: expect.stringContaining('in time'),
    });
    expect(asked).toEqual(['a']);
  });
});

describe('a large response', () => {
  /** A node that sends these chunks the way a node client delivers them: none while it is paused. */
  const sends =
    (chunks: readonly Buffer[]): Behaviour =>
    async (_request, sink) => {
      let resumed: () => void = quiet;
      let running = Promise.resolve();
      const pause = (): void => void (running = new Promise((resolve) => (resumed = resolve)));
      sink.head(200, {}, { pause, resume: () => resumed() });
      for (const chunk of chunks) {
        sink.data(chunk);
        await running;
      }
    };
  const chunksOf = (count: number): Buffer[] => Array.from({ length: count }, (_, n) => Buffer.alloc(MIB, n));

  async function forwarded(response: HttpResponse): Promise<Buffer> {
    if (typeof response !== 'function') throw new Error('the response was buffered');
    const received: Buffer[] = [];
    const write = async (chunk: Buffer | string): Promise<void> => void received.push(Buffer.from(chunk));
    await response({ head: quiet, write, closed: false });
    return Buffer.concat(received);
  }

  test('is forwarded as it arrives, complete and in order', async () => {
    const chunks = chunksOf(10);
    behaviours['a'] = sends(chunks);
    expect((await forwarded(await read())).equals(Buffer.concat(chunks))).toBe(true);
    expect(responseBudget.bytes).toBe(0);
  });

  test('is buffered while the budget lasts, and forwarded beyond it', async () => {
    behaviours['a'] = sends(chunksOf(6));
    // Other responses hold ten of the twelve MiB. The third chunk is in memory already; no more are received.
    responseBudget.hold(10 * MIB);
    const response = await read();
    expect(responseBudget.bytes).toBe(13 * MIB);
    expect(await forwarded(response)).toHaveLength(6 * MIB);
    responseBudget.giveBack(10 * MIB);
    expect(responseBudget.bytes).toBe(0);

    expect((await whole()).body).toHaveLength(6 * MIB);
    expect(responseBudget.bytes).toBe(0);
  });

  test('ends when it is of use only as a whole', async () => {
    let isAborted = false;
    behaviours['a'] = (request, sink) => {
      request.signal!.addEventListener('abort', () => (isAborted = true));
      return sends(chunksOf(10))(request, sink);
    };
    const requirements = { shard: 'shard', floor: 0, sticky: true };
    const reading = reader.readBody(requirements, { method: 'GET', path: () => '/' }, client.signal);
    await expect(reading).rejects.toMatchObject({ code: 'internal' });
    expect(isAborted).toBe(true);
  });
});

test('reports responses to gets, and no others', async () => {
  const get = { method: 'POST', path: (id: string) => `/${id}/get`, isGet: true } as const;
  const requirements = { shard: 's', floor: 0, sticky: false };
  await reader.read(requirements, get, client.signal);
  await reader.read(requirements, { ...get, isGet: false }, client.signal);
  expect(served).toMatchObject([{ shard: 's', read: get }]);
});

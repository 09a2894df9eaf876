import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { type NodeClient } from '../chroma/client/node-client.ts';
import type { ResponseSink, ReadRequest } from '../chroma/client/node-request.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { Node } from '../nodes/node.ts';
import { Positions } from '../replication/positions.ts';
import { ResponseBudget } from '../http/response-budget.ts';
import type { HttpResponse, WholeResponse } from '../http/response.ts';
import { NodeChoice, type ReadNode } from './node-selection.ts';
import { Reader } from './reader.ts';

type Behaviour = (request: ReadRequest, sink: ResponseSink) => Promise<void>;

const TIMEOUT_MS = 1_000;
const MIB = 1024 * 1024;
const quiet = () => undefined;

let clock: ManualClock;
/** What each node does when it is asked. */
let does: Record<string, Behaviour>;
/** Nodes in the order they were asked. */
let asked: string[];
let nodes: ReadNode[];
let reader: Reader;
let responseBudget: ResponseBudget;
let client: AbortController;

beforeEach(() => {
  clock = new ManualClock();
  client = new AbortController();
  asked = [];
  does = { a: says(200, 'a'), b: says(200, 'b'), c: says(200, 'c') };
  const positions = new Positions(() => false);
  nodes = Object.keys(does).map((id) => serving(id, positions));
  const choice = new NodeChoice({
    nodes,
    positions,
    physical: (node) => ({ physical: `${node}-id`, suspect: null }),
    primary: () => 'a',
  });
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const applied = (node: string): number => positions.applied(node);
  responseBudget = new ResponseBudget({ clock, bytesMax: 12 * MIB });
  reader = new Reader({ choice, applied, clock, logger, timeoutMs: TIMEOUT_MS, responseBudget });
});

function serving(id: string, positions: Positions): ReadNode {
  const never = (): Promise<never> => new Promise(() => undefined);
  const probe = { probe: never, canary: never, verify: never };
  const member = new Node({
    id,
    url: '',
    probe,
    work: { explainsSilence: false, isLong: false, isOverdueBy: () => false },
    overdueMaxMs: 60_000,
    clock,
    onTransition: quiet,
    onProcessGone: quiet,
  });
  member.on('admitted', '');
  member.on('caught_up', '');
  positions.nodeApplied(id, 10);
  const stream = (request: ReadRequest, sink: ResponseSink): Promise<void> => {
    asked.push(id);
    return does[id]!(request, sink);
  };
  return { member, client: { stream } as unknown as NodeClient, asked: new Set() };
}

function says(status: number, ...chunks: readonly (string | Buffer)[]): Behaviour {
  return async (_request, sink) => {
    sink.head(status, { 'content-type': 'application/json' }, { pause: quiet, resume: quiet });
    for (const chunk of chunks) sink.data(Buffer.from(chunk));
  };
}

const fails =
  (code: ConstructorParameters<typeof NodeError>[0], sent: boolean): Behaviour =>
  async () => {
    throw new NodeError(code, `it was ${code}`, { sent });
  };

/** A read whose pages stay on one node: a first, then b, then c. */
const read = (): Promise<HttpResponse> =>
  reader.read(
    { shard: 'shard', floor: 0, sticky: true },
    { method: 'POST', path: (physical) => `/${physical}/get`, body: Buffer.from('{}') },
    client.signal,
  );
const whole = async (): Promise<WholeResponse> => (await read()) as WholeResponse;

describe('a read', () => {
  test('is answered as the node answered, with the position it reflects', async () => {
    does['a'] = says(200, '{"ids":', '[1.0]}');
    const { status, body, headers } = await whole();
    expect([status, String(body), headers?.['x-polychrome-lsn']]).toEqual([200, '{"ids":[1.0]}', '10']);
    expect(asked).toEqual(['a']);
  });

  test('asks under the id the shard has on that node', async () => {
    let path = '';
    does['a'] = async (request, sink) => ((path = request.path), says(200, '')(request, sink));
    await read();
    expect(path).toBe('/a-id/get');
  });

  test('that Chroma refuses is refused, and nobody else is asked', async () => {
    does['a'] = says(400, '{"error":"InvalidArgumentError"}');
    expect((await whole()).status).toBe(400);
    expect(asked).toEqual(['a']);
  });

  test('leaves no count of what is under way behind', async () => {
    does['a'] = fails('unanswered', true);
    await read();
    expect(nodes.map((node) => node.asked.size)).toEqual([0, 0, 0]);
  });
});

describe('a read that fails on one node', () => {
  test.each([
    ['unanswered', () => fails('unanswered', true)],
    ['HTTP 500', () => says(500, '{}')],
    ['404, though the catalog has the collection', () => says(404, '{"error":"NotFoundError"}')],
    [
      'unanswered in the middle',
      (): Behaviour => async (request, sink) => {
        await says(200, '{"ids":')(request, sink);
        throw new NodeError('unanswered', 'cut off', { sent: true });
      },
    ],
  ])('%s: is answered by another', async (_what, failure) => {
    does['a'] = failure();
    expect(String((await whole()).body)).toBe('b');
    expect(asked).toEqual(['a', 'b']);
  });

  test('and on a second is not carried further', async () => {
    does['a'] = fails('unanswered', true);
    does['b'] = fails('unanswered', true);
    await expect(read()).rejects.toMatchObject({
      code: 'no_node',
      message: expect.stringContaining('(a, b)'),
    });
    expect(asked).toEqual(['a', 'b']);
  });

  test('and on a second alike with HTTP 500 is answered with that', async () => {
    does['a'] = says(500, '{}');
    does['b'] = says(500, '{"error":"Error finding id"}');
    expect(await whole()).toMatchObject({ status: 500 });
    expect(asked).toEqual(['a', 'b']);
  });

  test('with 404 on both is never told that the collection does not exist', async () => {
    for (const id of ['a', 'b', 'c']) does[id] = says(404, '{"error":"NotFoundError"}');
    await expect(read()).rejects.toMatchObject({ code: 'no_node' });
  });
});

describe('a read of a collection whose first write is in flight', () => {
  const unwritten = says(500, '{"error":"InternalError","message":"Nothing found on disk"}');

  test('is answered by another node', async () => {
    does['a'] = unwritten;
    expect(String((await whole()).body)).toBe('b');
    expect(asked).toEqual(['a', 'b']);
  });

  test('is repeated on the same nodes after a pause', async () => {
    for (const id of ['a', 'b', 'c']) does[id] = unwritten;
    const waiting = whole();
    await clock.pass(0);
    expect(asked).toEqual(['a', 'b', 'c']);
    does['a'] = says(200, 'written');
    await clock.pass(TIMEOUT_MS - 1);
    expect(String((await waiting).body)).toBe('written');
  });

  test('is refused within its time, and never answered with that text', async () => {
    for (const id of ['a', 'b', 'c']) does[id] = unwritten;
    const waiting = expect(read()).rejects.toMatchObject({
      code: 'no_node',
      message: expect.not.stringContaining('on disk'),
    });
    await clock.pass(TIMEOUT_MS + 1);
    await waiting;
    expect(asked.length).toBeLessThan(21);
  });

  test('is given up with its client', async () => {
    for (const id of ['a', 'b', 'c']) does[id] = unwritten;
    const waiting = expect(read()).rejects.toMatchObject({ code: 'stopping' });
    await clock.pass(0);
    client.abort();
    await waiting;
  });
});

describe('a read that never left this process', () => {
  test('goes on to whoever takes it: it has harmed nobody', async () => {
    does['a'] = fails('refused', false);
    does['b'] = fails('refused', false);
    expect(String((await whole()).body)).toBe('c');
    expect(nodes.map(({ member }) => member.state)).toEqual(['down', 'down', 'serving']);
  });

  test('waits for a node to come back when all are gone', async () => {
    for (const id of ['a', 'b', 'c']) does[id] = fails('refused', false);
    const waiting = whole();
    await clock.pass(100);
    does['b'] = says(200, 'back');
    nodes[1]!.member.on('responds', '');
    nodes[1]!.member.on('caught_up', '');
    expect(String((await waiting).body)).toBe('back');
  });

  test('is refused when all are gone for the whole of its time', async () => {
    for (const id of ['a', 'b', 'c']) does[id] = fails('refused', false);
    const waiting = expect(read()).rejects.toMatchObject({ code: 'no_node' });
    await clock.pass(TIMEOUT_MS + 1);
    await waiting;
  });

  test('is refused at once when too many wait', async () => {
    does['a'] = fails('busy', false);
    await expect(read()).rejects.toMatchObject({ code: 'overloaded' });
    expect(asked).toEqual(['a']);
  });
});

describe('a read given up', () => {
  test('by its client goes nowhere else', async () => {
    does['a'] = (request) =>
      new Promise((_, reject) =>
        request.signal!.addEventListener('abort', () => reject(new NodeError('aborted', '', { sent: true }))),
      );
    const reading = expect(read()).rejects.toMatchObject({ code: 'stopping' });
    client.abort();
    await reading;
    expect(asked).toEqual(['a']);
  });

  test('because its node was found not to work goes elsewhere', async () => {
    does['a'] = (request) =>
      new Promise((_, reject) =>
        request.signal!.addEventListener('abort', () => reject(new NodeError('aborted', '', { sent: true }))),
      );
    const reading = whole();
    for (const one of nodes[0]!.asked) one.abort();
    expect(String((await reading).body)).toBe('b');
  });

  test('at its deadline is told so, and not made again', async () => {
    does['a'] = fails('timeout', true);
    await expect(read()).rejects.toMatchObject({
      code: 'no_node',
      message: expect.stringContaining('in time'),
    });
    expect(asked).toEqual(['a']);
  });
});

describe('a large answer', () => {
  /** A node that sends these, as a node client hands them on: nothing comes while it is paused. */
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

  async function passedOn(answer: HttpResponse): Promise<Buffer> {
    if (typeof answer !== 'function') throw new Error('the answer was held');
    const received: Buffer[] = [];
    const write = async (chunk: Buffer | string): Promise<void> => void received.push(Buffer.from(chunk));
    await answer({ head: quiet, write, closed: false });
    return Buffer.concat(received);
  }

  test('is passed on as it comes, whole and in order', async () => {
    const chunks = chunksOf(10);
    does['a'] = sends(chunks);
    expect((await passedOn(await read())).equals(Buffer.concat(chunks))).toBe(true);
    expect(responseBudget.bytes).toBe(0);
  });

  test('is held where it can be, but not beyond what all may hold together', async () => {
    does['a'] = sends(chunksOf(6));
    // Ten of the twelve MiB are somebody else's; the third that comes is there, but no more are asked for.
    responseBudget.hold(10 * MIB);
    const answer = await read();
    expect(responseBudget.bytes).toBe(13 * MIB);
    expect(await passedOn(answer)).toHaveLength(6 * MIB);
    responseBudget.giveBack(10 * MIB);
    expect(responseBudget.bytes).toBe(0);

    expect((await whole()).body).toHaveLength(6 * MIB);
    expect(responseBudget.bytes).toBe(0);
  });

  test('that nobody will pass on is given up', async () => {
    let givenUp = false;
    does['a'] = (request, sink) => {
      request.signal!.addEventListener('abort', () => (givenUp = true));
      return sends(chunksOf(10))(request, sink);
    };
    const wanted = { shard: 'shard', floor: 0, sticky: true };
    const reading = reader.whole(wanted, { method: 'GET', path: () => '/' }, client.signal);
    await expect(reading).rejects.toMatchObject({ code: 'internal' });
    expect(givenUp).toBe(true);
  });
});

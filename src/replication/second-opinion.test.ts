import { beforeEach, describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { RESERVED } from '../chroma/client/identity.ts';
import { type NodeClient } from '../chroma/client/node-client.ts';
import type { MutateRequest, NodeResponse } from '../chroma/client/node-request.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { collectionByNamePath, collectionsPath } from '../chroma/protocol/paths.ts';
import type { RecordCall, RecordKind } from '../chroma/parse/record-call.ts';
import { scanRecordCall } from '../chroma/parse/scanner.ts';
import type { Term } from '../coordination/term.ts';
import type { Opinion } from './arbiter.ts';
import { TermOver } from '../coordination/term.ts';
import { toDraft } from './entry-operation.ts';
import { type Operation } from '../chroma/protocol/operation.ts';
import { SecondOpinion } from './second-opinion.ts';
import { Workload } from './workload.ts';

const LSN = 7;
const SHARD = 's';
const COLLECTIONS = collectionsPath(RESERVED);
const SCRATCH = `${COLLECTIONS}/scratch-id`;
const HNSW = { space: 'cosine', ef_construction: 40 };

/** What the node responds with to calls that match; null: nothing. */
interface Rule {
  readonly matches: (method: string, path: string) => boolean;
  readonly response: { status: number; body: string } | NodeError | null;
}

let clock: ManualClock;
let workload: Workload;
let over: AbortController;
/** Changing calls, as method, path and body. */
let changes: [string, string, string][];
let reads: [string, string, string][];
let rules: Rule[];
/** Names of the collections in the reserved database. */
let names: string[];
let isHeld: boolean;

beforeEach(() => {
  clock = new ManualClock();
  workload = new Workload(clock, 500);
  over = new AbortController();
  [changes, reads, rules, names, isHeld] = [[], [], [], ['marker', 'canary'], true];
});

const ok = (body: unknown = {}): { status: number; body: string } => ({
  status: 200,
  body: JSON.stringify(body),
});

function defaultFor(method: string, path: string): { status: number; body: string } {
  if (method === 'GET' && path === COLLECTIONS) return ok(names.map((name) => ({ name })));
  if (method === 'GET')
    return ok({ id: 'p', configuration_json: { hnsw: HNSW, embedding_function: { type: 'x' } } });
  if (path === COLLECTIONS) return ok({ id: 'scratch-id' });
  return ok();
}

function respond(method: string, path: string): Promise<NodeResponse> {
  const rule = rules.find(({ matches }) => matches(method, path));
  const response = rule === undefined ? defaultFor(method, path) : rule.response;
  if (response === null) return new Promise(() => undefined);
  if (response instanceof NodeError) return Promise.reject(response);
  return Promise.resolve({ status: response.status, headers: {}, body: Buffer.from(response.body) });
}

const text = ({ body = '' }: { readonly body?: MutateRequest['body'] | string }): string =>
  Array.isArray(body) ? Buffer.concat(body).toString() : String(body);

const client = {
  read: (request: MutateRequest) => {
    reads.push([request.method, request.path, text(request)]);
    return respond(request.method, request.path);
  },
  mutate: (request: MutateRequest) => {
    changes.push([request.method, request.path, text(request)]);
    return respond(request.method, request.path);
  },
} as unknown as NodeClient;

const records = (kind: RecordKind, body: object): Operation => {
  const call = scanRecordCall(kind, Buffer.from(JSON.stringify(body)), CHROMA_1_0_5) as RecordCall;
  return { type: 'records', shard: SHARD, call };
};
const UPSERT = records('upsert', { ids: ['a'], embeddings: [[1, 2]], documents: ['pear'] });

function ask(operation: Operation, applied = 0): Promise<Opinion> {
  const assigned = { physical: 'p', tenant: 't', database: 'd', name: 'pears' };
  const opinions = new SecondOpinion({
    node: () => ({ client, workload, assigned: () => (isHeld ? assigned : null) }),
    collectionOf: () => ({ tenant: 't', database: 'd', name: 'pears' }),
    clock,
  });
  const entry = { lsn: LSN, ...toDraft(operation), batch: 't', appendedAt: 0 };
  const { signal } = over;
  const term: Term = { epoch: 1, clean: true, signal, held: () => !signal.aborted };
  return opinions.ask('b', { node: 'a', entry, operation, applied }, term);
}

const paths = (calls: [string, string, string][]): string[] =>
  calls.map(([method, path]) => `${method} ${path}`);
const removal = (name: string): string => `DELETE ${collectionByNamePath(RESERVED, name)}`;
const isWrite = (_method: string, path: string): boolean => path.startsWith(SCRATCH);

describe('a write of records', () => {
  test('goes to a scratch collection with the same index configuration, which is removed', async () => {
    expect(await ask(UPSERT)).toBe('applies');
    expect(paths(changes)).toEqual([
      `POST ${COLLECTIONS}`,
      `POST ${SCRATCH}/upsert`,
      removal(`scratch-${LSN}`),
    ]);
    expect(JSON.parse(changes[0]![2])).toEqual({ name: `scratch-${LSN}`, configuration: { hnsw: HNSW } });
    expect(JSON.parse(changes[1]![2])).toEqual({ ids: ['a'], embeddings: [[1, 2]], documents: ['pear'] });
  });

  test('changes nothing outside the reserved database', async () => {
    await ask(UPSERT);
    for (const [, path] of changes) expect(path.startsWith(COLLECTIONS)).toBe(true);
  });

  test('removes what an interrupted trial left behind, and nothing else', async () => {
    names = ['marker', 'scratch-3', 'canary', 'scratch-5'];
    await ask(UPSERT);
    expect(paths(changes).slice(0, 2)).toEqual([removal('scratch-3'), removal('scratch-5')]);
    expect(paths(changes).filter((each) => each.startsWith('DELETE'))).toHaveLength(3);
  });

  test("fails with the server's response, and the scratch collection is removed all the same", async () => {
    rules = [
      { matches: isWrite, response: { status: 500, body: '{"error":"InternalError","message":"no"}' } },
    ];
    expect(await ask(UPSERT)).toMatchObject({ kind: 'response', status: 500 });
    expect(paths(changes).at(-1)).toBe(removal(`scratch-${LSN}`));
  });

  test('fails as dropped when the connection ends, and as hung when there is no response in time', async () => {
    rules = [{ matches: isWrite, response: new NodeError('unanswered', 'reset', { sent: true }) }];
    expect(await ask(UPSERT)).toMatchObject({ kind: 'dropped', status: 0 });
    rules = [{ matches: isWrite, response: null }];
    const hung = ask(UPSERT);
    await clock.pass(31_000, 1_000);
    expect(await hung).toMatchObject({ kind: 'hung', status: 0 });
  });

  test('is reported within its bound when the node does not respond to the removal either', async () => {
    rules = [{ matches: (method, path) => isWrite(method, path) || method === 'DELETE', response: null }];
    let opinion: Opinion | null = null;
    void ask(UPSERT).then((found) => (opinion = found));
    await clock.pass(120_000, 1_000);
    expect(opinion).toMatchObject({ kind: 'hung' });
  });

  test('counts as work in flight, so that the silence of the node is explained', async () => {
    rules = [{ matches: isWrite, response: null }];
    void ask(UPSERT).catch(() => undefined);
    await clock.pass(1);
    expect(workload.explainsSilence).toBe(true);
  });

  test('tries the part that failed when earlier parts were applied', async () => {
    const ids = Array.from({ length: 3_000 }, (_, n) => `i${n}`);
    await ask(records('upsert', { ids, embeddings: ids.map(() => [1]) }), 1_001);
    const sent = JSON.parse(changes[1]![2]) as { ids: string[] };
    expect([sent.ids[0], sent.ids.length]).toEqual(['i1001', 1_001]);
  });

  test('is tried as an upsert when it is an update with embeddings: an update of missing records tries nothing', async () => {
    await ask(records('update', { ids: ['a'], embeddings: [[1, 2]] }));
    expect(paths(changes)[1]).toBe(`POST ${SCRATCH}/upsert`);
  });

  test('is untried when the scratch collection cannot be made, or the request did not reach the node', async () => {
    rules = [
      {
        matches: (method, path) => method === 'POST' && path === COLLECTIONS,
        response: { status: 500, body: '{}' },
      },
    ];
    expect(await ask(UPSERT)).toBe('untried');
    rules = [{ matches: () => true, response: new NodeError('refused', 'refused', { sent: false }) }];
    expect(await ask(UPSERT)).toBe('untried');
  });

  test('ends with the term', async () => {
    rules = [{ matches: isWrite, response: null }];
    const asked = ask(UPSERT);
    await clock.pass(1);
    over.abort();
    await expect(asked).rejects.toBeInstanceOf(TermOver);
  });
});

describe('a conditional delete', () => {
  const DELETE = records('delete', { where: { n: 1 } });

  test('is only read', async () => {
    expect(await ask(DELETE)).toBe('applies');
    expect(changes).toEqual([]);
    expect(paths(reads)).toEqual(['POST /api/v2/tenants/t/databases/d/collections/p/get']);
    expect(JSON.parse(reads[0]![2])).toEqual({ include: [], offset: 0, limit: 512, where: { n: 1 } });
  });

  test("fails with the server's response to the selection", async () => {
    rules = [
      {
        matches: () => true,
        response: { status: 500, body: '{"error":"InternalError","message":"too many"}' },
      },
    ];
    expect(await ask(DELETE)).toMatchObject({ kind: 'response', status: 500 });
    expect(changes).toEqual([]);
  });

  test('is untried on a node that does not hold the shard, or holds a suspect copy', async () => {
    isHeld = false;
    expect(await ask(DELETE)).toBe('untried');
    expect(reads).toEqual([]);
  });
});

describe('a schema change', () => {
  test('that creates a collection is tried under another name in the reserved database, and removed', async () => {
    const body = Buffer.from('{"name":"pears","get_or_create":true,"configuration":{"hnsw":{"space":"l2"}}}');
    const create: Operation = {
      type: 'create_collection',
      collection: 'c',
      shard: SHARD,
      tenant: 't',
      database: 'd',
      name: 'pears',
      body,
    };
    expect(await ask(create)).toBe('applies');
    expect(paths(changes)).toEqual([`POST ${COLLECTIONS}`, removal(`scratch-${LSN}`)]);
    expect(JSON.parse(changes[0]![2])).toEqual({
      name: `scratch-${LSN}`,
      get_or_create: false,
      configuration: { hnsw: { space: 'l2' } },
    });
  });

  test('that only changes names is not tried: it could not be without effect', async () => {
    expect(await ask({ type: 'create_tenant', tenant: 'orchard' })).toBe('untried');
    expect([changes, reads]).toEqual([[], []]);
  });
});

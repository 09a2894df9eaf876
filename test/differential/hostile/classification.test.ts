// Classifications of pairs of responses, and the cases that are faults.

import { expect, test } from 'vitest';
import type { EndpointResponse } from '../endpoint.ts';
import { History } from '../history.ts';
import { MAIN } from '../schema.ts';
import { hostileCases } from './generator.ts';
import { post } from './hostile-case.ts';
import { classify, namedLimit, refusedAlone, type Classification } from './classification.ts';
import { runCase } from './run.ts';
import type { Subjects } from './subjects.ts';

const response = (status: number, body = '{}'): EndpointResponse => ({
  status,
  contentType: 'application/json',
  body: Buffer.from(body),
});
const DELETE = post('delete', '{"where":{"k":1}}');

const kindOf = (a: EndpointResponse, b: EndpointResponse, operation = DELETE): Classification['kind'] =>
  classify({ operation, history: new History('t'), a, b }, a.body.equals(b.body) && a.status === b.status)
    .kind;

test.each<[what: string, a: EndpointResponse, b: EndpointResponse, kind: Classification['kind']]>([
  ['the same success', response(200), response(200), 'equal'],
  ['the same refusal', response(400, 'x'), response(400, 'x'), 'equal'],
  ['another message of a refusal', response(400, 'x'), response(400, 'y'), 'fault'],
  ['a success where the server refuses', response(200), response(400), 'fault'],
  ['a refusal where the server succeeds', response(400), response(200), 'fault'],
  ['503 where the server succeeds', response(503), response(200), 'fault'],
  ['a refusal where the server fails', response(400), response(500), 'refused'],
  ['the status of a server that fails', response(500, 'x'), response(500, 'y'), 'refused'],
  ['a refusal where the server ends', response(422), response(0), 'refused'],
  ['503 where the server fails', response(503), response(500), 'fault'],
  ['503 where the server ends', response(503), response(0), 'fault'],
  ['no response where the server ends', response(0), response(0), 'fault'],
  ['a success where the server fails', response(200), response(500), 'fault'],
])('classifies %s', (_what, a, b, kind) => {
  expect(kindOf(a, b)).toBe(kind);
});

test('accepts a response to a query for no results where the server drops the connection', () => {
  const query = post('query', '{"query_embeddings":[[1]],"n_results":0}');
  const rows = response(200, '{"ids":[[]]}');
  expect(kindOf(rows, response(0), query)).toBe('difference');
  expect(kindOf(rows, response(0), post('query', '{"query_embeddings":[[1]],"n_results":5}'))).toBe('fault');
});

test('takes only a 400 that names a setting for a documented limit', () => {
  expect(namedLimit(response(400, 'more than the limit of BODY_BUDGET_BYTES'))).toBe('BODY_BUDGET_BYTES');
  expect(namedLimit(response(400, 'more than the limit of NO_SUCH_SETTING'))).toBeNull();
  expect(namedLimit(response(503, 'BODY_BUDGET_BYTES'))).toBeNull();
  const exchange = { operation: DELETE, history: new History('t'), a: response(400, 'WRITE_TIMEOUT_MS') };
  expect(refusedAlone(exchange)).toBe('limit WRITE_TIMEOUT_MS');
  expect(refusedAlone({ ...exchange, a: response(400) })).toBeNull();
});

test('draws the same cases from the same seed, others from another', () => {
  const drawn = (seed: number): string[] =>
    hostileCases(seed, 60).map(({ kind, about }) => `${kind} ${about}`);
  expect(drawn(1)).toEqual(drawn(1));
  expect(drawn(1)).not.toEqual(drawn(2));
});

/** Two sides that respond with 201 to creates and writes and with `state` to reads, but for what is `wrong`. */
function subjects(
  wrong: (path: string, side: 'a' | 'b', writes: number) => EndpointResponse | null,
  pids = [1],
): Subjects {
  const writes = { a: 0, b: 0 };
  const endpoint = (side: 'a' | 'b'): Subjects['a'] => ({
    async send({ path, method }) {
      if (path.endsWith('/upsert')) writes[side] += 1;
      const given = wrong(path, side, writes[side]);
      if (given !== null) return given;
      if (path.endsWith('/collections') && method === 'POST') return response(200, COLLECTION);
      if (path.endsWith('/count')) return response(200, String(writes[side]));
      return response(path.endsWith('/add') ? 201 : 200);
    },
    close: async () => undefined,
  });
  return {
    release: '',
    a: endpoint('a'),
    b: endpoint('b'),
    nodePids: () => pids,
    stop: async () => undefined,
  };
}
const COLLECTION = JSON.stringify({
  id: '5f0c9a34-1111-4222-8333-000000000001',
  name: 'pears',
  tenant: 't',
  database: 'd',
});

const CASE = {
  kind: 'upserts',
  about: '',
  operations: () => [post('upsert', '{"ids":["a"],"embeddings":[[1]]}')],
};

test('finds nothing where both sides agree', async () => {
  expect(
    await runCase(
      subjects(() => null),
      CASE,
    ),
  ).toEqual({ fault: null, isLive: true, outcomes: ['equal'] });
});

test.each<[what: string, fault: RegExp, isLive: boolean, wrong: Parameters<typeof subjects>[0]]>([
  [
    'a write that is lost',
    /same responses, but another state/,
    true,
    (path, side, writes) =>
      path.endsWith('/count') && side === 'a' && writes > 0 ? response(200, '0') : null,
  ],
  [
    'a refusal that changed something',
    /refused, but changed/,
    true,
    (path) => (path.endsWith('/upsert') ? response(500, '{"error":"x"}') : null),
  ],
  [
    'a cluster that takes no more writes',
    /another collection takes no write/,
    false,
    (path, side, writes) => (path.endsWith('/add') && side === 'a' && writes > 0 ? response(503) : null),
  ],
])('finds %s', async (_what, fault, isLive, wrong) => {
  const result = await runCase(subjects(wrong), CASE);
  expect(result.fault).toMatch(fault);
  expect(result.isLive).toBe(isLive);
});

test('finds a node that ended', async () => {
  const pids = [1, 2];
  const ending = subjects((path) => {
    if (path.endsWith('/upsert')) pids[1] = 3;
    return null;
  }, pids);
  expect(await runCase(ending, CASE)).toMatchObject({
    fault: expect.stringMatching(/a node ended/),
    isLive: false,
  });
});

test('sends every case to a collection of the main database', () => {
  const paths = hostileCases(3, 34).flatMap(({ operations }) => operations().map(({ path }) => path));
  expect(paths.filter((path) => !path.startsWith(MAIN) && !path.endsWith('/databases'))).toEqual([]);
});

// Verdicts on pairs of responses: which let a case pass, and which are faults.

import { expect, test } from 'vitest';
import type { Answer } from '../endpoint.ts';
import { History } from '../history.ts';
import { MAIN } from '../schema.ts';
import { hostileCases } from './generator.ts';
import { post } from './hostile-case.ts';
import { judge, namedLimit, refusedAlone, type Verdict } from './judge.ts';
import { runCase } from './run.ts';
import type { Subjects } from './subjects.ts';

const answer = (status: number, body = '{}'): Answer => ({
  status,
  contentType: 'application/json',
  body: Buffer.from(body),
});
const DELETE = post('delete', '{"where":{"k":1}}');

const kindOf = (a: Answer, b: Answer, operation = DELETE): Verdict['kind'] =>
  judge({ operation, history: new History('t'), a, b }, a.body.equals(b.body) && a.status === b.status).kind;

test.each<[what: string, a: Answer, b: Answer, kind: Verdict['kind']]>([
  ['the same success', answer(200), answer(200), 'equal'],
  ['the same refusal', answer(400, 'x'), answer(400, 'x'), 'equal'],
  ['another message of a refusal', answer(400, 'x'), answer(400, 'y'), 'fault'],
  ['a success where the server refuses', answer(200), answer(400), 'fault'],
  ['a refusal where the server succeeds', answer(400), answer(200), 'fault'],
  ['503 where the server succeeds', answer(503), answer(200), 'fault'],
  ['a refusal where the server fails', answer(400), answer(500), 'refused'],
  ['the status of a server that fails', answer(500, 'x'), answer(500, 'y'), 'refused'],
  ['a refusal where the server ends', answer(422), answer(0), 'refused'],
  ['503 where the server fails', answer(503), answer(500), 'fault'],
  ['503 where the server ends', answer(503), answer(0), 'fault'],
  ['no response where the server ends', answer(0), answer(0), 'fault'],
  ['a success where the server fails', answer(200), answer(500), 'fault'],
])('judges %s', (_what, a, b, kind) => {
  expect(kindOf(a, b)).toBe(kind);
});

test('accepts a response to a query for no results where the server drops the connection', () => {
  const query = post('query', '{"query_embeddings":[[1]],"n_results":0}');
  expect(kindOf(answer(200), answer(0), query)).toBe('difference');
  expect(kindOf(answer(200), answer(0), post('query', '{"query_embeddings":[[1]],"n_results":5}'))).toBe(
    'fault',
  );
});

test('takes only a 400 that names a setting for a documented limit', () => {
  expect(namedLimit(answer(400, 'more than the limit of BODY_BUDGET_BYTES'))).toBe('BODY_BUDGET_BYTES');
  expect(namedLimit(answer(400, 'more than the limit of NO_SUCH_SETTING'))).toBeNull();
  expect(namedLimit(answer(503, 'BODY_BUDGET_BYTES'))).toBeNull();
  const exchange = { operation: DELETE, history: new History('t'), a: answer(400, 'WRITE_TIMEOUT_MS') };
  expect(refusedAlone(exchange)).toBe('limit WRITE_TIMEOUT_MS');
  expect(refusedAlone({ ...exchange, a: answer(400) })).toBeNull();
});

test('draws the same cases from the same seed, others from another', () => {
  const drawn = (seed: number): string[] =>
    hostileCases(seed, 60).map(({ kind, about }) => `${kind} ${about}`);
  expect(drawn(1)).toEqual(drawn(1));
  expect(drawn(1)).not.toEqual(drawn(2));
});

/** Two sides that respond with 201 to creates and writes and with `state` to reads, but for what is `wrong`. */
function subjects(
  wrong: (path: string, side: 'a' | 'b', writes: number) => Answer | null,
  pids = [1],
): Subjects {
  const writes = { a: 0, b: 0 };
  const endpoint = (side: 'a' | 'b'): Subjects['a'] => ({
    async send({ path, method }) {
      if (path.endsWith('/upsert')) writes[side] += 1;
      const given = wrong(path, side, writes[side]);
      if (given !== null) return given;
      if (path.endsWith('/collections') && method === 'POST') return answer(200, COLLECTION);
      if (path.endsWith('/count')) return answer(200, String(writes[side]));
      return answer(path.endsWith('/add') ? 201 : 200);
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
    (path, side, writes) => (path.endsWith('/count') && side === 'a' && writes > 0 ? answer(200, '0') : null),
  ],
  [
    'a refusal that changed something',
    /refused, but changed/,
    true,
    (path) => (path.endsWith('/upsert') ? answer(500, '{"error":"x"}') : null),
  ],
  [
    'a cluster that takes no more writes',
    /another collection takes no write/,
    false,
    (path, side, writes) => (path.endsWith('/add') && side === 'a' && writes > 0 ? answer(503) : null),
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

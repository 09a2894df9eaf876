// Polychrome over two nodes answers as one bare server does, over generated sequences of operations.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { check } from './check.ts';
import type { Endpoints } from './compare.ts';
import { openEndpoint } from './endpoint.ts';
import { type Servers, startServers } from './servers.ts';

// Fixed, so that the suite says the same twice; other seeds are for `npm run differential`.
const SEED = 20_260_801;
const RUNS = 120;

let servers: Servers;
let endpoints: Endpoints;

beforeAll(async () => {
  servers = await startServers({ chroma: process.env['CHROMA_COMMAND'] });
  endpoints = { a: openEndpoint(servers.a), b: openEndpoint(servers.b) };
});

afterAll(async () => {
  await Promise.all([endpoints?.a.close(), endpoints?.b.close()]);
  await servers?.stop();
});

test(`${RUNS} sequences from seed ${SEED} end equal`, { timeout: 300_000 }, async () => {
  const { tally, failure } = await check({ endpoints, runs: RUNS, seed: SEED });
  expect(
    failure,
    failure === null ? '' : `${failure.message}\n${JSON.stringify(failure.operations)}`,
  ).toBeNull();
  console.log(
    `seed ${SEED}: ${tally.sequences} sequences, ${tally.operations} operations; differences`,
    Object.fromEntries(tally.differences),
  );
  expect(tally.sequences).toBe(RUNS);
  // A run in which everything is refused proves nothing.
  for (const reached of [
    'add 201',
    'upsert 200',
    'update 200',
    'delete 200',
    'get 200',
    'query 200',
    'count 200',
  ]) {
    expect(tally.responses.get(reached) ?? 0, reached).toBeGreaterThan(RUNS / 10);
  }
});

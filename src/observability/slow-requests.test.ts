import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { shapeOf } from './request-shape.ts';
import { SlowRequests, type SlowRequest } from './slow-requests.ts';

let clock: ManualClock;
let stored: SlowRequest[];
beforeEach(() => {
  clock = new ManualClock();
  stored = [];
});

function slowRequests(thresholdMs: number): SlowRequests {
  const store = { append: async (requests: readonly SlowRequest[]) => void stored.push(...requests) };
  return new SlowRequests({ store, thresholdMs, clock, onError: () => undefined });
}
const request = (ms: number): Parameters<SlowRequests['observe']>[0] => ({
  route: 'query',
  status: 200,
  ms,
  params: { collection: 'c' },
  body: Buffer.from('{"n_results":3}'),
});

test('stores requests from the threshold on, with their shape', async () => {
  const slow = slowRequests(1_000);
  slow.observe(request(999));
  slow.observe(request(1_000.4));
  await slow.stop();
  expect(stored).toEqual([
    {
      at: clock.now(),
      route: 'query',
      collection: 'c',
      status: 200,
      ms: 1_000,
      shape: { bytes: 15, n_results: 3 },
    },
  ]);
});

test('stores none when it is turned off', async () => {
  const slow = slowRequests(0);
  slow.observe(request(90_000));
  await slow.stop();
  expect(stored).toEqual([]);
});

test('stores a few of each second, and counts all', async () => {
  const slow = slowRequests(1);
  for (let n = 0; n < 20; n++) slow.observe(request(10));
  clock.advance(1_000);
  slow.observe(request(10));
  await slow.stop();
  expect(stored).toHaveLength(6);
  const [counter] = slow.metrics;
  expect(counter?.read()).toBe(21);
});

describe('the shape of a body', () => {
  test('has counts, dimensions and limits', () => {
    const body = {
      query_embeddings: [
        [0.1, 0.2, 0.3],
        [1, 2, 3],
      ],
      n_results: 5,
      where: { $and: [{ secret: 'a' }, { b: { $in: ['secret', 'x'] } }] },
      where_document: { $contains: 'secret' },
      include: ['documents', 'secret'],
      other: 'secret',
    };
    const shape = shapeOf(Buffer.from(JSON.stringify(body)));
    expect(shape).toMatchObject({
      query_embeddings: 2,
      dimension: 3,
      n_results: 5,
      where_conditions: 3,
      where_document_conditions: 1,
      include: 'documents',
    });
    expect(JSON.stringify(shape)).not.toContain('secret');
  });

  test.each([
    ['nothing', ''],
    ['what is not JSON', '{"ids":["secret"'],
    ['what is no object', '"secret"'],
    ['values of other types', '{"n_results":"secret","ids":"secret","include":"secret","limit":null}'],
    ['what is too large to look at', JSON.stringify({ ids: ['x'.repeat(300_000)] })],
  ])('of %s has its size alone', (_what, body) => {
    expect(shapeOf(Buffer.from(body))).toEqual({ bytes: body.length });
  });

  test('of deeply nested filters ends', () => {
    const nested = '{"a":'.repeat(1_000) + '1' + '}'.repeat(1_000);
    expect(shapeOf(Buffer.from(`{"where":${nested}}`))).toMatchObject({ where_conditions: 1 });
  });
});

import { beforeEach, expect, test } from 'vitest';
import { ReadVerification, type ReadVerificationOptions } from './read-verification.ts';

let head: number;
let other: { status: number; body: Buffer };
let asked: string[];
let differing: string[];
/** Runs while the other node is asked. */
let meanwhile: () => void | Promise<void>;
let random: number;

beforeEach(() => {
  head = 5;
  other = { status: 200, body: Buffer.from('same') };
  asked = [];
  differing = [];
  meanwhile = () => undefined;
  random = 0;
});

function build(ratio: number): ReadVerification {
  const client = {
    read: async ({ path }: { path: string }) => {
      asked.push(path);
      await meanwhile();
      return { ...other, headers: {} };
    },
  };
  const selectNow = (_requirements: object, excluded: ReadonlySet<string>) =>
    excluded.has('a') ? { node: { client }, physicalId: 'p2' } : null;
  return new ReadVerification({
    ratio,
    selection: { selectNow } as unknown as ReadVerificationOptions['selection'],
    heads: { get: () => head },
    random: () => random,
    differs: (one, two) => !one.equals(two),
    onDifference: (shard) => differing.push(shard),
  });
}

const get = (lsn = 5) => ({
  node: 'a',
  shard: 's',
  read: { method: 'POST' as const, path: (id: string) => `/${id}/get` },
  body: Buffer.from('same'),
  lsn,
});
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test('compares a response with that of another node, under its own id', async () => {
  const verification = build(1);
  verification.served(get());
  await settled();
  expect([asked, differing]).toEqual([['/p2/get'], []]);
  other = { status: 200, body: Buffer.from('another') };
  verification.served(get());
  await settled();
  expect(differing).toEqual(['s']);
  expect(verification.metrics.map((metric) => ('read' in metric ? metric.read() : null))).toEqual([2, 1]);
});

test('asks for the share of gets that is set', async () => {
  random = 0.3;
  build(0.2).served(get());
  build(0).served(get());
  await settled();
  expect(asked).toEqual([]);
  build(0.4).served(get());
  await settled();
  expect(asked).toHaveLength(1);
});

test('compares only responses at one position', async () => {
  other = { status: 200, body: Buffer.from('another') };
  build(1).served(get(4));
  await settled();
  expect(asked).toEqual([]);
  meanwhile = () => void (head = 6);
  build(1).served(get());
  await settled();
  expect([asked.length, differing]).toEqual([1, []]);
});

test('takes an error of the other node for a difference, and no response for none', async () => {
  other = { status: 500, body: Buffer.from('same') };
  build(1).served(get());
  await settled();
  expect(differing).toEqual(['s']);
  meanwhile = () => {
    throw new Error('no response');
  };
  build(1).served(get());
  await settled();
  expect(differing).toEqual(['s']);
});

test('has a bounded number of comparisons in flight', async () => {
  const blocked = Promise.withResolvers<void>();
  meanwhile = () => blocked.promise;
  const verification = build(1);
  for (let count = 0; count < 10; count++) verification.served(get());
  expect(asked.length).toBeLessThanOrEqual(2);
  blocked.resolve();
  await settled();
  verification.served(get());
  await settled();
  expect(asked.length).toBeGreaterThan(2);
});

import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { ShardHeads, type LogPositions } from './shard-heads.ts';

interface Asked {
  readonly shards: readonly string[];
  readonly respond: (lsn: number) => void;
  readonly fail: () => void;
}

let asked: Asked[];
let heads: ShardHeads;
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

beforeEach(() => {
  asked = [];
  heads = new ShardHeads({
    clock: new ManualClock(),
    ask: (shards) =>
      new Promise<LogPositions>((resolve, reject) => {
        const respond = (lsn: number): void =>
          resolve({ head: lsn, shards: new Map(shards.map((shard) => [shard, lsn])) });
        asked.push({ shards, respond, fail: () => reject(new Error('lost')) });
      }),
  });
});

test('reads that wait share the next query, which is sent after they arrived', async () => {
  const first = heads.now('a');
  await turn();
  const waiting = [heads.now('a'), heads.now('b'), heads.now('b'), heads.head()];
  await turn();
  expect(asked.map(({ shards }) => shards)).toEqual([['a']]);
  asked[0]!.respond(1);
  expect(await first).toBe(1);
  await turn();
  expect(asked.map(({ shards }) => shards)).toEqual([['a'], ['a', 'b']]);
  asked[1]!.respond(2);
  expect(await Promise.all(waiting)).toEqual([2, 2, 2, 2]);
});

test('a query that fails is followed by the next', async () => {
  const failing = heads.now('a');
  failing.catch(() => undefined);
  await turn();
  const next = heads.now('a');
  asked[0]!.fail();
  await expect(failing).rejects.toMatchObject({ code: 'log_unavailable' });
  await turn();
  asked[1]!.respond(3);
  expect(await next).toBe(3);
});

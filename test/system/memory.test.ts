// Continuous bulk loads far larger than the gateway's memory: it stays flat and within its bound.
// `npm run bench -- --only memory` does the same with 1 GB.

import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';

const MB = 1_000_000;
/** For the whole process. */
const RSS_MAX = 350 * MB;
const LOADERS = 4;
const RECORDS = 200;
const FILLER = 'x'.repeat(16_000);

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 2, ownProcess: {} });
});
afterAll(() => cluster.stop());

/** The largest resident set since the last call (proc(5), clear_refs). */
function takePeak(): number {
  const { pid } = cluster.process;
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return Number(/VmHWM:\s+(\d+) kB/.exec(text)?.[1]) * 1024;
}

/** Several clients add continuously; returns the largest resident set of each third. */
async function load(collection: string, level: string, calls: number): Promise<number[]> {
  const peaks: number[] = [];
  let next = 0;
  const loader = async (): Promise<void> => {
    while (next < calls) {
      const call = next++;
      const ids = Array.from({ length: RECORDS }, (_, n) => `${level}-${call}-${n}`);
      const body = {
        ids,
        embeddings: ids.map((_, n) => [call, n]),
        metadatas: ids.map(() => ({ filler: FILLER })),
      };
      const { status } = await cluster.api.records(collection, 'add', body, { 'x-polychrome-ack': level });
      expect(status).toBe(201);
      if (next % Math.ceil(calls / 3) === 0) peaks.push(takePeak());
    }
  };
  takePeak();
  await Promise.all(Array.from({ length: LOADERS }, loader));
  peaks.push(takePeak());
  return peaks;
}

test.runIf(process.platform === 'linux').each([
  // 128 MB.
  ['as fast as the primary applies them', 'primary', 40],
  // The nodes fall behind and read from PostgreSQL what the log buffer no longer holds.
  ['as fast as the log appends them', 'log', 80],
])(
  'keeps memory flat and within its bound when clients add in bulk %s',
  async (_name, level, calls) => {
    const collection = await cluster.api.create(`bulk-${level}`);
    const peaks = await load(collection, level, calls);
    expect(peaks.length).toBeGreaterThan(2);
    expect(Math.max(...peaks)).toBeLessThan(RSS_MAX);
    // The nodes take turns with long calls, and have the whole load before them.
    await cluster.allServe(180_000);
    // Catch-up needs no more memory than the load.
    expect(takePeak()).toBeLessThan(RSS_MAX);
    expect((await cluster.api.records(collection, 'count')).text).toBe(String(calls * RECORDS));
    for (const { id } of cluster.local.nodes) {
      const listed = JSON.parse((await cluster.node(id).collections()).text) as {
        id: string;
        name: string;
      }[];
      const physical = listed.find(({ name }) => name === `bulk-${level}`)!.id;
      const { text } = await cluster.node(id).records(physical, 'count');
      expect([id, text]).toEqual([id, String(calls * RECORDS)]);
    }
  },
  300_000,
);

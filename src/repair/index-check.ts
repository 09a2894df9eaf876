// Checks the vector index of a copy: whether records are found by their own vectors. The index is approximate, so one
// record that is not found proves nothing; a damaged one misses many.

import { queryRecordsRequest, type ShardLocation } from '../chroma/protocol/node-requests.ts';
import { CopyUnreadable, readPages, type ReadCopy } from './copy-content.ts';
import { vectorIn } from './record-difference.ts';
import { isSelfDistance } from './shard-check.ts';

export interface IndexSample {
  /** Records that were searched for by their own vectors. */
  readonly asked: number;
  readonly missed: number;
}

const SAMPLES = 32;
// Vectors are sent as text: 16 of 3,072 dimensions are about half a MiB.
const QUERIES_PER_CALL = 16;
const RESPONSE_BYTES_MAX = 1024 * 1024;
// A healthy index of unusual settings (`ef_search` 1) misses some records too, and then does so on every node.
const MISSED_MORE_MAX = 4;

/** Some ids of a list, evenly spaced, with those given first. */
export function sampleOf(ids: readonly string[], first: readonly string[]): string[] {
  const step = Math.max(1, Math.floor(ids.length / SAMPLES));
  const spaced = Array.from(
    { length: Math.min(SAMPLES, ids.length) },
    (_, index) => ids[index * step] as string,
  );
  return [...new Set([...first, ...spaced])].slice(0, 2 * SAMPLES);
}

/** Searches for each of these records by its own vector. Throws NodeError, CopyUnreadable. */
export async function indexSample(
  read: ReadCopy,
  shard: ShardLocation,
  ids: readonly string[],
): Promise<IndexSample> {
  let asked = 0;
  let missed = 0;
  for await (const { records } of readPages(read, shard, ids)) {
    const vectors = records.map(({ embedding }) => vectorIn(embedding)).filter((vector) => vector !== null);
    for (let from = 0; from < vectors.length; from += QUERIES_PER_CALL) {
      const page = vectors.slice(from, from + QUERIES_PER_CALL).map((vector) => [...vector]);
      const query = { query_embeddings: page, n_results: 1, include: ['distances'] as const };
      const request = { ...queryRecordsRequest(shard, query), responseBytesMax: RESPONSE_BYTES_MAX };
      const { status, body } = await read(request);
      if (status !== 200) throw new CopyUnreadable(status, `query: HTTP ${status}`);
      const { distances } = JSON.parse(body.toString()) as { distances: (number | null)[][] };
      for (const [index, vector] of page.entries()) {
        const nearest = distances[index]?.[0];
        // A distance that is no finite number, as of huge components, says nothing.
        if (nearest === null) continue;
        asked += 1;
        if (!isSelfDistance(vector, nearest)) missed += 1;
      }
    }
  }
  return { asked, missed };
}

/** Whether each of several indexes misses all records: no index is better, so the sample blames none of them. */
export function everyIndexMissesAll(samples: ReadonlyMap<string, IndexSample>): boolean {
  return samples.size > 1 && [...samples.values()].every(missesAll);
}

const missesAll = ({ asked, missed }: IndexSample): boolean => asked > 0 && missed === asked;

/** Indexes that miss more than the best of them does, or that miss all records, with the reason. */
export function indexFaults(samples: ReadonlyMap<string, IndexSample>): Map<string, string> {
  if (everyIndexMissesAll(samples)) return new Map();
  const best = Math.min(...[...samples.values()].map(({ missed }) => missed));
  const faults = new Map<string, string>();
  for (const [node, sample] of samples) {
    const { asked, missed } = sample;
    const missesMore = missed - best > MISSED_MORE_MAX || (samples.size > 1 && missed - best > asked / 2);
    if (missesAll(sample) || missesMore)
      faults.set(node, `its index does not find ${missed} of ${asked} records by their own vectors`);
  }
  return faults;
}

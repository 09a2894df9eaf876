// Checks the vector index of a copy: whether records are found by their own vectors. The index is approximate, so a few
// records that are not found prove nothing; a damaged one misses many.

import { queryRecordsRequest, type ShardLocation } from '../chroma/protocol/node-requests.ts';
import { CopyUnreadable, readPages, type ReadCopy } from './copy-content.ts';
import { vectorIn } from './record-difference.ts';
import { isSelfDistance } from './shard-check.ts';

/** Ids of records that were searched for by their own vectors. */
export interface IndexSample {
  readonly asked: readonly string[];
  /** Those of them that were not found. */
  readonly missed: readonly string[];
}

const SAMPLES = 32;
// Vectors are sent as text: 16 of 3,072 dimensions are about half a MiB.
const QUERIES_PER_CALL = 16;
// 16 times 100 ids of 10,000 characters: a response holds the ids of what is found.
const RESPONSE_BYTES_MAX = 16 * 1024 * 1024;
// A search looks at no fewer candidates than it returns records. With as few as clients may choose (`ef_search` 1), it misses
// many records of a healthy index. 100 is Chroma's default.
const CANDIDATES = 100;
// Records that many updates leave without a way to them are missed by healthy indexes too, and each index misses other ones.
const MISSED_MORE_MAX = 4;
// Standard deviations. Two samples in a row exceed it for no good index in years of daily scrubs.
const CHANCE_MAX = 4;

/** Some ids of a list, evenly spaced, with those given first; with another `start`, others. */
export function sampleOf(ids: readonly string[], first: readonly string[], start = 0): string[] {
  const step = Math.max(1, Math.floor(ids.length / SAMPLES));
  const offset = start % step;
  const spaced = Array.from(
    { length: Math.min(SAMPLES, ids.length) },
    (_, index) => ids[index * step + offset] as string,
  );
  return [...new Set([...first, ...spaced])].slice(0, 2 * SAMPLES);
}

/** Searches for each of these records by its own vector. Throws NodeError, CopyUnreadable. */
export async function indexSample(
  read: ReadCopy,
  shard: ShardLocation,
  ids: readonly string[],
): Promise<IndexSample> {
  const asked: string[] = [];
  const missed: string[] = [];
  for await (const { records } of readPages(read, shard, ids)) {
    const vectors = records.flatMap(({ id, embedding }) => {
      const vector = vectorIn(embedding);
      return vector === null ? [] : [{ id, vector: [...vector] }];
    });
    for (let from = 0; from < vectors.length; from += QUERIES_PER_CALL) {
      const page = vectors.slice(from, from + QUERIES_PER_CALL);
      const { answered, unfound } = await search(read, shard, page, 1);
      asked.push(...answered);
      if (unfound.length > 0)
        missed.push(...(await search(read, shard, unfound, CANDIDATES)).unfound.map(({ id }) => id));
    }
  }
  return { asked, missed };
}

interface SearchedRecord {
  readonly id: string;
  readonly vector: number[];
}

/** Searches that were answered, by the ids of their records, and those that did not find theirs. */
async function search(
  read: ReadCopy,
  shard: ShardLocation,
  page: readonly SearchedRecord[],
  candidates: number,
): Promise<{ readonly answered: readonly string[]; readonly unfound: readonly SearchedRecord[] }> {
  const query = {
    query_embeddings: page.map(({ vector }) => vector),
    n_results: candidates,
    include: ['distances'] as const,
  };
  const request = { ...queryRecordsRequest(shard, query), responseBytesMax: RESPONSE_BYTES_MAX };
  const { status, body } = await read(request);
  if (status !== 200) throw new CopyUnreadable(status, `query: HTTP ${status}`);
  const { distances } = JSON.parse(body.toString()) as { distances: (number | null)[][] };
  // A distance that is no finite number, as of huge components, says nothing.
  const nearest = page.map((record, index) => ({ record, distance: distances[index]?.[0] }));
  const answered = nearest.filter(({ distance }) => distance !== null);
  const unfound = answered.filter(
    ({ record, distance }) => !isSelfDistance(record.vector, distance ?? undefined),
  );
  return { answered: answered.map(({ record }) => record.id), unfound: unfound.map(({ record }) => record) };
}

/** Without the records that entries touched meanwhile; without any, if most of them were. */
export function withoutTouched(
  { asked, missed }: IndexSample,
  isTouched: (id: string) => boolean,
): IndexSample {
  const left = asked.filter((id) => !isTouched(id));
  if (2 * left.length < asked.length) return { asked: [], missed: [] };
  return { asked: left, missed: missed.filter((id) => !isTouched(id)) };
}

/** Whether each of several indexes misses all records: no index is better, so the sample blames none of them. */
export function everyIndexMissesAll(samples: ReadonlyMap<string, IndexSample>): boolean {
  return samples.size > 1 && [...samples.values()].every(missesAll);
}

const missesAll = ({ asked, missed }: IndexSample): boolean =>
  asked.length > 0 && missed.length === asked.length;

/**
 * Indexes that miss more than chance makes an index miss that is as good as the best of them, or that miss all records, with
 * the reason. Records that every index misses are no reason: a copy made anew would soon miss as many.
 */
export function indexFaults(samples: ReadonlyMap<string, IndexSample>): Map<string, string> {
  if (everyIndexMissesAll(samples)) return new Map();
  const [best] = [...samples.values()].sort((a, b) => a.missed.length - b.missed.length);
  const faults = new Map<string, string>();
  for (const [node, sample] of samples)
    if (missesAll(sample) || (best !== undefined && missesMore(sample, best)))
      faults.set(
        node,
        `its index does not find ${sample.missed.length} of ${sample.asked.length} records by their own vectors`,
      );
  return faults;
}

function missesMore({ asked, missed }: IndexSample, best: IndexSample): boolean {
  const more = missed.length - best.missed.length;
  // Never 0 or 1: the best of a few samples says little about all records.
  const rate = (best.missed.length + 1) / (best.asked.length + 2);
  const deviation = Math.sqrt(2 * asked.length * rate * (1 - rate));
  // The index of a small shard finds every record, so that chance explains no miss.
  return more > asked.length / 2 || more > Math.max(MISSED_MORE_MAX, CHANCE_MAX * deviation);
}

// Reads beside a bulk load: paced gets and queries of the loaded collection and of another one, with and without load.

import { type BenchmarkRun, callSource, checkResponses } from './closed-workload.ts';
import { failureCount, type Outcome, runClosed, runOpen } from './load.ts';
import type { LatencySummary, ReadStream } from './results.ts';
import type { Collection } from './server.ts';
import { median, percentile } from './statistics.ts';
import type { Target } from './targets.ts';
import { BULK_RECORDS, Parts, type Workload } from './workloads.ts';

export const BULK_LOADS = ['bulk_docs', 'bulk_1536'] as const;
export type BulkLoad = (typeof BULK_LOADS)[number];

/**
 * Records in one part of a split call. A node receives at most about 1 MB of documents, 8 MB of vectors (a 1,536-d
 * vector is 17 KB of text) or 1,024 records at once.
 */
const RECORDS_PER_PART: Readonly<Record<BulkLoad, number>> = {
  bulk_docs: BULK_RECORDS,
  bulk_1536: BULK_RECORDS / 2,
};
const TIMED_PARTS = 3;

/** Rate of each stream; the four streams together use about a sixth of a bare server's capacity. */
const READS_PER_SECOND = 20;

interface Stream {
  readonly collection: ReadStream['collection'];
  readonly operation: ReadStream['operation'];
  readonly run: () => Promise<Outcome>;
}

/** Measures all read streams on `target`, first without load, then while `workload` loads records. */
export async function measureReadsBesideBulk(
  { load, workload }: { readonly load: BulkLoad; readonly workload: Workload },
  target: Target,
  run: BenchmarkRun,
): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const other = await bodies.open(server, 'read');
  const loaded = await bodies.open(server, workload.collection);
  const partMs = await timePart(load, { workload, collection: loaded }, run);
  const streams = [
    ...(await openStreams({ kind: 'other', workload: { ...workload, collection: 'read' } }, other, {
      target,
      run,
    })),
    ...(await openStreams({ kind: 'loaded', workload }, loaded, { target, run })),
  ];
  const readAll = (): Promise<Outcome[]> => Promise.all(streams.map((stream) => stream.run()));
  const idle = await readAll();
  const [bulk, underLoad] = await Promise.all([
    runClosed({
      address: server.address,
      clients: workload.clients,
      nextCall: callSource({ workload, target, collection: loaded }),
      warmUpMs: 0,
      durationMs: settings.besideMs,
    }),
    readAll(),
  ]);
  await server.settle();
  for (const [reason, count] of bulk.failures) {
    results.note(`read_beside_bulk, ${target.name}: ${count} calls of ${load} failed: ${reason}`);
  }
  results.addBesideBulk(load, target.name, {
    partMs,
    recordsPerSecond: (bulk.operations * 1_000) / bulk.elapsedMs,
    failedCalls: failureCount(bulk),
    streams: streams.map(({ collection, operation }, index) => ({
      collection,
      operation,
      idle: summarize(idle[index]!),
      underLoad: summarize(underLoad[index]!),
    })),
  });
}

/** Median duration of an add of one part to the idle target, ms. */
async function timePart(
  load: BulkLoad,
  { workload, collection }: { readonly workload: Workload; readonly collection: Collection },
  { bodies }: BenchmarkRun,
): Promise<number> {
  const supply = new Parts(bodies, workload.collection).bulkAdd(RECORDS_PER_PART[load]).supply(1);
  const durationsMs: number[] = [];
  for (let index = 0; index < TIMED_PARTS; index += 1) {
    const startedAt = performance.now();
    await collection.send('add', supply.next());
    durationsMs.push(performance.now() - startedAt);
    await collection.settle();
  }
  return median(durationsMs);
}

/** One stream of gets and one of queries; throws if the target's responses to them are wrong. */
async function openStreams(
  { kind, workload }: { readonly kind: ReadStream['collection']; readonly workload: Workload },
  collection: Collection,
  { target, run }: { readonly target: Target; readonly run: BenchmarkRun },
): Promise<Stream[]> {
  const parts = new Parts(run.bodies, workload.collection);
  const streams: Stream[] = [];
  for (const [operation, part] of [
    ['get', parts.get()],
    ['query', parts.query()],
  ] as const) {
    const reads: Workload = { ...workload, recordsPerCall: 1, parts: [part] };
    await checkResponses(reads, target, collection);
    streams.push({
      collection: kind,
      operation,
      run: () =>
        runOpen({
          address: target.server.address,
          rate: READS_PER_SECOND,
          durationMs: run.settings.besideMs,
          nextCall: callSource({ workload: reads, target, collection }),
        }),
    });
  }
  return streams;
}

function summarize(outcome: Outcome): LatencySummary {
  const { latenciesMs } = outcome;
  return {
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
    maxMs: percentile(latenciesMs, 1),
    failed: failureCount(outcome),
  };
}

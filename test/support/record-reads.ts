// RecordReads without caches, nodes or names, for tests that give it what they are about.

import { BodyProbe } from '../../src/api/v2/body-probe.ts';
import { RecordReads, type RecordReadsOptions } from '../../src/api/v2/record-reads.ts';
import type { Names } from '../../src/api/v2/resolve.ts';
import { LargeScanner } from '../../src/chroma/parse/large-scanner.ts';
import { RecordCache } from '../../src/read/record-cache.ts';
import type { Reader } from '../../src/read/reader.ts';
import { ResultCache } from '../../src/read/result-cache.ts';
import { ShardLSNs } from '../../src/read/shard-lsns.ts';
import { ManualClock } from './manual-clock.ts';

/** One thread is enough for all tests. */
const scanner = new LargeScanner();

export function recordReads(options: Partial<RecordReadsOptions>): RecordReads {
  const heads = new ShardLSNs(0);
  return new RecordReads({
    reader: {} as Reader,
    names: {} as Names,
    bodyProbe: new BodyProbe(() => null),
    floors: { of: async () => 0 },
    heads,
    cache: new ResultCache(0),
    records: new RecordCache({ bytesMax: 0, heads, head: 0, isCurrent: () => true }),
    serving: () => 1,
    scanner,
    clock: new ManualClock(),
    stopped: new AbortController().signal,
    ...options,
  });
}

// Loaded into a gateway's process (`node --import`), where it writes once a second what only the process itself knows:
// its memory, its handles, how long its event loop was held up. Read with readGauge().

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

export interface Gauge {
  readonly at: number;
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
  /** Sockets, timers and all else that keeps the process alive. */
  readonly handles: number;
  /** Since the last one; ms. */
  readonly delayP99Ms: number;
  readonly delayMaxMs: number;
  /** Of all looks since the process has started; ms. */
  readonly lifeDelayP99Ms: number;
}

const PERIOD_MS = 1_000;
const RESOLUTION_MS = 10;

/** What to add to a process's environment so that it writes its gauge to `file`. */
export function gaugeEnvironment(file: string): Record<string, string> {
  return { NODE_OPTIONS: `--import ${fileURLToPath(import.meta.url)}`, GAUGE_FILE: file };
}

/** The last gauge written; null before the first. */
export function readGauge(file: string): Gauge | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Gauge;
  } catch {
    return null;
  }
}

const file = process.env['GAUGE_FILE'];
if (file !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const life = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  life.enable();
  const write = (): void => {
    const { rss, heapUsed, external } = process.memoryUsage();
    // The histogram counts the whole interval between two looks; what was asked for is no delay.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    const gauge: Gauge = {
      at: Date.now(),
      rssBytes: rss,
      heapUsedBytes: heapUsed,
      externalBytes: external,
      handles: process.getActiveResourcesInfo().length,
      delayP99Ms: late(delay.percentile(99)),
      delayMaxMs: late(delay.max),
      lifeDelayP99Ms: late(life.percentile(99)),
    };
    delay.reset();
    writeFileSync(`${file}.new`, JSON.stringify(gauge));
    renameSync(`${file}.new`, file);
  };
  setInterval(write, PERIOD_MS).unref();
}

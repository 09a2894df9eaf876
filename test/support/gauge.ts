// Measures a gateway from inside its process (`node --import`): writes its memory, handles and event-loop delay to a file
// once a second, for readGauge().

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

export interface ProcessGauge {
  readonly at: number;
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
  /** Sockets, timers and other resources that keep the process alive. */
  readonly handles: number;
  /** Since the previous gauge, ms. */
  readonly delayP99Ms: number;
  readonly delayMaxMs: number;
  /** Since the start of the process, ms. */
  readonly lifeDelayP99Ms: number;
}

const PERIOD_MS = 1_000;
const RESOLUTION_MS = 10;

/** Variables with which a process writes its gauge to `file`. */
export function gaugeEnvironment(file: string): Record<string, string> {
  return { NODE_OPTIONS: `--import ${fileURLToPath(import.meta.url)}`, GAUGE_FILE: file };
}

/** The last gauge written; null before the first. */
export function readGauge(file: string): ProcessGauge | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessGauge;
  } catch {
    return null;
  }
}

const file = process.env['GAUGE_FILE'];
// `--import` applies to the threads of the process, too.
if (file !== undefined && isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const life = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  life.enable();
  const write = (): void => {
    const { rss, heapUsed, external } = process.memoryUsage();
    // The histogram counts the whole interval between two samples, the resolution included.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    const gauge: ProcessGauge = {
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

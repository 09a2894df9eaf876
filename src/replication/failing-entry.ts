// The entry that a node keeps failing, as operators see it.

import type { LogBuffer } from '../log/log-buffer.ts';
import type { Clock } from '../util/clock.ts';
import { detailOf, type Trials } from './trials.ts';

export interface FailingEntry {
  readonly lsn: number;
  /** Shard that it changes; null when the entry is not in memory. */
  readonly target: string | null;
  readonly attempts: number;
  /** Since the first attempt. */
  readonly ms: number;
  /** The result of the last attempt. */
  readonly error: string;
}

interface FailingEntryParts {
  readonly node: string;
  readonly trials: Pick<Trials, 'worst'>;
  readonly logBuffer: Pick<LogBuffer, 'peek'>;
  readonly clock: Clock;
}

/** Null when the node fails none. */
export function failingEntryOf({ node, trials, logBuffer, clock }: FailingEntryParts): FailingEntry | null {
  const worst = trials.worst(node);
  if (worst === null) return null;
  const { lsn, attempts, failure, sinceMs } = worst;
  const error =
    failure.kind === 'response' ? `HTTP ${failure.status}: ${detailOf(failure)}` : detailOf(failure);
  const target = logBuffer.peek(lsn)?.target ?? null;
  return { lsn, target, attempts, ms: Math.round(clock.monotonic() - sinceMs), error };
}

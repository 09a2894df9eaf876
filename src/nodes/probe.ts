// Probes a node: reads its marker over a connection of its own that proves its identity, runs its canary, and verifies
// its content when its process may be a new one.

import type { VerificationFailure, NodeWork, NodeProbe } from './node.ts';
import type { CanaryReport, ProbeResult } from './probe-result.ts';
import type { Canary } from './canary.ts';
import { readMarker } from './marker.ts';
import type { Marker, StoredMarker } from '../chroma/client/identity.ts';
import { type NodeClient } from '../chroma/client/node-client.ts';
import { isServerError, NodeError } from '../chroma/client/node-error.ts';
import { sleep, type Clock } from '../util/clock.ts';

// Longer than a busy server delays a read of one sqlite row; two misses in a row mean that the node hangs.
const PATIENCE_MS = 2_000;
// A probe is not cancelled before: that would end the connection, and its end means that the process is gone.
const DEADLINE_MS = 60_000;
// Nor while a call in flight explains the silence: a legal call may take minutes.
const DEADLINE_MAX_MS = 3_600_000;

const NEWER =
  'its marker says that copies changed since this gateway last reached PostgreSQL: one of its own may be suspect';

/** What the leader announces in markers. */
export type Announced = Pick<Marker, 'view' | 'epoch'>;

export interface NodeProbeOptions {
  /** One connection, used by probes only: while it lives, so does the process. */
  readonly watcher: NodeClient;
  readonly canary: Canary;
  readonly verify: () => Promise<VerificationFailure | null>;
  readonly work: Pick<NodeWork, 'explainsSilence'>;
  /** Whether the marker announces that a copy may be suspect without this gateway knowing. */
  readonly isNewer: (announced: Announced) => boolean;
  readonly clock: Clock;
}

export function createNodeProbe({
  watcher,
  canary,
  verify,
  work,
  isNewer,
  clock,
}: NodeProbeOptions): NodeProbe {
  let asked: { readonly result: Promise<ProbeResult>; readonly sinceMs: number; giveUp(): void } | null =
    null;
  const orLate = async (result: Promise<ProbeResult>): Promise<ProbeResult> => {
    const answered = new AbortController();
    const late = sleep(clock, PATIENCE_MS, answered.signal);
    const silent = (): ProbeResult => ({
      found: 'silent',
      reason: `no response within ${PATIENCE_MS} ms`,
      hangsMs: clock.monotonic() - (asked?.sinceMs ?? Infinity),
    });
    return Promise.race([result, late.then(silent)]).finally(() => answered.abort());
  };
  return {
    async probe() {
      // A late response to an earlier probe shows that the node responds, not what it holds now.
      if (asked !== null) {
        if (clock.monotonic() - asked.sinceMs > DEADLINE_MS && !work.explainsSilence) asked.giveUp();
        const result = await orLate(asked.result);
        if (asked !== null) return result;
      }
      const limit = new AbortController();
      const result = ask(watcher, isNewer, limit.signal).finally(() => (asked = null));
      asked = { result, sinceMs: clock.monotonic(), giveUp: () => limit.abort() };
      return orLate(result);
    },
    async canary(): Promise<CanaryReport | null> {
      const result = await canary.run();
      if (result.ok) return null;
      const isSilence = result.failure === 'hanging' || result.code === 'timeout';
      return { reason: `${result.failure}: ${result.message}`, isSilence };
    },
    verify,
  };
}

async function ask(
  watcher: NodeClient,
  isNewer: NodeProbeOptions['isNewer'],
  signal: AbortSignal,
): Promise<ProbeResult> {
  try {
    const stored: StoredMarker | null = await readMarker(watcher, DEADLINE_MAX_MS, signal);
    if (stored === null) return { found: 'unmarked' };
    if (isNewer(stored.marker)) return { found: 'newer', reason: NEWER };
    const { progress } = stored.marker;
    return { found: 'itself', checkpoint: progress?.checkpoint ?? 0, log: progress?.log ?? null };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!(error instanceof NodeError)) return { found: 'silent', reason, isUnable: isServerError(error) };
    if (error.code === 'wrong_identity') return { found: 'another', reason };
    if (error.code === 'older_content') return { found: 'older', reason };
    if (error.code === 'marker_missing') return { found: 'unmarked' };
    if (error.code === 'refused') return { found: 'refused', reason };
    return { found: 'silent', reason, isUnable: isServerError(error) };
  }
}

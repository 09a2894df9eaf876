// How a node is looked at: its marker, read over a connection that proves its identity and is kept for nothing else;
// its canary; and, when its process may be a new one, its content.

import type { Doubt, NodeProbe, ProbeResult } from '../cluster/member.ts';
import type { Canary } from '../chroma/canary.ts';
import { readMarker, type StoredMarker } from '../chroma/marker.ts';
import { NodeError, type NodeClient } from '../chroma/node-client.ts';
import { sleep, type Clock } from '../util/clock.ts';

// Longer than a busy server keeps a read of one sqlite row waiting; two misses in a row mean that it hangs.
const PATIENCE_MS = 2_000;
// A question is not taken back before: that would end the connection, whose end means that the process is gone.
const DEADLINE_MS = 60_000;

export interface NodeProbeOptions {
  /** One connection, used by the probe alone: that it lives proves that the process does. */
  readonly watcher: NodeClient;
  readonly canary: Canary;
  readonly verify: () => Promise<Doubt | null>;
  readonly clock: Clock;
}

export function createNodeProbe({ watcher, canary, verify, clock }: NodeProbeOptions): NodeProbe {
  let asked: Promise<ProbeResult> | null = null;
  const orLate = async (answer: Promise<ProbeResult>): Promise<ProbeResult> => {
    const answered = new AbortController();
    const late = sleep(clock, PATIENCE_MS, answered.signal);
    const silent = { found: 'silent', reason: `no answer within ${PATIENCE_MS} ms` } as const;
    return Promise.race([answer, late.then(() => silent)]).finally(() => answered.abort());
  };
  return {
    async probe() {
      // What an earlier question brings late says that the node answers, not what it holds now.
      if (asked !== null) {
        const answer = await orLate(asked);
        if (asked !== null) return answer;
      }
      const question = ask(watcher).finally(() => (asked = null));
      asked = question;
      return orLate(question);
    },
    canary: async () => {
      const result = await canary.run();
      return result.ok ? null : `${result.failure}: ${result.message}`;
    },
    verify,
  };
}

async function ask(watcher: NodeClient): Promise<ProbeResult> {
  try {
    const stored: StoredMarker | null = await readMarker(watcher, DEADLINE_MS);
    if (stored === null) return { found: 'unmarked' };
    const { progress } = stored.marker;
    return { found: 'itself', checkpoint: progress?.checkpoint ?? 0, log: progress?.log ?? null };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!(error instanceof NodeError)) return { found: 'silent', reason };
    if (error.code === 'wrong_identity') return { found: 'another', reason };
    if (error.code === 'older_content') return { found: 'older', reason };
    if (error.code === 'marker_missing') return { found: 'unmarked' };
    if (error.code === 'refused') return { found: 'refused', reason };
    return { found: 'silent', reason };
  }
}

// How a node is looked at: its marker, read over a connection that proves its identity, and its canary.

import type { NodeProbe, ProbeResult } from '../cluster/member.ts';
import type { Canary } from '../chroma/canary.ts';
import { readMarker } from '../chroma/marker.ts';
import { NodeError, type NodeClient } from '../chroma/node-client.ts';

// Longer than a busy server keeps a read of one sqlite row waiting; two misses in a row mean that it hangs.
const DEADLINE_MS = 2_000;

export function createNodeProbe(client: NodeClient, canary: Canary): NodeProbe {
  return { probe: () => probe(client), canary: async () => failureOf(await canary.run()) };
}

function failureOf(result: Awaited<ReturnType<Canary['run']>>): string | null {
  return result.ok ? null : `${result.failure}: ${result.message}`;
}

async function probe(client: NodeClient): Promise<ProbeResult> {
  try {
    const stored = await readMarker(client, DEADLINE_MS);
    if (stored === null) return { found: 'unmarked' };
    const { progress } = stored.marker;
    return { found: 'itself', checkpoint: progress?.checkpoint ?? 0, log: progress?.log ?? null };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!(error instanceof NodeError)) return { found: 'silent', reason };
    if (error.code === 'wrong_identity') return { found: 'another', reason };
    if (error.code === 'marker_missing') return { found: 'unmarked' };
    if (error.code === 'refused') return { found: 'refused', reason };
    return { found: 'silent', reason };
  }
}

// Whether the cluster kept its promises: what was acknowledged against what the nodes hold.
import { type NodeContent, recordDigest, recordKey, type StoredRecord } from './node-content.ts';

export interface NodeReading {
  readonly id: string;
  readonly role: string;
  /** What the node holds, or why it could not be read. */
  readonly content: NodeContent | Error;
}

export interface Evidence {
  readonly documents: number;
  readonly chunks: number;
  readonly sent: number;
  readonly failed: number;
  readonly longestReadPauseMs: number;
  readonly longestWritePauseMs: number;
  /** By collection: every record whose write was acknowledged, as it was sent. */
  readonly acknowledged: ReadonlyMap<string, readonly StoredRecord[]>;
  readonly nodes: readonly NodeReading[];
  /** Why the nodes were read before they were level; null when they were. */
  readonly notLevel: string | null;
}

export interface NodeVerdict {
  readonly id: string;
  readonly role: string;
  readonly records: number;
  /** Acknowledged records this node lacks, or holds with other content. */
  readonly missing: number;
  /** null when the node could not be read. */
  readonly digest: string | null;
  readonly error: string | null;
}

export interface Verdict {
  readonly acknowledged: number;
  /** Acknowledged records that no node holds as they were sent. */
  readonly lost: number;
  readonly nodes: readonly NodeVerdict[];
  readonly agree: boolean;
  /** Why the demo failed, a sentence each; empty when it passed. */
  readonly faults: readonly string[];
}

export function judge(evidence: Evidence): Verdict {
  const expected = [...evidence.acknowledged].flatMap(([collection, records]) =>
    records.map((record) => [recordKey(collection, record.id), recordDigest(record)] as const),
  );
  const held = evidence.nodes.map(({ content }) => (content instanceof Error ? null : content.records));
  const lost = expected.filter(([key, digest]) =>
    held.every((records) => records?.get(key) !== digest),
  ).length;
  const nodes = evidence.nodes.map(({ id, role, content }): NodeVerdict => {
    if (content instanceof Error) {
      return { id, role, records: 0, missing: expected.length, digest: null, error: content.message };
    }
    const missing = expected.filter(([key, digest]) => content.records.get(key) !== digest).length;
    return { id, role, records: content.records.size, missing, digest: content.digest, error: null };
  });
  // Nothing read is not agreement.
  const agree =
    nodes.length > 1 && nodes.every(({ digest }) => digest !== null && digest === nodes[0]!.digest);
  const acknowledged = expected.length;
  return {
    acknowledged,
    lost,
    nodes,
    agree,
    faults: faultsOf({ evidence, acknowledged, lost, nodes, agree }),
  };
}

interface Findings {
  readonly evidence: Evidence;
  readonly acknowledged: number;
  readonly lost: number;
  readonly nodes: readonly NodeVerdict[];
  readonly agree: boolean;
}

function faultsOf({ evidence, acknowledged, lost, nodes, agree }: Findings): string[] {
  const faults: string[] = [];
  // A run that wrote nothing lost nothing, and proves nothing.
  if (acknowledged === 0) faults.push('No write was acknowledged.');
  if (lost > 0) faults.push(`${lost} acknowledged records are on no node.`);
  if (evidence.failed > 0) faults.push(`${evidence.failed} requests failed.`);
  if (evidence.notLevel !== null) faults.push(evidence.notLevel);
  for (const { id, missing, error } of nodes) {
    if (error !== null) faults.push(`Node ${id} could not be read: ${error}.`);
    else if (missing > 0) faults.push(`Node ${id} lacks ${missing} acknowledged records.`);
  }
  if (!agree) faults.push('The nodes do not all hold the same content.');
  return faults;
}

// Decides which copies of a shard are wrong when they differ. Pure: no clock, no socket.
//
//   three or more independent copies → the majority is right
//   otherwise the log, where it holds everything since the record's last insertion
//   otherwise the copies whose vector index works
//   otherwise undecidable: the primary's copy alone serves

/** Copies that agree on a record, or on the order of the records. */
export interface AgreeingCopies {
  readonly nodes: readonly string[];
}

/** What the copies of a shard were found to hold. */
export interface CopyEvidence {
  /** Every copy that was compared. */
  readonly nodes: readonly string[];
  readonly primary: string | null;
  /** Whether a healthy copy that was not compared can serve instead of these. */
  readonly hasOtherCopies: boolean;
  /** Whether the node made its copy from the log. One made from another copy has no vote: its donor has it (R29). */
  readonly isFromLog: (node: string) => boolean;
  /** Copies whose index does not find records by their own vectors, or that cannot be read, with the reason. */
  readonly faults: ReadonlyMap<string, string>;
  readonly differences: readonly {
    /** What differs, for operators. */
    readonly what: string;
    readonly groups: readonly AgreeingCopies[];
    /** The index of the group that the log confirms (R34); null when the log confirms none, or not exactly one. */
    readonly confirmedByLog: number | null;
  }[];
}

export interface CopyResolution {
  /** Reasons by node: these copies serve nothing until they are rebuilt. */
  readonly suspects: ReadonlyMap<string, string>;
  /** What an operator has to know: which copy is right cannot be determined, or every copy is wrong; null otherwise. */
  readonly undecided: string | null;
}

const VOTES_MIN = 3;

export function resolveDifferences(evidence: CopyEvidence): CopyResolution {
  const suspects = new Map(evidence.faults);
  let undecided: string | null = null;
  const add = (nodes: readonly string[], reason: string): void => {
    for (const node of nodes) if (!suspects.has(node)) suspects.set(node, reason);
  };
  for (const { what, groups, confirmedByLog } of evidence.differences) {
    const right =
      majority(groups, evidence) ?? confirmed(groups, confirmedByLog) ?? withWorkingIndex(groups, evidence);
    if (right !== null) {
      add(othersThan(right.group, groups), `${what}: ${right.because}`);
      continue;
    }
    const kept = groups.find(({ nodes }) => nodes.includes(evidence.primary ?? '')) ?? groups[0];
    undecided ??= `${what}, and nothing shows which copy is right`;
    if (kept !== undefined) add(othersThan(kept, groups), `${what}: undecidable, the primary's copy serves`);
  }
  return withOneLeft(suspects, undecided, evidence);
}

interface RightGroup {
  readonly group: AgreeingCopies;
  readonly because: string;
}

/** Only with three independent copies: of two, neither is a majority. */
function majority(groups: readonly AgreeingCopies[], { isFromLog }: CopyEvidence): RightGroup | null {
  const votes = groups.map(({ nodes }) => nodes.filter(isFromLog).length);
  const total = votes.reduce((sum, count) => sum + count, 0);
  const group = groups[votes.findIndex((count) => 2 * count > total)];
  return group === undefined || total < VOTES_MIN
    ? null
    : { group, because: 'most copies hold something else' };
}

function confirmed(groups: readonly AgreeingCopies[], index: number | null): RightGroup | null {
  const group = index === null ? undefined : groups[index];
  return group === undefined ? null : { group, because: 'the log holds something else' };
}

function withWorkingIndex(groups: readonly AgreeingCopies[], { faults }: CopyEvidence): RightGroup | null {
  const working = groups.filter(({ nodes }) => nodes.some((node) => !faults.has(node)));
  const [group] = working;
  return group === undefined || working.length > 1 ? null : { group, because: 'its index does not work' };
}

function othersThan(right: AgreeingCopies, groups: readonly AgreeingCopies[]): string[] {
  return groups.filter((group) => group !== right).flatMap(({ nodes }) => nodes);
}

/** The last copy stays in use, whatever was found: there is no better one. */
function withOneLeft(
  suspects: Map<string, string>,
  undecided: string | null,
  { nodes, primary, faults, hasOtherCopies }: CopyEvidence,
): CopyResolution {
  if (hasOtherCopies || nodes.some((node) => !suspects.has(node))) return { suspects, undecided };
  const candidates = nodes.filter((node) => !faults.has(node));
  const pool = candidates.length > 0 ? candidates : nodes;
  const kept = pool.find((node) => node === primary) ?? pool[0];
  if (kept === undefined) return { suspects, undecided };
  const reason = suspects.get(kept) ?? '';
  suspects.delete(kept);
  return { suspects, undecided: `every copy is faulty, and the one on ${kept} stays in use: ${reason}` };
}

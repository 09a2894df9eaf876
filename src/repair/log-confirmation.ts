// Asks the log which of several copies of a record is right.

import { TermOver } from '../coordination/term.ts';
import type { Entry } from '../log/entry.ts';
import type { Decisions } from '../replication/decisions.ts';
import { toOperation } from '../replication/entry-operation.ts';
import type { CopyDifference } from './copy-comparison.ts';
import { isDescribed, LogContent } from './log-content.ts';
import type { EmbeddingRule } from './record-difference.ts';

export interface LogConfirmationSource {
  readonly log: {
    /** LSNs of the entries whose target this is, after `after`, in their order. */
    lsnsOf(target: string, after: number, max: number): Promise<number[]>;
    read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]>;
    head(): Promise<{ readonly trimmed: number }>;
  };
  readonly decisions: Pick<Decisions, 'find' | 'idPages' | 'exception'>;
}

export interface ConfirmationRequest {
  readonly shard: string;
  /** LSN of the entry that created the collection. */
  readonly createdLSN: number;
  readonly differences: readonly CopyDifference[];
  readonly rule: EmbeddingRule;
}

// A shard with more entries is read for minutes; another rule then decides.
const ENTRIES_MAX = 100_000;
const ENTRY_BYTES = 1;

/** For each difference the index of the one group that the log describes; null when there is none, or several. */
export async function groupsConfirmedByLog(
  { log, decisions }: LogConfirmationSource,
  { shard, createdLSN, differences, rule }: ConfirmationRequest,
  signal: AbortSignal,
): Promise<(number | null)[]> {
  const none = differences.map(() => null);
  const ids = differences.flatMap(({ id }) => id ?? []);
  if (ids.length === 0) return none;
  const { trimmed } = await log.head();
  const lsns = await log.lsnsOf(shard, trimmed, ENTRIES_MAX + 1);
  if (lsns.length > ENTRIES_MAX) return none;
  const content = new LogContent(ids, createdLSN > trimmed);
  for (const lsn of lsns) {
    if (signal.aborted) throw new TermOver();
    const [entry] = await log.read(lsn - 1, 1, ENTRY_BYTES);
    if (entry === undefined) return none;
    await apply(entry, content, decisions);
  }
  return differences.map(({ id, groups }) => {
    const described = id === null ? 'unknown' : content.of(id);
    if (described === 'unknown') return null;
    const confirmed = groups.flatMap(({ record }, index) =>
      isDescribed(described, record, rule) ? [index] : [],
    );
    return confirmed.length === 1 ? (confirmed[0] as number) : null;
  });
}

async function apply(
  entry: Entry,
  content: LogContent,
  decisions: LogConfirmationSource['decisions'],
): Promise<void> {
  const operation = toOperation(entry);
  if (operation.type !== 'records') return;
  const exception = decisions.exception(entry.lsn);
  if (exception?.outcome === 'quarantined') return;
  // Which of its records were applied is not worth finding out: such entries are rare.
  if (exception !== null) return content.forget();
  if (!operation.call.conditional) return content.applied(operation.call);
  const decision = await decisions.find(entry.lsn);
  if (decision === null) return content.forget();
  if (decision.outcome !== 'accepted') return;
  for await (const page of decisions.idPages(decision)) content.deleted(page);
}

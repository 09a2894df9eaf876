// The verdict and the hits, as text for a terminal.
import type { Question } from './searches.ts';
import type { Hit } from './traffic.ts';
import type { Evidence, Verdict } from './verdict.ts';

/** Everything measured, a table of the nodes, and the faults if there are any. */
export function report(evidence: Evidence, verdict: Verdict, reasons: ReadonlyMap<string, number>): string {
  const rows: [string, string][] = [
    ['documents', count(evidence.documents)],
    ['chunks', count(evidence.chunks)],
    ['acknowledged records', count(verdict.acknowledged)],
    ['lost', count(verdict.lost)],
    ['requests', count(evidence.sent)],
    ['failed requests', count(evidence.failed)],
    ['longest pause, writes', `${Math.round(evidence.longestWritePauseMs)} ms`],
    ['longest pause, reads', `${Math.round(evidence.longestReadPauseMs)} ms`],
  ];
  const nodes = verdict.nodes.map((node) => [
    node.id,
    node.role,
    count(node.records),
    count(node.missing),
    node.digest?.slice(0, 16) ?? 'unreadable',
  ]);
  return [
    table(rows, [1]),
    '',
    'Read from each node directly (digest of ids, documents, metadata and embeddings):',
    table([['node', 'role', 'records', 'missing', 'digest'], ...nodes], [2, 3]),
    '',
    ...[...reasons].map(([reason, times]) => `${times} × ${reason}`),
    ...(verdict.faults.length > 0
      ? verdict.faults.map((fault) => `FAILED: ${fault}`)
      : ['Nothing lost, nothing failed, every node holds the same.']),
  ].join('\n');
}

/** One search: the question and its hits, a line each, those of the document it was taken from marked. */
export function hitLines(question: Question, hits: readonly Hit[]): string {
  const lines = hits.map(({ path, document, distance }) => {
    const mark = path === question.path ? '✓' : ' ';
    return `  ${mark} ${distance.toFixed(3)}  ${path}: ${shorten(document, 70)}`;
  });
  return [`Search: “${question.phrase}” (from ${question.path})`, ...lines].join('\n');
}

/** One line of at most that many characters. */
function shorten(text: string, charactersMax: number): string {
  const line = text.replace(/\s+/gu, ' ').trim();
  return line.length <= charactersMax ? line : `${line.slice(0, charactersMax - 1)}…`;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function table(rows: readonly (readonly string[])[], rightAligned: readonly number[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (rightAligned.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

// What a chaos run found, as text.

export interface ChaosResult {
  readonly seed: number;
  /** Requests that got a response, or lost their connection. */
  readonly operations: number;
  /** Operations on single records in the checked histories, and how many records they concern. */
  readonly observed: number;
  readonly records: number;
  /** Number of faults by kind. */
  readonly faults: ReadonlyMap<string, number>;
  /** Faults that were not possible when they were drawn. */
  readonly skipped: number;
  /** How often the process of a gateway ended. */
  readonly gatewayExits: number;
  /** Number of responses by status. */
  readonly statuses: ReadonlyMap<string, number>;
  readonly longestWritePauseMs: number;
  readonly longestReadPauseMs: number;
  /** From the end of the last fault of a part, and of the requests, until every node served again. */
  readonly longestRecoveryMs: number;
  /** Promises to writers that the nodes do not keep, and differences between nodes. */
  readonly lost: readonly string[];
  /** Responses that no order of the writes explains. */
  readonly wrong: readonly string[];
  /** What did not work again after the last fault. */
  readonly stopped: readonly string[];
  /** Records whose history porcupine has checked too. */
  readonly comparedWithPorcupine: number;
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
const counted = (counts: ReadonlyMap<string, number>): string =>
  [...counts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');

export const isWhole = ({ lost, wrong, stopped }: ChaosResult): boolean =>
  lost.length + wrong.length + stopped.length === 0;

export function reportOf(result: ChaosResult): string {
  const { seed, operations, observed, records, faults, skipped, statuses, lost, wrong, stopped } = result;
  const struck = [...faults.values()].reduce((sum, count) => sum + count, 0);
  return [
    `seed ${seed}`,
    `operations: ${operations} (${counted(statuses)})`,
    `histories: ${observed} operations on ${records} records; ${result.comparedWithPorcupine} records compared with porcupine`,
    `faults: ${struck}, ${skipped} not possible when drawn; gateways ended ${result.gatewayExits} times`,
    ...[...faults].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([kind, count]) => `  ${kind}: ${count}`),
    `longest pause of writes ${seconds(result.longestWritePauseMs)}, of reads ${seconds(result.longestReadPauseMs)}`,
    `longest time until every node served after the faults ${seconds(result.longestRecoveryMs)}`,
    `lost ${lost.length}, wrong ${wrong.length}, stopped ${stopped.length}`,
    ...[...lost, ...wrong, ...stopped].map((fault) => `BROKEN: ${fault}`),
  ].join('\n');
}

// How much is measured: enough for numbers to be quoted, or (`--quick`) enough to see that everything works and
// roughly where it stands.

export interface Settings {
  readonly quick: boolean;
  /** Times each target is measured with each workload, in turn with the others. */
  readonly rounds: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** Records that reads find. */
  readonly records: number;
  readonly wideRecords: number;
  /** Records that a collection holds before it is written to; made anew for every round, so that all are alike. */
  readonly writtenRecords: number;
  /** Shares of a target's own throughput at which its latency is taken. */
  readonly sweepLoads: readonly number[];
  readonly sweepMs: number;
  readonly lagMs: number;
  readonly catchupEntries: number;
  readonly catchupRounds: number;
  /** Time from the fault to the end of the load, and as much before it as is needed to see a steady state. */
  readonly failoverAfterMs: number;
  readonly memoryBytes: number;
}

export const FULL: Settings = {
  quick: false,
  rounds: 3,
  warmUpMs: 500,
  durationMs: 2_000,
  records: 10_000,
  wideRecords: 5_000,
  writtenRecords: 10_000,
  sweepLoads: [0.2, 0.4, 0.6, 0.8, 0.9, 1],
  sweepMs: 3_000,
  lagMs: 20_000,
  catchupEntries: 10_000,
  catchupRounds: 3,
  failoverAfterMs: 10_000,
  memoryBytes: 1_000_000_000,
};

export const QUICK: Settings = {
  quick: true,
  rounds: 2,
  warmUpMs: 100,
  durationMs: 300,
  records: 10_000,
  wideRecords: 1_000,
  writtenRecords: 1_000,
  sweepLoads: [0.5],
  sweepMs: 500,
  lagMs: 3_000,
  catchupEntries: 2_000,
  catchupRounds: 1,
  failoverAfterMs: 5_000,
  memoryBytes: 100_000_000,
};

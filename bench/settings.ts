// Benchmark sizes and durations: the full run for quotable numbers, `--quick` for a smoke test.

export interface Settings {
  readonly quick: boolean;
  /** Measurements of each target per workload, alternating with the other targets. */
  readonly rounds: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** Duration of workloads that load 1,000 records per call; a call may take seconds. */
  readonly bulkMs: number;
  /** Records in the collection that read workloads use. */
  readonly records: number;
  readonly wideRecords: number;
  /** Initial records of a collection that single adds write to; recreated for each round. */
  readonly writtenRecords: number;
  /** Initial records of a collection that 1 KB documents or 1,536-d vectors are loaded into. */
  readonly bulkRecords: number;
  /** Offered load of each sweep point, as a fraction of the target's closed-loop throughput. */
  readonly sweepLoads: readonly number[];
  readonly sweepMs: number;
  readonly lagMs: number;
  readonly catchupEntries: number;
  readonly catchupRounds: number;
  /** Records that are copied by a rebuild. */
  readonly healRecords: number;
  /** Time from the fault to the end of the load. */
  readonly failoverAfterMs: number;
  /** Duration of the paced reads beside a bulk load, and of the same reads without one. */
  readonly besideMs: number;
  readonly memoryBytes: number;
}

export const FULL: Settings = {
  quick: false,
  rounds: 3,
  warmUpMs: 500,
  durationMs: 2_000,
  bulkMs: 8_000,
  records: 10_000,
  wideRecords: 5_000,
  writtenRecords: 10_000,
  bulkRecords: 1_000,
  sweepLoads: [0.2, 0.4, 0.6, 0.8, 0.9, 1],
  sweepMs: 3_000,
  lagMs: 20_000,
  catchupEntries: 10_000,
  catchupRounds: 3,
  healRecords: 20_000,
  failoverAfterMs: 10_000,
  besideMs: 20_000,
  memoryBytes: 1_000_000_000,
};

export const QUICK: Settings = {
  quick: true,
  rounds: 2,
  warmUpMs: 100,
  durationMs: 300,
  bulkMs: 300,
  records: 10_000,
  wideRecords: 1_000,
  writtenRecords: 1_000,
  bulkRecords: 500,
  sweepLoads: [0.5],
  sweepMs: 500,
  lagMs: 3_000,
  catchupEntries: 2_000,
  catchupRounds: 1,
  healRecords: 2_000,
  failoverAfterMs: 5_000,
  besideMs: 2_000,
  memoryBytes: 100_000_000,
};

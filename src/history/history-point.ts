// One point of the history: what one gateway saw during one step.

import type { HistogramState } from '../observability/histogram.ts';

/** What a gateway has counted since its start, and what it sees at this moment. */
export interface HistoryObservation {
  readonly requests: number;
  readonly failed: number;
  /** Durations of successful requests, in seconds. */
  readonly reads: HistogramState;
  readonly writes: HistogramState;
  readonly memoryBytes: number;
  readonly memoryPercent: number;
  readonly cpuPercent: number;
  /** Null while this gateway does not lead. */
  readonly cluster: ObservedHistory | null;
}

/** What only the leader knows. */
export interface ObservedHistory {
  readonly nodes: readonly {
    readonly node: string;
    readonly serves: boolean;
    readonly lagEntries: number;
    readonly lagMs: number;
    readonly suspects: number;
    /** Durations of calls to the node that got a response, since the start. */
    readonly calls: HistogramState;
  }[];
  readonly head: number;
}

/** Of one gateway. Counts are those of one step. */
export interface HistoryGatewayPoint {
  readonly gateway: string;
  readonly requests: number;
  readonly failed: number;
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  readonly memoryBytes: number;
  readonly memoryPercent: number;
  readonly cpuPercent: number;
}

/** As it is stored. */
export interface HistoryPoint extends HistoryGatewayPoint {
  /** Beginning of the step, wall clock, ms since the epoch. */
  readonly at: number;
  readonly nodes: readonly HistoryNodePoint[];
  readonly data: HistoryDataPoint | null;
}

export interface HistoryNodePoint {
  readonly node: string;
  /** Share of the time in which it could serve reads. */
  readonly serving: number;
  readonly lagEntries: number;
  readonly lagMs: number;
  readonly suspects: number;
  readonly calls: readonly number[];
}

export interface HistoryDataPoint {
  readonly head: number;
  readonly logBytes: number | null;
  readonly databaseBytes: number | null;
  readonly collections: number | null;
  readonly records: number | null;
  /** What the vectors of all records need in the memory of one node, by estimate. */
  readonly indexBytes: number | null;
}

/** Seconds that a point covers: as recorded, and as rolled up. */
export const HISTORY_STEPS = [10, 300, 3_600] as const;
export type HistoryStep = (typeof HISTORY_STEPS)[number];

// What a probe and a canary of a node find.

/** What a probe found. */
export type ProbeResult =
  /** The node, under its own identity; `checkpoint`: of its marker, 0 when it has no progress yet. */
  | { readonly found: 'itself'; readonly checkpoint: number; readonly log: string | null }
  | { readonly found: 'another'; readonly reason: string }
  /** The node, with a marker older than one it is known to have held. */
  | { readonly found: 'older'; readonly reason: string }
  /** The node, with a marker that announces what this gateway does not know (R17). */
  | { readonly found: 'newer'; readonly reason: string }
  /** No marker: a server that was never a node, or lost everything. */
  | { readonly found: 'unmarked' }
  /** The connection was refused: the process is gone. */
  | { readonly found: 'refused'; readonly reason: string }
  /** `isUnable`: it responded that it cannot read its marker. `hangsMs`: its connection has been open without a response. */
  | {
      readonly found: 'silent';
      readonly reason: string;
      readonly isUnable?: boolean;
      readonly hangsMs?: number;
    };

/** Why a canary failed. */
export interface CanaryReport {
  readonly reason: string;
  /** There was no response in time, as opposed to a bad one. */
  readonly isSilence: boolean;
}

/** What the probes of a node found since the start of this gateway. */
export interface ProbeCounts {
  /** Of the last probe: wall clock, ms since the epoch; null before the first. */
  readonly at: number | null;
  readonly total: number;
  readonly failed: number;
  /** Failed probes since the last that succeeded. */
  readonly consecutiveFailures: number;
}

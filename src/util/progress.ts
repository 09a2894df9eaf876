// What a task that takes long reports about its progress.

export interface ProgressReport {
  /** What it does at the moment, as in "copying records". */
  readonly phase: string;
  /** Units done in this phase. */
  readonly done: number;
  /** Units in this phase; null while that is not known. */
  readonly total: number | null;
  /** What is counted: "records", "entries". */
  readonly unit: string;
}

export type ReportProgress = (report: ProgressReport) => void;

// What clients of a run observed: each operation with when it was sent and when its response came. Recorded by the
// simulation and by chaos with real processes; test/histories/checker.ts decides whether such a history can be right.

/** What an operation does to a record, or what it saw of it. Values are unique in a history. */
export type Effect =
  | { readonly does: 'set'; readonly value: number }
  /** Sets the value if there is no record. */
  | { readonly does: 'add'; readonly value: number }
  /** Sets the value if there is a record. */
  | { readonly does: 'update'; readonly value: number }
  | { readonly does: 'delete' }
  /** Deletes the record if its value matches; kept as the values that matched, or null for unknown ones. */
  | { readonly does: 'delete_if'; readonly matches: (value: number) => boolean }
  | { readonly does: 'read'; readonly saw: number | null };

export type Outcome =
  /** A response confirmed it. */
  | 'ok'
  /** A response said that nothing was changed. */
  | 'refused'
  /** No response, or one that left the outcome open: it may take effect at any later time, at most once. */
  | 'indeterminate';

/** `strong`: of a read that must see everything acknowledged before it began. */
export type Guarantee = 'strong' | 'session' | 'eventual';

export interface Observed {
  readonly client: string;
  /** The gateway that responded; null when none did. */
  readonly gateway: string | null;
  /** What it concerns: collection and id. */
  readonly record: string;
  readonly effect: Effect;
  /** Moments on one clock, in any unit. */
  readonly invokedAt: number;
  /** Null while there is no response. */
  readonly returnedAt: number | null;
  readonly outcome: Outcome;
  /** Of reads. */
  readonly guarantee: Guarantee;
  /** Whether the client named the newest LSN it had seen, so that it never sees anything older. */
  readonly echoes: boolean;
}

export type History = readonly Observed[];

// Whether the log still has everything that was seen of it. A standby of PostgreSQL that was promoted without the last
// entries would number new ones with LSNs that nodes and gateways know already.

import { isServerRefusal, type Database } from '../postgres/database.ts';

/** Entries up to an LSN, and the token of the batch that brought the last. */
export interface SeenEntry {
  readonly lsn: number;
  readonly token: string;
}

export interface ContinuityState {
  /** Of this server; 0 where the server does not report it. */
  readonly timeline: number;
  /** The log of this server, on its present timeline, was compared. */
  readonly isCompared: boolean;
  /** Why the log is known to have lost its last entries; null while it has not. */
  readonly rewound: string | null;
}

// Raised by append_continuing (postgres/migrations/0007-log-continuity.ts).
const LACKS_SEEN = 'PC006';

export class LogContinuity {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async state(): Promise<ContinuityState> {
    const s = this.#database.schema;
    const [row] = await this.#database.query(
      `select ${s}.timeline() as timeline, coalesce(timeline = ${s}.timeline(), false) as "isCompared", rewound
       from ${s}.head`,
    );
    return row as unknown as ContinuityState;
  }

  /** Whether the log has the entry; true for one that was trimmed. */
  async contains({ lsn, token }: SeenEntry): Promise<boolean> {
    const text = `select ${this.#database.schema}.log_contains($1, $2) as found`;
    const [row] = await this.#database.query<{ found: boolean }>(text, [lsn, token]);
    return row?.found === true;
  }

  /**
   * Records that the log was compared on this timeline. Throws when the lease has moved on, or the server is on another
   * timeline by now.
   */
  async confirm(epoch: number, timeline: number): Promise<void> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `update ${s}.head set timeline = $2
       where rewound is null and ${s}.timeline() = $2
         and exists (select from ${s}.lease where epoch = $1 for share) returning lsn`,
      [epoch, timeline],
    );
    if (rows.length === 0)
      throw new Error(
        'the comparison of the log was not recorded: the lease has moved on, or PostgreSQL was promoted again',
      );
  }

  /**
   * Whether the log has lost the entry; false once an operator has accepted that (log recover leaves a note at its LSN).
   */
  async hasLost({ lsn, token }: SeenEntry): Promise<boolean> {
    const s = this.#database.schema;
    const [row] = await this.#database.query<{ lost: boolean }>(
      `select not ${s}.log_contains($1, $2)
              and not exists (select from ${s}.log where lsn = $1 and kind = 'note') as lost`,
      [lsn, token],
    );
    return row?.lost === true;
  }

  /**
   * Records that the log has lost its last entries, for every gateway: nothing is appended from now on. `epoch`: null for a
   * gateway that does not lead. True when it is recorded. With `missing`, false when the log has that entry after all, as when
   * another server responded to the reads before, or when the lease has moved on. Without it, throws when the lease has.
   */
  async reportRewound(
    { epoch, lsn, reason }: { readonly epoch: number | null; readonly lsn: number; readonly reason: string },
    missing: { readonly lsn: number; readonly token: string | null } | null = null,
  ): Promise<boolean> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `update ${s}.head set rewound = coalesce(rewound, $3), rewound_lsn = greatest(rewound_lsn, $2)
       where ($1::bigint is null or exists (select from ${s}.lease where epoch = $1 for share))
         and ($4::bigint is null or not ${s}.log_contains($4, $5)) returning lsn`,
      [epoch, lsn, reason, missing?.lsn ?? null, missing?.token ?? null],
    );
    if (rows.length > 0) return true;
    if (missing !== null) return false;
    throw new Error('the loss of entries was not recorded: the lease has moved on');
  }
}

/** Whether an append was refused because its log was not compared since a promotion, or has lost entries. */
export function isContinuityError(error: unknown): boolean {
  return isServerRefusal(error) && ['PC004', 'PC005', LACKS_SEEN].includes(error.code ?? '');
}

/** Whether an append was refused because the log lacks what the gateway has seen. */
export function isLostEntriesError(error: unknown): boolean {
  return isServerRefusal(error) && error.code === LACKS_SEEN;
}

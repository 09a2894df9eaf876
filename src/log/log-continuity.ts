// Whether the log still has everything that was seen of it. A standby of PostgreSQL that was promoted without the last
// entries would number new ones with LSNs that nodes and gateways know already.

import { isServerRefusal, type Database } from '../postgres/database.ts';

/** Entries up to an LSN, and the token of the batch that brought the last. */
export interface SeenEntry {
  readonly lsn: number;
  readonly token: string;
}

export interface ContinuityState {
  /** The log of this server, on its present timeline, was compared. */
  readonly isCompared: boolean;
  /** Why the log is known to have lost its last entries; null while it has not. */
  readonly rewound: string | null;
}

export class LogContinuity {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async state(): Promise<ContinuityState> {
    const s = this.#database.schema;
    const [row] = await this.#database.query(
      `select coalesce(timeline = ${s}.timeline(), false) as "isCompared", rewound from ${s}.head`,
    );
    return row as unknown as ContinuityState;
  }

  /** Whether the log has the entry; true for one that was trimmed. */
  async contains({ lsn, token }: SeenEntry): Promise<boolean> {
    const text = `select ${this.#database.schema}.log_contains($1, $2) as found`;
    const [row] = await this.#database.query<{ found: boolean }>(text, [lsn, token]);
    return row?.found === true;
  }

  /** Records that the log of this server was compared. Throws when the lease has moved on. */
  async confirm(epoch: number): Promise<void> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `update ${s}.head set timeline = ${s}.timeline()
       where rewound is null and exists (select from ${s}.lease where epoch = $1 for share) returning lsn`,
      [epoch],
    );
    if (rows.length === 0)
      throw new Error('the comparison of the log was not recorded: the lease has moved on');
  }

  /**
   * Records that the log has lost its last entries, for every gateway: nothing is appended from now on. Throws when the
   * lease has moved on.
   */
  async reportRewound(epoch: number, lsn: number, reason: string): Promise<void> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `update ${s}.head set rewound = coalesce(rewound, $3), rewound_lsn = greatest(rewound_lsn, $2)
       where exists (select from ${s}.lease where epoch = $1 for share) returning lsn`,
      [epoch, lsn, reason],
    );
    if (rows.length === 0) throw new Error('the loss of entries was not recorded: the lease has moved on');
  }
}

/** Whether an append was refused because its log was not compared since a promotion, or has lost entries. */
export function isAboutContinuity(error: unknown): boolean {
  return isServerRefusal(error) && ['PC004', 'PC005', 'PC006'].includes(error.code ?? '');
}

// Appends batches through one SQL function, so that no client round trip happens under the lock of the head row.

import { isServerRefusal, NotConnected, type Database } from '../postgres/database.ts';
import { LongValue } from '../postgres/long-value.ts';
import type { AppendStore } from './appender.ts';
import type { AppendResult, Draft } from './entry.ts';
import type { SeenEntry } from './log-continuity.ts';

// Up to this size bodies are copied into one buffer; longer ones are sent without a copy.
const COPIED_BYTES_MAX = 256 * 1024;

// Raised by append_continuing (postgres/migrations/0022-capability-revision.ts).
const LEVEL_LOWERED = 'PC007';

export interface PostgresAppendStoreOptions {
  readonly logId: () => string;
  /** Returns and clears the last WARNING that the connection received. */
  readonly takeWarning: () => string | null;
  /** What this gateway has seen of the log: nothing is appended to a log that lacks it. */
  readonly seen: () => SeenLog;
}

export interface SeenLog {
  /** LSN up to which the log is known to reach. */
  readonly head: number;
  /** The newest entry whose batch is known; null when there is none. */
  readonly newest: SeenEntry | null;
}

/** Needs a pool of exactly one connection, so that a warning belongs to the append that it follows. */
export class PostgresAppendStore implements AppendStore {
  readonly #database: Database;
  readonly #options: PostgresAppendStoreOptions;

  constructor(database: Database, options: PostgresAppendStoreOptions) {
    this.#database = database;
    this.#options = options;
  }

  async append(
    token: string,
    drafts: readonly Draft[],
    checksums: readonly number[],
    beforeSend?: () => void,
  ): Promise<AppendResult[]> {
    const { logId, takeWarning, seen } = this.#options;
    const { head, newest } = seen();
    takeWarning();
    const [row] = await this.#database.query<{ results: AppendResult[] }>(
      `select ${this.#database.schema}.append_continuing($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
       as results`,
      [
        head,
        newest?.lsn ?? 0,
        newest?.token ?? null,
        token,
        logId(),
        drafts.map((draft) => draft.kind),
        drafts.map((draft) => draft.target),
        drafts.map((draft) => draft.header),
        drafts.map((draft) => draft.dimension),
        checksums,
        drafts.map((draft) => draft.body.length),
        lowestRevision(drafts),
        concatenated(drafts.map((draft) => draft.body)),
      ],
      beforeSend,
    );
    const warning = takeWarning();
    // Cancelling the wait for a synchronous standby is only a WARNING: the commit may exist on this server alone.
    if (warning !== null) throw new Error(`The append was committed with a warning: ${warning}`);
    return (row as { results: AppendResult[] }).results;
  }

  hadNoEffect(error: unknown): boolean {
    return isServerRefusal(error) || error instanceof NotConnected;
  }

  isOutdated(error: unknown): boolean {
    return isOutdatedError(error);
  }

  isContentError(error: unknown): boolean {
    // Class 22, data exception: for example a NUL character, which jsonb cannot hold.
    return isServerRefusal(error) && error.code?.startsWith('22') === true;
  }
}

/** Whether an append was refused because the capability level was lowered since an entry of it was validated. */
export function isOutdatedError(error: unknown): boolean {
  return isServerRefusal(error) && error.code === LEVEL_LOWERED;
}

/** The lowest revision of the capability level under which an entry was validated; null when none depends on it. */
function lowestRevision(drafts: readonly Draft[]): number | null {
  const revisions = drafts.flatMap(({ revision }) => revision ?? []);
  return revisions.length === 0 ? null : Math.min(...revisions);
}

/** The bodies as one value. */
function concatenated(bodies: readonly Buffer[]): Buffer | LongValue {
  const value = new LongValue(bodies);
  return value.byteLength > COPIED_BYTES_MAX ? value : Buffer.concat(bodies);
}

// Failed attempts to apply an entry, by node: the evidence on which an entry is refused or quarantined (arbiter.ts).
// Also stored in PostgreSQL, so that the next leader does not offer the entry to further nodes.

import type { Database } from '../postgres/database.ts';
import type { Clock } from '../util/clock.ts';
import { LruMap } from '../util/lru-map.ts';

/** How an attempt failed. `died`: the node's process ended with the call in flight. */
export type FailureKind = 'response' | 'dropped' | 'died' | 'hung';

export interface Failure {
  readonly kind: FailureKind;
  /** HTTP status; 0 when there was no response. */
  readonly status: number;
  readonly body: Buffer;
}

/** A node's failed attempts to apply an entry. */
export interface Attempts {
  readonly attempts: number;
  /** Of these, calls for this entry alone. */
  readonly alone: number;
  /** The last one. */
  readonly failure: Failure;
  /** Of the first, clock.monotonic() ms. */
  readonly sinceMs: number;
  /** Of the last. */
  readonly lastMs: number;
}

export interface TrialStore {
  load(): Promise<
    readonly { lsn: number; node: string; attempts: number; alone: number; failure: Failure }[]
  >;
  save(epoch: number, node: string, attempts: ReadonlyMap<number, Attempts>): Promise<void>;
}

export interface TrialsOptions {
  readonly store: TrialStore;
  readonly clock: Clock;
  /** An entry has failed more than once on a node. */
  readonly onRepeated: (node: string, lsn: number, attempts: Attempts) => void;
  readonly onStoreError: (error: Error) => void;
}

/** An entry that a node keeps failing, for the status. */
export interface Trial extends Attempts {
  readonly node: string;
  readonly lsn: number;
}

// A connection that ended so recently ended with its process, when the process is found to be gone.
const DIED_WITHIN_MS = 2_000;
// Entries that fail one after the other are ended one after the other; more than a round's are never open at once.
const ENTRIES_MAX = 4_096;

export class Trials {
  readonly #options: TrialsOptions;
  readonly #byEntry = new LruMap<number, Map<string, Attempts>>({ weightMax: ENTRIES_MAX });
  readonly #diedMs = new Map<string, number>();
  readonly #appliedRecords = new LruMap<number, number>({ weightMax: ENTRIES_MAX });
  #epoch = 0;

  constructor(options: TrialsOptions) {
    this.#options = options;
  }

  /**
   * Loads the attempts under earlier leaders; called at the start of a term, under whose epoch later ones are stored.
   */
  async load(epoch: number): Promise<void> {
    this.#epoch = epoch;
    for (const { lsn, node, ...attempts } of await this.#options.store.load()) {
      if (this.of(lsn).has(node)) continue;
      const now = this.#options.clock.monotonic();
      this.#put(lsn, node, { ...attempts, sinceMs: now, lastMs: now });
    }
  }

  /** The failed attempts of each node that has some. */
  of(lsn: number): ReadonlyMap<string, Attempts> {
    return this.#byEntry.peek(lsn) ?? new Map();
  }

  /** The entry has failed and no node has applied it since. */
  isOpen(lsn: number): boolean {
    return this.#byEntry.has(lsn);
  }

  /** Whether the entry gets a call of its own: two attempts have failed, on any nodes. */
  isIsolated(lsn: number): boolean {
    let attempts = 0;
    for (const each of this.of(lsn).values()) attempts += each.attempts;
    return attempts >= 2;
  }

  /** A call for these entries, in LSN order, failed on the node. */
  failed(node: string, lsns: readonly number[], failure: Failure): void {
    const { clock, onRepeated, store, onStoreError } = this.#options;
    const changed = new Map<number, Attempts>();
    const hasDied = clock.monotonic() - (this.#diedMs.get(node) ?? -Infinity) < DIED_WITHIN_MS;
    const kind = failure.kind === 'dropped' && hasDied ? 'died' : failure.kind;
    for (const lsn of lsns) {
      const before = this.of(lsn).get(node);
      const attempts = {
        attempts: (before?.attempts ?? 0) + 1,
        alone: (before?.alone ?? 0) + (lsns.length === 1 ? 1 : 0),
        failure: { ...failure, kind },
        sinceMs: before?.sinceMs ?? clock.monotonic(),
        lastMs: clock.monotonic(),
      };
      this.#put(lsn, node, attempts);
      changed.set(lsn, attempts);
    }
    const [first] = lsns;
    const last = first === undefined ? undefined : changed.get(first);
    if (first !== undefined && last !== undefined && last.attempts >= 2) onRepeated(node, first, last);
    store.save(this.#epoch, node, changed).catch(onStoreError);
  }

  /** The node's process is gone: calls whose connection ended just before or after ended with it. */
  died(node: string): void {
    const now = this.#options.clock.monotonic();
    this.#diedMs.set(node, now);
    for (const [, nodes] of this.#byEntry) {
      for (const name of [node, scratchOf(node)]) {
        const each = nodes.get(name);
        if (each?.failure.kind === 'dropped' && now - each.lastMs <= DIED_WITHIN_MS)
          nodes.set(name, { ...each, failure: { ...each.failure, kind: 'died' } });
      }
    }
  }

  /** The first records of a split entry have been applied on the node: what failed before was not their fault. */
  progressed(node: string, lsn: number, records: number): void {
    if (records <= this.appliedRecords(lsn)) return;
    this.#appliedRecords.set(lsn, records);
    const nodes = this.#byEntry.get(lsn);
    nodes?.delete(node);
    if (nodes?.size === 0) this.#byEntry.delete(lsn);
  }

  /** How many of the first records of an entry some node has applied, when it was not applied whole. */
  appliedRecords(lsn: number): number {
    return this.#appliedRecords.get(lsn) ?? 0;
  }

  /** A node has applied these entries: the failures were not theirs. */
  applied(lsns: readonly number[]): void {
    for (const lsn of lsns) {
      this.#byEntry.delete(lsn);
      this.#appliedRecords.delete(lsn);
    }
  }

  /** Every node has applied or passed the log up to `lsn`. */
  forget(lsn: number): void {
    for (const [each] of this.#byEntry) if (each <= lsn) this.#byEntry.delete(each);
  }

  /** The entry that the node fails most often; null when none failed more than once. */
  worst(node: string): Trial | null {
    let worst: Trial | null = null;
    for (const [lsn, nodes] of this.#byEntry) {
      const each = nodes.get(node);
      if (each !== undefined && each.attempts > (worst?.attempts ?? 1)) worst = { node, lsn, ...each };
    }
    return worst;
  }

  #put(lsn: number, node: string, attempts: Attempts): void {
    const nodes = this.#byEntry.peek(lsn) ?? new Map<string, Attempts>();
    this.#byEntry.set(lsn, nodes.set(node, attempts));
  }
}

/** Keeps attempts in PostgreSQL, conditional on the lease. */
export class PostgresTrialStore implements TrialStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async load(): Promise<{ lsn: number; node: string; attempts: number; alone: number; failure: Failure }[]> {
    const s = this.#database.schema;
    const rows = await this.#database.query<{
      lsn: number;
      node: string;
      attempts: number;
      alone: number;
      kind: FailureKind;
      status: number;
      detail: string;
    }>(
      `select a.lsn, a.node, a.attempts, a.alone, a.kind, a.status, a.detail
       from ${s}.entry_attempt a join ${s}.node n on n.id = split_part(a.node, ' ', 1)
       where a.lsn > n.checkpoint order by a.lsn, a.node`,
    );
    return rows.map(({ kind, status, detail, ...row }) => ({
      ...row,
      failure: { kind, status, body: Buffer.from(detail) },
    }));
  }

  async save(epoch: number, node: string, attempts: ReadonlyMap<number, Attempts>): Promise<void> {
    const s = this.#database.schema;
    const rows = [...attempts];
    await this.#database.query(
      `insert into ${s}.entry_attempt (lsn, node, attempts, alone, kind, status, detail)
       select x.lsn, $2, x.attempts, x.alone, $6, $7, $8
       from unnest($3::bigint[], $4::int[], $5::int[]) as x(lsn, attempts, alone)
       where exists (select from ${s}.lease where epoch = $1 for share)
       on conflict (lsn, node) do update set
         attempts = greatest(entry_attempt.attempts, excluded.attempts),
         alone = greatest(entry_attempt.alone, excluded.alone),
         kind = excluded.kind, status = excluded.status, detail = excluded.detail, last_at = clock_timestamp()`,
      [
        epoch,
        node,
        rows.map(([lsn]) => lsn),
        rows.map(([, each]) => each.attempts),
        rows.map(([, each]) => each.alone),
        rows[0]?.[1].failure.kind ?? 'dropped',
        rows[0]?.[1].failure.status ?? 0,
        detailOf(rows[0]?.[1].failure),
      ],
    );
  }
}

/** The name under which a failure in a node's scratch collection is recorded: its copy was not touched. */
export function scratchOf(node: string): string {
  return `${node} scratch`;
}

/** For operators; NUL cannot be stored as text. */
export function detailOf(failure: Failure | undefined): string {
  return (failure?.body.toString('utf8', 0, 300) ?? '').replaceAll('\0', '');
}

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

/** What is stored of a node's attempts. */
export interface StoredAttempts extends Pick<Attempts, 'attempts' | 'alone' | 'failure'> {
  readonly lsn: number;
  readonly node: string;
  /** How many of the first records of the entry some node had applied then. */
  readonly appliedRecords: number;
}

export interface TrialStore {
  load(): Promise<readonly StoredAttempts[]>;
  /** Stores a node's attempts with the same last failure; later ones replace earlier ones of the same entries. */
  save(epoch: number, attempts: readonly StoredAttempts[]): Promise<void>;
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
  /** Failed attempts since the start. */
  failures = 0;

  constructor(options: TrialsOptions) {
    this.#options = options;
  }

  /**
   * Loads the attempts under earlier leaders; called at the start of a term, under whose epoch later ones are stored.
   */
  async load(epoch: number): Promise<void> {
    this.#epoch = epoch;
    for (const { lsn, node, appliedRecords, ...attempts } of await this.#options.store.load()) {
      if (appliedRecords > this.appliedRecords(lsn)) this.#appliedRecords.set(lsn, appliedRecords);
      if (attempts.attempts === 0 || this.of(lsn).has(node)) continue;
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
    const { clock, onRepeated } = this.#options;
    const changed: [lsn: number, attempts: Attempts][] = [];
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
      changed.push([lsn, attempts]);
    }
    this.failures += 1;
    const [first] = changed;
    if (first !== undefined && first[1].attempts >= 2) onRepeated(node, ...first);
    this.#save(node, changed);
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
    if (nodes === null) return;
    const failed = nodes.get(node) ?? [...nodes.values()][0];
    nodes.delete(node);
    if (nodes.size === 0) this.#byEntry.delete(lsn);
    // R4: the next leader must know of the part, for the entry can no longer be refused.
    if (failed !== undefined) this.#save(node, [[lsn, { ...failed, attempts: 0, alone: 0 }]]);
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

  /** The node begins again without content, and its stored attempts are gone: it is offered every entry anew. */
  beganAgain(node: string): void {
    for (const [lsn, nodes] of this.#byEntry) {
      nodes.delete(node);
      nodes.delete(scratchOf(node));
      if (nodes.size === 0) this.#byEntry.delete(lsn);
    }
  }

  /** Every node has applied or skipped the log up to `lsn`. */
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

  #save(node: string, changed: readonly (readonly [lsn: number, attempts: Attempts])[]): void {
    const { store, onStoreError } = this.#options;
    const rows = changed.map(([lsn, { attempts, alone, failure }]) => {
      return { lsn, node, attempts, alone, failure, appliedRecords: this.appliedRecords(lsn) };
    });
    store.save(this.#epoch, rows).catch(onStoreError);
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

  async load(): Promise<StoredAttempts[]> {
    const s = this.#database.schema;
    const rows = await this.#database.query<{
      lsn: number;
      node: string;
      attempts: number;
      alone: number;
      appliedRecords: number;
      kind: FailureKind;
      status: number;
      detail: string;
    }>(
      `select a.lsn, a.node, a.attempts, a.alone, a.applied_records as "appliedRecords", a.kind, a.status, a.detail
       from ${s}.entry_attempt a join ${s}.node n on n.id = split_part(a.node, ' ', 1)
       where a.lsn > n.checkpoint order by a.lsn, a.node`,
    );
    return rows.map(({ kind, status, detail, ...row }) => ({
      ...row,
      failure: { kind, status, body: Buffer.from(detail) },
    }));
  }

  async save(epoch: number, attempts: readonly StoredAttempts[]): Promise<void> {
    const s = this.#database.schema;
    const [first] = attempts;
    if (first === undefined) return;
    // Two of these may be in flight at once. What was counted before more records were applied no longer counts.
    await this.#database.query(
      `insert into ${s}.entry_attempt (lsn, node, attempts, alone, applied_records, kind, status, detail)
       select x.lsn, $2, x.attempts, x.alone, x.applied_records, $7, $8, $9
       from unnest($3::bigint[], $4::int[], $5::int[], $6::int[]) as x(lsn, attempts, alone, applied_records)
       where exists (select from ${s}.lease where epoch = $1 for share)
       on conflict (lsn, node) do update set
         attempts = case when excluded.applied_records > entry_attempt.applied_records then excluded.attempts
           else greatest(entry_attempt.attempts, excluded.attempts) end,
         alone = case when excluded.applied_records > entry_attempt.applied_records then excluded.alone
           else greatest(entry_attempt.alone, excluded.alone) end,
         applied_records = excluded.applied_records,
         kind = excluded.kind, status = excluded.status, detail = excluded.detail, last_at = clock_timestamp()
       where excluded.applied_records >= entry_attempt.applied_records`,
      [
        epoch,
        first.node,
        attempts.map(({ lsn }) => lsn),
        attempts.map((each) => each.attempts),
        attempts.map(({ alone }) => alone),
        attempts.map(({ appliedRecords }) => appliedRecords),
        first.failure.kind,
        first.failure.status,
        detailOf(first.failure),
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

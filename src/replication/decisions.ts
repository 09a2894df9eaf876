// Decisions: the outcomes of entries that only a node can determine, recorded once and final (I5, I7).

import type { Database } from '../postgres/database.ts';
import { LruMap } from '../util/lru-map.ts';
import { Notifier } from '../util/notifier.ts';

export interface Decision {
  readonly lsn: number;
  /** `partly_applied`: every node applies the first records of the entry and no others. */
  readonly outcome: 'accepted' | 'refused' | 'quarantined' | 'partly_applied';
  /** What the primary responded with: HTTP status and body; for an accepted conditional delete see `idPages`. */
  readonly status: number;
  readonly body: Buffer;
  /** Pages of ids that are stored beside it; 0: they are in `body`. */
  readonly pages: number;
  /** Of the primary that made it. */
  readonly generation: number;
}

/** A decision about to be recorded. */
export type Ruling = Pick<Decision, 'outcome' | 'status' | 'body'> & { readonly pages?: number };

/** Who decides: the primary in its generation, or with `node` null the leader, on evidence that no node can. */
export interface Decider {
  readonly epoch: number;
  readonly node: string | null;
  readonly generation: number;
}

/** How many records an accepted conditional delete selected. */
export function selectedCount({ body }: Decision): number {
  const value = JSON.parse(body.toString()) as string[] | { deleted: number };
  return Array.isArray(value) ? value.length : value.deleted;
}

/** How many records of a partly applied entry every node applies: the first ones. */
export function appliedRecords({ body }: Decision): number {
  return (JSON.parse(body.toString()) as { applied: number }).applied;
}

/** Decisions as recorded, cached while replicas still ask for them. */
export class Decisions {
  readonly #database: Database;
  // Replicas read decisions within moments; older ones are read from PostgreSQL again.
  readonly #recent = new LruMap<number, Decision>({ weightMax: 1_024 });
  /** Of entries that nodes apply only in part, or not at all. */
  readonly #exceptions = new Map<number, Decision>();
  /** Quarantined entries that no operator has closed; they outlive the log. */
  readonly #openQuarantine = new Set<number>();
  /** Notified when one was recorded. */
  readonly recorded = new Notifier();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Learns which entries are quarantined or partly applied; called at the start of a term. */
  async load(): Promise<void> {
    const rows = await this.#database.query<Decision & Record<string, unknown>>(
      `select lsn, outcome, status, body, pages, generation from ${this.#database.schema}.decision
       where outcome in ('quarantined', 'partly_applied')`,
    );
    const open = await this.#database.query<{ lsn: number }>(
      `select lsn from ${this.#database.schema}.quarantine where closed is null`,
    );
    this.#exceptions.clear();
    this.#openQuarantine.clear();
    for (const { lsn } of open) this.#openQuarantine.add(lsn);
    for (const row of rows) this.#exceptions.set(row.lsn, row);
  }

  /** LSNs of quarantined entries that no operator has closed, ascending. */
  get openQuarantine(): number[] {
    return [...this.#openQuarantine].sort((a, b) => a - b);
  }

  /** An operator has closed a quarantined entry at this gateway, or it is open again after a retry that appended nothing. */
  quarantineClosed(lsn: number, isClosed: boolean): void {
    if (isClosed) this.#openQuarantine.delete(lsn);
    else this.#openQuarantine.add(lsn);
  }

  isQuarantined(lsn: number): boolean {
    return this.#exceptions.get(lsn)?.outcome === 'quarantined';
  }

  /** The decision that every node applies the entry only in part, or not at all; null for any other entry. */
  exception(lsn: number): Decision | null {
    return this.#exceptions.get(lsn) ?? null;
  }

  /** The decision for an entry, or null when there is none yet. */
  async find(lsn: number): Promise<Decision | null> {
    const known = this.#recent.get(lsn);
    if (known !== null) return known;
    const [row] = await this.#database.query<Decision & Record<string, unknown>>(
      `select lsn, outcome, status, body, pages, generation from ${this.#database.schema}.decision where lsn = $1`,
      [lsn],
    );
    if (row === undefined) return null;
    this.#remember(row);
    // When the response to its recording was lost, the nodes that wait for it were not notified.
    this.recorded.notify();
    return row;
  }

  /** The ids that an accepted conditional delete selected, one page at a time, beginning with page `from`. */
  async *idPages({ lsn, generation, body, pages }: Decision, from = 0): AsyncGenerator<readonly string[]> {
    if (pages === 0) return yield JSON.parse(body.toString()) as string[];
    for (let page = from; page < pages; page++) {
      const [row] = await this.#database.query<{ ids: Buffer }>(
        `select ids from ${this.#database.schema}.decision_page where lsn = $1 and generation = $2 and page = $3`,
        [lsn, generation, page],
      );
      if (row === undefined) throw new Error(`page ${page} of the decision for LSN ${lsn} is missing`);
      yield JSON.parse(row.ids.toString()) as string[];
    }
  }

  /** As idPages, for the entry at an LSN; none for an entry without such a decision. */
  async *selectedIds(lsn: number): AsyncGenerator<readonly string[]> {
    const decision = await this.find(lsn);
    if (decision?.outcome === 'accepted') yield* this.idPages(decision);
  }

  /** Stores one page of ids of a decision in the making. False when the lease or the primary has moved on. */
  async addPage(by: Decider, lsn: number, page: number, ids: Buffer): Promise<boolean> {
    const [row] = await this.#database.query<{ added: boolean }>(
      `select ${this.#database.schema}.add_decision_page($1, $2, $3, $4, $5, $6) as added`,
      [by.epoch, by.node, by.generation, lsn, page, ids],
    );
    return row?.added === true;
  }

  /**
   * Records a decision and returns the one that stands: the first. Null when the lease or the primary has moved on,
   * so that another node decides.
   */
  async record(
    by: Decider,
    lsn: number,
    { outcome, status, body, pages = 0 }: Ruling,
  ): Promise<Decision | null> {
    const [row] = await this.#database.query<Decision & Record<string, unknown>>(
      `select d.lsn, d.outcome, d.status, d.body, d.pages, d.generation
       from ${this.#database.schema}.decide($1, $2, $3, $4, $5, $6, $7, $8) d`,
      [by.epoch, by.node, by.generation, lsn, outcome, status, body, pages],
    );
    if (row === undefined || row.lsn === null) return null;
    this.#remember(row);
    this.recorded.notify();
    return row;
  }

  #remember(decision: Decision): void {
    const isNew = decision.outcome === 'quarantined' && !this.isQuarantined(decision.lsn);
    if (isNew) this.#openQuarantine.add(decision.lsn);
    this.#recent.set(decision.lsn, decision);
    if (decision.outcome === 'quarantined' || decision.outcome === 'partly_applied')
      this.#exceptions.set(decision.lsn, decision);
  }
}

// What the log says that a shard holds, computed from its entries and decisions by rules of its own: neither src/ nor the
// model of the server takes part.

import { keyOf, type DecisionRow, type LogRow, type Tables } from '../../support/fake-postgres/tables.ts';
import { colorOf } from './plan.ts';

/** Values of records by their ids. */
export type Content = ReadonlyMap<string, number>;

interface Version {
  /** The entry that made it. */
  readonly lsn: number;
  readonly content: Content;
}

const EMPTY: Content = new Map();

/** Thrown when the content after an entry depends on a decision that does not exist. */
export class NotDecided extends Error {
  override readonly name = 'NotDecided';
}

export class ExpectedContent {
  readonly #tables: () => Tables;
  #versions = new Map<string, Version[]>();
  /** LSN up to which entries are in the versions. */
  #lsn = 0;

  constructor(tables: () => Tables) {
    this.#tables = tables;
  }

  /** Begins again: the log has lost entries, or one of them has ended without its effect. */
  forget(): void {
    this.#versions = new Map();
    this.#lsn = 0;
  }

  /** LSN up to which every entry is decided, or needs no decision. */
  get decidedLSN(): number {
    this.#advance();
    return this.#lsn;
  }

  /** The content of a shard after the entry at `lsn`. Throws NotDecided. */
  at(shard: string, lsn: number): Content {
    this.#advance();
    if (lsn > this.#lsn) throw new NotDecided(`LSN ${this.#lsn + 1} is not decided`);
    return this.#versions.get(shard)?.findLast((version) => version.lsn <= lsn)?.content ?? EMPTY;
  }

  /** Every content that the shard had from `from` on, the state at `from` included, up to the entry at `to`. */
  since(shard: string, from: number, to = Infinity): Content[] {
    this.#advance();
    const later = (this.#versions.get(shard) ?? []).filter(({ lsn }) => lsn > from && lsn <= to);
    const known = [this.at(shard, Math.min(from, this.#lsn)), ...later.map(({ content }) => content)];
    return [...known, ...this.#afterUndecided(shard, known.at(-1) ?? EMPTY, to)];
  }

  /** A node may have passed an entry of another shard whose decision was then lost with a server. */
  #afterUndecided(shard: string, last: Content, to: number): Content[] {
    const tables = this.#tables();
    const contents = [last];
    for (let lsn = this.#lsn + 1; lsn <= to && tables.log.has(lsn); lsn++) {
      const row = tables.log.get(lsn)!;
      if (row.target !== shard || !RECORDS.has(row.kind)) continue;
      const decision = tables.decisions.get(lsn) ?? null;
      if (decision === null && NEEDS_DECISION.has(row.kind)) break;
      contents.push(apply(tables, contents.at(-1)!, row, decision));
    }
    return contents.slice(1);
  }

  #advance(): void {
    const tables = this.#tables();
    for (let next = tables.log.get(this.#lsn + 1); next !== undefined; next = tables.log.get(this.#lsn + 1)) {
      const decision = tables.decisions.get(next.lsn) ?? null;
      if (decision === null && NEEDS_DECISION.has(next.kind)) return;
      const { target } = next;
      if (target !== null && RECORDS.has(next.kind)) {
        const versions = this.#versions.get(target) ?? [];
        this.#versions.set(target, versions);
        const before = versions.at(-1)?.content ?? EMPTY;
        versions.push({ lsn: next.lsn, content: apply(tables, before, next, decision) });
      }
      this.#lsn = next.lsn;
    }
  }
}

const NEEDS_DECISION = new Set(['delete_where', 'create_collection', 'modify_collection']);
const RECORDS = new Set(['add', 'upsert', 'update', 'delete', 'delete_where']);

function apply(tables: Tables, before: Content, entry: LogRow, decision: DecisionRow | null): Content {
  if (decision?.outcome === 'refused' || decision?.outcome === 'quarantined') return before;
  const after = new Map(before);
  if (entry.kind === 'delete_where') {
    for (const id of selectedIds(tables, decision!)) after.delete(id);
    return after;
  }
  const { ids, documents = [] } = JSON.parse(entry.body.toString()) as {
    ids: string[];
    documents?: string[];
  };
  const isPartial = decision?.outcome === 'partly_applied';
  const applied = isPartial
    ? (JSON.parse(decision.body.toString()) as { applied: number }).applied
    : ids.length;
  for (const [i, id] of ids.slice(0, applied).entries()) {
    if (entry.kind === 'delete') after.delete(id);
    else if (entry.kind === 'upsert' || after.has(id) === (entry.kind === 'update'))
      after.set(id, valueOf(documents[i] ?? ''));
  }
  return after;
}

function selectedIds(tables: Tables, { lsn, generation, pages, body }: DecisionRow): string[] {
  if (pages === 0) return JSON.parse(body.toString()) as string[];
  const page = (n: number): string[] =>
    JSON.parse(tables.pages.get(keyOf(lsn, generation, n))!.toString()) as string[];
  return Array.from({ length: pages }, (_, n) => page(n)).flat();
}

const KIB = 1024;

/** The document of a value: its color, which filters select, and the value; `poison` comes first, then what makes it large. */
export function documentFor(value: number, poison: string | null = null, largeKiB = 0): string {
  const padding = largeKiB === 0 ? '' : `${'x'.repeat(largeKiB * KIB)} `;
  return `${poison === null ? '' : `${poison} `}${padding}${colorOf(value)} v${value}`;
}

/** The value that a document was written for. */
export function valueOf(document: string): number {
  return Number(/ v(\d+)$/.exec(document)?.[1] ?? Number.NaN);
}

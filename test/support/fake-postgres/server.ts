// A PostgreSQL server in memory, with the tables and functions of this repository's migrations. The suite
// src/postgres/model.pg.test.ts makes the same calls on it and on a real server.

import type { Database } from '../../../src/postgres/database.ts';
import { statementFor, type FakeRow, type Statement } from './statements.ts';
import { Tables } from './tables.ts';

export interface FakePostgresOptions {
  /** Wall clock, ms. */
  readonly now: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly newId: () => string;
}

/** How a statement and its result travel; the model has no connections of its own. */
export type Carry = (
  execute: () => readonly FakeRow[],
  options: { readonly text: string; readonly beforeSend: () => void },
) => Promise<readonly FakeRow[]>;

export class FakePostgres {
  tables: Tables;
  /** Called after each statement that may have changed something. */
  onChanged: (text: string) => void = () => undefined;
  #timeline = 1;
  readonly #options: FakePostgresOptions;

  constructor(options: FakePostgresOptions) {
    this.#options = options;
    const { newId, now } = options;
    this.tables = new Tables({ cluster: newId(), log: newId() }, now());
  }

  get timeline(): number {
    return this.#timeline;
  }

  /** Runs one statement, whole or not at all. Throws pg.DatabaseError when it is refused, before any change. */
  execute(text: string, values: readonly unknown[]): readonly FakeRow[] {
    const { now, random, newId } = this.#options;
    const { normal, changes, statement } = preparedFrom(text);
    const draw = (limit: number): number => Math.floor(random() * limit);
    const { tables } = this;
    const session = { tables, values, timeline: this.#timeline, nowMs: now(), random: draw, newId };
    const rows = statement.run(session);
    if (changes) this.onChanged(normal);
    return rows;
  }

  /** A standby that has everything up to `tables` is promoted: what was committed later is lost. */
  failOver(tables: Tables = this.tables): void {
    this.#timeline += 1;
    this.tables = tables.copy();
  }

  /** As src/ uses it; `carry` moves statements and results. */
  database(carry: Carry): Database {
    const query = async (
      text: string,
      values: readonly unknown[] = [],
      beforeSend: () => void = () => undefined,
    ): Promise<readonly FakeRow[]> =>
      carry(() => this.execute(text, values), { text: preparedFrom(text).normal, beforeSend });
    const transaction = (): never => {
      throw new Error('the model of PostgreSQL has no transactions');
    };
    return { schema: SCHEMA, query, transaction, close: async () => undefined } as unknown as Database;
  }
}

const SCHEMA = '"model"';
const CHANGES =
  /^(?!select )|\b(?:append_continuing|acquire_lease|checkpoint|decide|add_decision_page|set_primary|swap_copy|\w+_nodes?)\(/;

/** A statement that was looked up by its text. */
interface Prepared {
  /** Without the schema, and with single spaces. */
  readonly normal: string;
  readonly changes: boolean;
  readonly statement: Statement;
}

/** By the text as sent; src/ has some hundred different ones. */
const prepared = new Map<string, Prepared>();

function preparedFrom(text: string): Prepared {
  const known = prepared.get(text);
  if (known !== undefined) return known;
  const normal = text.replaceAll(`${SCHEMA}.`, '').replaceAll(/\s+/g, ' ').trim();
  const made = { normal, changes: CHANGES.test(normal), statement: statementFor(normal) };
  prepared.set(text, made);
  return made;
}

// How the statements of one gateway reach PostgreSQL: bounded pools of connections, messages that take time or get lost,
// servers that go away and are replaced by a standby.

import type { Database } from '../../../src/postgres/database.ts';
import { NotConnected } from '../../../src/postgres/database.ts';
import type { Carry, FakePostgres } from '../../support/fake-postgres/server.ts';
import type { Network } from './network.ts';
import type { SimulatedProcess } from './schedule.ts';

const POSTGRES = 'postgres';
const POLL = 'select h.lsn as head, h.view';

/** What happens to the next statement of a kind. */
export type StatementFault =
  /** The connection ends, and the statement is never executed. */
  | 'lose_statement'
  /** The statement is executed and committed, and the connection ends before the response. */
  | 'lose_response'
  /** The connection ends, and the server executes the statement later: it waited for a lock, or for the processor. */
  | 'late';

interface PlannedFault {
  readonly pattern: RegExp;
  readonly fault: StatementFault;
  times: number;
  readonly onHit: () => void;
}

/** The server that gateways reach, with what is wrong with it. */
export class PostgresService {
  readonly server: FakePostgres;
  isUp = true;
  /** Counts the starts of servers: a statement that one of them was sent is never executed by the next. */
  generation = 0;
  /** What a statement takes beside its normal time, ms. */
  slowMs = 0;
  /** As slowMs, for a gateway's question for the state of the cluster. */
  pollMs = 0;
  #planned: PlannedFault[] = [];
  /** Ends the connection of each statement in flight. */
  readonly #inFlight = new Set<() => void>();

  constructor(server: FakePostgres) {
    this.server = server;
  }

  /** `onHit` is called with each statement that it happens to, once that was executed or lost. */
  plan(pattern: RegExp, fault: StatementFault, times: number, onHit: () => void = () => undefined): void {
    this.#planned.push({ pattern, fault, times, onHit });
  }

  clearFaults(): void {
    this.#planned = [];
    this.slowMs = 0;
  }

  stop(): void {
    this.isUp = false;
    this.generation += 1;
    this.reset();
  }

  start(): void {
    this.isUp = true;
  }

  reset(): void {
    for (const end of [...this.#inFlight]) end();
  }

  faultFor(text: string): PlannedFault | null {
    if (this.#planned.length === 0) return null;
    const found = this.#planned.find(({ pattern }) => pattern.test(text));
    if (found === undefined) return null;
    found.times -= 1;
    if (found.times === 0) this.#planned = this.#planned.filter((each) => each !== found);
    return found;
  }

  track(end: () => void): () => void {
    this.#inFlight.add(end);
    return () => this.#inFlight.delete(end);
  }
}

const STATEMENT_TIMEOUT_MS = 10_000;
/** A statement whose client is gone may wait for locks about as long as others are short, ms. */
const LATE_MS_MAX = 3_000;
const QUERY_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 1_000;

export interface LinkOptions {
  readonly process: SimulatedProcess;
  readonly network: Network;
  readonly postgres: PostgresService;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

/** A pool of so many connections, as src/postgres/database.ts has one for each purpose. */
export function linkedDatabase(options: LinkOptions, connectionsMax: number): Database {
  return options.postgres.server.database(new Pool(options, connectionsMax).carry);
}

class Pool {
  readonly #options: LinkOptions;
  readonly #connectionsMax: number;
  #used = 0;
  readonly #waiting = new Set<() => void>();

  constructor(options: LinkOptions, connectionsMax: number) {
    this.#options = options;
    this.#connectionsMax = connectionsMax;
  }

  readonly carry: Carry = async (execute, { text, beforeSend }) => {
    await this.#connect();
    try {
      beforeSend();
      return await this.#exchange(execute, text);
    } finally {
      this.#used -= 1;
      const [next] = this.#waiting;
      if (next !== undefined) {
        this.#waiting.delete(next);
        next();
      }
    }
  };

  /** Resolves with a connection in use. Throws NotConnected. */
  async #connect(): Promise<void> {
    const { process, network, postgres } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const take = (): void => {
        cancel();
        this.#used += 1;
        resolve();
      };
      let cancel = (): void => undefined;
      if (this.#used < this.#connectionsMax) return take();
      this.#waiting.add(take);
      cancel = process.after(STATEMENT_TIMEOUT_MS, () => {
        this.#waiting.delete(take);
        reject(new NotConnected(new Error('timeout exceeded when trying to connect')));
      });
    });
    const isReachable = (): boolean =>
      !network.isCut(process.name, POSTGRES) && !network.isCut(POSTGRES, process.name);
    if (postgres.isUp || !isReachable()) return;
    await new Promise<void>((resolve) => process.receive(0.5, resolve));
    this.#used -= 1;
    throw new NotConnected(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }));
  }

  #exchange(execute: Parameters<Carry>[0], text: string): ReturnType<Carry> {
    const { process, network, postgres, random } = this.#options;
    return new Promise((resolve, reject) => {
      let isConnected = true;
      const lost = (): Error => new Error('Connection terminated unexpectedly');
      const untrack = postgres.track(() => end());
      const finish = (settle: () => void): void => {
        isConnected = false;
        cancel();
        untrack();
        settle();
      };
      /** The server ends the connection. */
      const end = (): void => {
        untrack();
        isConnected = false;
        network.send(POSTGRES, process.name, () => finish(() => reject(lost())), process);
      };
      const cancel = process.after(QUERY_TIMEOUT_MS, () =>
        finish(() => reject(new Error('Query read timeout'))),
      );
      const { generation } = postgres;
      const isGone = (): boolean => !postgres.isUp || postgres.generation !== generation;
      const run = (): void => {
        // A statement that has arrived is executed, whether its client waits for it or not.
        if (isGone()) return end();
        const planned = postgres.faultFor(text);
        if (planned?.fault === 'late') {
          const executeLate = (): void => void (isGone() ? null : outcomeOf(execute));
          network.later(LATE_MS_MAX * random(), executeLate);
          planned.onHit();
          return end();
        }
        const outcome = planned?.fault === 'lose_statement' ? null : outcomeOf(execute);
        planned?.onHit();
        if (outcome === null || planned !== null || !isConnected) return end();
        network.send(
          POSTGRES,
          process.name,
          () => {
            if (isConnected) finish(() => settleWith(outcome, resolve, reject));
          },
          process,
        );
      };
      network.send(process.name, POSTGRES, () => {
        const delayMs = postgres.slowMs + (text.startsWith(POLL) ? postgres.pollMs : 0);
        if (delayMs > 0) network.later(delayMs, run);
        else run();
      });
    });
  }
}

type Rows = Awaited<ReturnType<Carry>>;
type Outcome = { readonly rows: Rows } | { readonly error: unknown };

function outcomeOf(execute: () => Rows): Outcome {
  try {
    return { rows: execute() };
  } catch (error) {
    return { error };
  }
}

function settleWith(outcome: Outcome, resolve: (rows: Rows) => void, reject: (error: unknown) => void): void {
  if ('rows' in outcome) resolve(outcome.rows);
  else reject(outcome.error);
}

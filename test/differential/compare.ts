// Runs one sequence against both sides and compares after each operation. Polychrome is asked first: where it refuses
// on purpose what would change the bare server, the bare server is not asked at all, and both stay alike.

import { randomBytes } from 'node:crypto';
import {
  RESPONSE_DIFFERENCES,
  DIMENSION_DIFFERENCE,
  SPARED_DIFFERENCES,
  strayDimension,
} from './differences.ts';
import type { EndpointResponse, Endpoint } from './endpoint.ts';
import { History, type Side } from './history.ts';
import { IdSymbols, isCollectionPage, normalise } from './normalise.ts';
import { type Operation, placeOf, toRequest } from './operation.ts';
import { pageFault, wholeOf } from './pages.ts';
import { DATABASES } from './schema.ts';

export interface Endpoints {
  /** Polychrome. */
  readonly a: Endpoint;
  /** One bare server. */
  readonly b: Endpoint;
}

/** What runs have seen, added up. */
export interface Tally {
  sequences: number;
  operations: number;
  /** Operations per action and status of the bare server: shows whether a run reached what it should. */
  readonly responses: Map<string, number>;
  /** Documented differences met. */
  readonly differences: Map<string, number>;
}

export const newTally = (): Tally => ({
  sequences: 0,
  operations: 0,
  responses: new Map(),
  differences: new Map(),
});

const increment = (counts: Map<string, number>, key: string): void =>
  void counts.set(key, (counts.get(key) ?? 0) + 1);

/** The two sides answered differently, in a way no documented difference accepts. */
export class Mismatch extends Error {
  override readonly name = 'Mismatch';
  /** Which operation of the sequence; what follows it has no part in it. */
  readonly index: number;

  constructor(message: string, index: number) {
    super(message);
    this.index = index;
  }
}

/** Runs `operations` in a tenant of their own; throws Mismatch at the first undocumented difference. */
export async function compareSequence(
  endpoints: Endpoints,
  operations: readonly Operation[],
  tally: Tally = newTally(),
): Promise<void> {
  // Always of one length: places in error messages would move with it.
  const run = new Run(endpoints, `diff-${randomBytes(8).toString('hex')}`, tally);
  tally.sequences++;
  const opening = [
    { action: 'create tenant', method: 'POST', path: '/api/v2/tenants', body: '{"name":"{tenant}"}' },
    ...DATABASES.map((name) => ({
      action: 'create database',
      method: 'POST',
      path: '/api/v2/tenants/{tenant}/databases',
      body: JSON.stringify({ name }),
    })),
  ];
  for (const [index, operation] of [...opening, ...operations].entries()) {
    const goesOn = await run.step(operation, index - opening.length);
    if (!goesOn) return;
  }
}

class Run {
  readonly #endpoints: Endpoints;
  readonly #history: History;
  readonly #tally: Tally;
  #symbols: Readonly<Record<Side, IdSymbols>> = { a: new IdSymbols(), b: new IdSymbols() };

  constructor(endpoints: Endpoints, tenant: string, tally: Tally) {
    this.#endpoints = endpoints;
    this.#history = new History(tenant);
    this.#tally = tally;
  }

  /** False when the two sides are no longer in one state, so that nothing further can be compared. */
  async step(operation: Operation, index: number): Promise<boolean> {
    const history = this.#history;
    this.#tally.operations++;
    const a = await this.#ask('a', operation);
    const spared = SPARED_DIFFERENCES.find((difference) => difference.applies({ operation, history, a }));
    if (spared !== undefined) {
      increment(this.#tally.differences, spared.name);
      return true;
    }
    const b = await this.#ask('b', operation);
    increment(this.#tally.responses, `${operation.action} ${b.status}`);
    if (this.#equal(operation, a, b)) {
      history.note(operation, a, b);
      if (isCollectionPage(operation)) await this.#holdAgainstWhole(operation, index, { a, b });
      await this.#lookForStrayDimension(operation, index, b);
      return true;
    }
    const exchange = { operation, history, a, b };
    const known = RESPONSE_DIFFERENCES.find((difference) => difference.applies(exchange));
    if (known === undefined) throw this.#mismatch(operation, index, a, b);
    increment(this.#tally.differences, known.name);
    if (a.status < 400 || b.status < 400) return false;
    await this.#lookForStrayDimension(operation, index, b);
    return true;
  }

  #ask(side: Side, operation: Operation): Promise<EndpointResponse> {
    const history = this.#history;
    const names = { tenant: history.tenant, id: (name: string) => history.idOn(side, name) };
    return this.#endpoints[side].send(toRequest(operation, names));
  }

  #equal(operation: Operation, a: EndpointResponse, b: EndpointResponse): boolean {
    const symbols = { a: this.#symbols.a.copy(), b: this.#symbols.b.copy() };
    if (normalise(operation, a, symbols.a) !== normalise(operation, b, symbols.b)) return false;
    this.#symbols = symbols;
    return true;
  }

  async #holdAgainstWhole(
    operation: Operation,
    index: number,
    pages: Readonly<Record<Side, EndpointResponse>>,
  ): Promise<void> {
    const whole = wholeOf(operation);
    const lists = { a: await this.#ask('a', whole), b: await this.#ask('b', whole) };
    if (!this.#equal(whole, lists.a, lists.b)) throw this.#mismatch(whole, index, lists.a, lists.b);
    for (const side of ['a', 'b'] as const) {
      const fault = pageFault(operation, pages[side], lists[side]);
      if (fault === null) continue;
      const { message } = this.#mismatch(operation, index, pages[side], lists[side]);
      throw new Mismatch(`${fault}, on side ${side}, whose list stands as B: ${message}`, index);
    }
  }

  // The one state that refused writes leave behind on a bare server. Both sides then get an update of no record, which
  // brings Polychrome to the same dimension, so that what follows can be compared.
  async #lookForStrayDimension(operation: Operation, index: number, b: EndpointResponse): Promise<void> {
    const known = this.#history.referred(operation);
    const call = placeOf(operation.path).call ?? '';
    if (known === undefined || b.status < 400 || !['add', 'upsert', 'update'].includes(call)) return;
    const path = `/api/v2/tenants/{tenant}/databases/${known.database}/collections`;
    const look = { action: 'look', method: 'GET', path: `${path}/${encodeURIComponent(known.name)}` };
    const dimension = strayDimension(await this.#ask('a', look), await this.#ask('b', look));
    if (dimension !== null) {
      increment(this.#tally.differences, DIMENSION_DIFFERENCE.name);
      const body = JSON.stringify({ ids: ['of no record'], embeddings: [Array<number>(dimension).fill(0)] });
      await this.#agree(
        { action: 'settle', method: 'POST', path: `${path}/{id:${known.label}}/update`, body },
        index,
      );
    }
    await this.#agree(look, index);
  }

  async #agree(operation: Operation, index: number): Promise<void> {
    const a = await this.#ask('a', operation);
    const b = await this.#ask('b', operation);
    if (!this.#equal(operation, a, b)) throw this.#mismatch(operation, index, a, b);
  }

  #mismatch(operation: Operation, index: number, a: EndpointResponse, b: EndpointResponse): Mismatch {
    const shown = (side: Side, response: EndpointResponse): string =>
      normalise(operation, response, this.#symbols[side].copy()).slice(0, 20_000);
    return new Mismatch(
      `operation ${index} (${operation.action}): ${operation.method} ${operation.path}\n` +
        `  sent: ${(operation.body ?? operation.bytes ?? '').slice(0, 500)}\n` +
        `  A: ${shown('a', a)}\n  B: ${shown('b', b)}`,
      index,
    );
  }
}

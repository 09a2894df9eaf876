// Runs hostile cases against both sides: after each request the responses and the states must agree, or Polychrome must
// be as it was; another collection must take a write, and no node may have ended.

import { createHash, randomBytes } from 'node:crypto';
import type { EndpointResponse } from '../endpoint.ts';
import { History, type Side } from '../history.ts';
import { IdSymbols, normalise } from '../normalise.ts';
import { type Operation, toRequest } from '../operation.ts';
import { DATABASES, MAIN } from '../schema.ts';
import { type HostileCase, PEARS, post, seeding } from './hostile-case.ts';
import { classify, refusedAlone, type Classification } from './classification.ts';
import type { Subjects } from './subjects.ts';

/** What became of one case. */
export interface CaseResult {
  /** What is wrong; null when nothing is. */
  readonly fault: string | null;
  /** Whether Polychrome works after it, so that further cases can be sent. */
  readonly isLive: boolean;
  /** One word or two for each operation: equal, or why not. */
  readonly outcomes: readonly string[];
}

/** Another collection in the same database, which must go on taking writes. */
const OTHER = 'liveness';

class Fault extends Error {
  readonly isLive: boolean;

  constructor(message: string, isLive = true) {
    super(message);
    this.isLive = isLive;
  }
}

export async function runCase(subjects: Subjects, hostile: HostileCase): Promise<CaseResult> {
  const run = new CaseRun(subjects);
  const outcomes: string[] = [];
  try {
    await run.prepare(hostile);
    for (const operation of hostile.operations()) {
      const found = await run.step(operation);
      outcomes.push(wordOf(found));
      // A server that failed may have changed, and the two sides are no longer in one state.
      if (found.kind !== 'equal') break;
    }
    await run.clear();
    return { fault: null, isLive: true, outcomes };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { fault: error.message, isLive: error.isLive, outcomes };
  }
}

function wordOf(found: Classification): string {
  if (found.kind === 'refused') return found.why;
  return found.kind === 'difference' ? found.name : found.kind;
}

class CaseRun {
  readonly #subjects: Subjects;
  readonly #history = new History(`host-${randomBytes(8).toString('hex')}`);
  readonly #pids: string;
  #symbols: Readonly<Record<Side, IdSymbols>> = { a: new IdSymbols(), b: new IdSymbols() };
  #stateA = '';

  constructor(subjects: Subjects) {
    this.#subjects = subjects;
    this.#pids = JSON.stringify(subjects.nodePids());
  }

  /** A tenant of its own, on both sides, with one collection that holds a few records. */
  async prepare({ created = '' }: HostileCase): Promise<void> {
    const make = (action: string, path: string, body: string): Operation => ({
      action,
      method: 'POST',
      path,
      body,
    });
    await this.#same(make('create tenant', '/api/v2/tenants', '{"name":"{tenant}"}'));
    for (const name of DATABASES)
      await this.#same(
        make('create database', '/api/v2/tenants/{tenant}/databases', JSON.stringify({ name })),
      );
    await this.#same(make('create collection', `${MAIN}/collections`, `{"name":"${OTHER}"}`));
    await this.#same(make('create collection', `${MAIN}/collections`, `{"name":"pears"${created}}`));
    await this.#same(seeding);
    this.#stateA = await this.#state('a');
  }

  async step(operation: Operation): Promise<Classification> {
    const a = await this.#ask('a', operation);
    const alone = refusedAlone({ operation, history: this.#history, a });
    if (alone !== null) {
      await this.#unchanged(operation, a);
      await this.#live(operation);
      return { kind: 'refused', why: alone };
    }
    const b = await this.#ask('b', operation);
    const found = classify({ operation, history: this.#history, a, b }, this.#equal(operation, a, b));
    await this.#live(operation);
    if (found.kind === 'fault') throw this.#fault(operation, found.message, { a, b });
    if (found.kind === 'equal') {
      this.#history.note(operation, a, b);
      await this.#sameState(operation, { a, b });
    } else if (found.kind === 'refused') await this.#unchanged(operation, a);
    return found;
  }

  /** Both sides forget the case: indexes of large vectors stay in a server's memory as long as they exist. */
  async clear(): Promise<void> {
    for (const name of ['pears', 'apples', OTHER]) {
      const operation: Operation = { action: 'drop', method: 'DELETE', path: `${MAIN}/collections/${name}` };
      await this.#ask('a', operation);
      await this.#ask('b', operation);
    }
  }

  #ask(side: Side, operation: Operation): Promise<EndpointResponse> {
    const { tenant } = this.#history;
    const names = { tenant, id: (name: string) => this.#history.idOn(side, name) };
    return this.#subjects[side].send(toRequest(operation, names));
  }

  #equal(operation: Operation, a: EndpointResponse, b: EndpointResponse): boolean {
    const symbols = { a: this.#symbols.a.copy(), b: this.#symbols.b.copy() };
    if (normalise(operation, a, symbols.a) !== normalise(operation, b, symbols.b)) return false;
    this.#symbols = symbols;
    return true;
  }

  async #same(operation: Operation): Promise<void> {
    const [a, b] = [await this.#ask('a', operation), await this.#ask('b', operation)];
    if (!this.#equal(operation, a, b) || a.status >= 400 || a.status === 0)
      throw this.#fault(operation, 'an ordinary request failed', { a, b }, false);
    this.#history.note(operation, a, b);
  }

  /** Everything a client can see of the collection. */
  async #state(side: Side): Promise<string> {
    const look: readonly Operation[] = [
      { action: 'count', method: 'GET', path: `${PEARS}/count` },
      post('get', '{"include":[]}'),
      post('get', '{"limit":200,"include":["embeddings","documents","metadatas","uris"]}'),
    ];
    const texts: string[] = [];
    for (const operation of look) {
      const response = await this.#ask(side, operation);
      const text = normalise(operation, response, new IdSymbols());
      texts.push(text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)} ${digest(text)}`);
    }
    return texts.join('\n');
  }

  async #sameState(operation: Operation, responses: Readonly<Record<Side, EndpointResponse>>): Promise<void> {
    const [ours, theirs] = [await this.#state('a'), await this.#state('b')];
    this.#stateA = ours;
    if (ours === theirs) return;
    throw this.#fault(
      operation,
      `the same responses, but another state:\n  A ${ours}\n  B ${theirs}`,
      responses,
    );
  }

  async #unchanged(operation: Operation, a: EndpointResponse): Promise<void> {
    const state = await this.#state('a');
    if (state === this.#stateA) return;
    throw this.#fault(operation, `refused, but changed:\n  ${this.#stateA}\n  ${state}`, { a });
  }

  /** Another collection takes a write, and every node is the process it was. */
  async #live(operation: Operation): Promise<void> {
    const record = randomBytes(8).toString('hex');
    const path = `${MAIN}/collections/{id:${OTHER}}/add`;
    const body = `{"ids":["${record}"],"embeddings":[[1,2]]}`;
    const written = await this.#ask('a', { action: 'add', method: 'POST', path, body });
    if (written.status !== 201)
      throw this.#fault(operation, 'another collection takes no write after it', { a: written }, false);
    if (JSON.stringify(this.#subjects.nodePids()) !== this.#pids)
      throw this.#fault(operation, 'a node ended', {}, false);
  }

  #fault(
    operation: Operation,
    what: string,
    responses: Partial<Record<Side, EndpointResponse>>,
    isLive = true,
  ): Fault {
    const shown = (['a', 'b'] as const).flatMap((side) => {
      const response = responses[side];
      return response === undefined
        ? []
        : [`  ${side}: ${response.status} ${response.body.toString().slice(0, SHOWN_MAX)}`];
    });
    const body = (operation.body ?? '').slice(0, SHOWN_MAX);
    return new Fault([`${operation.method} ${operation.path} ${body}: ${what}`, ...shown].join('\n'), isLive);
  }
}

const SHOWN_MAX = 300;

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

// Whether a response to a read can be right: what it shows is what the log held at one LSN that is not below the floor of
// the read (I6, I8), and nothing is called missing that exists.

import type { FakePostgres } from '../../support/fake-postgres/server.ts';
import type { Done } from './client.ts';
import type { ClientResponse } from './gateway.ts';
import type { Content, ExpectedContent } from './expected-content.ts';
import { Violation } from './violation.ts';
import { contentIn, contentInQuery, isEqual, shownContent } from './node-content.ts';
import type { Exemptions } from './exemptions.ts';

export interface ReadCheckOptions {
  readonly postgres: FakePostgres;
  readonly expected: ExpectedContent;
  readonly exemptions: Pick<Exemptions, 'has'>;
  /** Whether a delayed call may have changed a copy of the collection: that is found, not prevented. */
  readonly wasTainted: (collection: string) => boolean;
  readonly nowMs: () => number;
  /** There is one gateway. */
  readonly isOnly: boolean;
}

/** An acknowledgement that a client has received. */
interface Acknowledged {
  readonly atMs: number;
  readonly lsn: number;
  readonly gateway: string;
  readonly collection: string;
}

export class ReadChecks {
  readonly #options: ReadCheckOptions;
  #acknowledged: Acknowledged[] = [];
  /** Since when a client knows that a collection exists, ms. */
  readonly #readySince = new Map<string, number>();
  readonly #goneSince = new Map<string, number>();
  /** Since when a client knows the present name of a collection, ms; by id. */
  readonly #named = new Map<string, { readonly name: string; readonly sinceMs: number }>();

  constructor(options: ReadCheckOptions) {
    this.#options = options;
  }

  /** After each statement that may have changed something. */
  changed(): void {
    const { postgres, nowMs } = this.#options;
    for (const { id, name, state } of postgres.tables.collections.values()) {
      if (this.#named.get(id)?.name !== name) this.#named.delete(id);
      if (state === 'deleted' && !this.#goneSince.has(id)) this.#goneSince.set(id, nowMs());
    }
  }

  /** A response has shown a client that the collection exists under this name. */
  seen(id: string, name: string): void {
    const sinceMs = this.#options.nowMs();
    if (!this.#readySince.has(id)) this.#readySince.set(id, sinceMs);
    const row = this.#options.postgres.tables.collections.get(id);
    if (row?.name === name && !this.#named.has(id)) this.#named.set(id, { name, sinceMs });
  }

  /** Entries were lost with a server of PostgreSQL: what was acknowledged before may be gone. */
  logLost(): void {
    const { exemptions } = this.#options;
    this.#acknowledged = this.#acknowledged.filter(({ collection }) => !exemptions.has(collection));
    for (const id of this.#readySince.keys()) if (exemptions.has(id)) this.#readySince.delete(id);
  }

  /** The collection that has had the name since before `atMs`; null when there is none. */
  existsSince(name: string, atMs: number): string | null {
    const found = [...this.#options.postgres.tables.collections.values()].find(
      (row) => row.name === name && row.state === 'ready',
    );
    if (found === undefined || found.pending_lsn !== null) return null;
    return (this.#named.get(found.id)?.sinceMs ?? Infinity) < atMs ? found.id : null;
  }

  acknowledged(lsn: number, gateway: string, collection: string): void {
    this.#acknowledged.push({ atMs: this.#options.nowMs(), lsn, gateway, collection });
  }

  /** Throws Violation. */
  check(done: Done): void {
    const { request, response, collection } = done;
    if (response === null) return;
    if (request.op === 'list' && response.status === 200) return this.#checkList(done, response.body);
    if (collection === null || this.#options.exemptions.has(collection)) return;
    if (response.status === 404) return this.#checkMissing(collection, done.invokedAtMs);
    if (response.status !== 200 || (request.op !== 'get' && request.op !== 'query')) return;
    if (this.#options.wasTainted(collection)) return;
    this.#checkContent(done, collection, response);
  }

  #checkContent(done: Done, collection: string, response: ClientResponse): void {
    const { postgres, expected } = this.#options;
    const { request, gateway, invokedAtMs, headers } = done;
    if (request.op !== 'get' && request.op !== 'query') return;
    const shard = [...postgres.tables.shards.values()].find((row) => row.collection === collection)?.id;
    if (shard === undefined)
      throw new Violation('I8', `a read of ${collection} succeeded, which never existed`);
    const counts = (ack: Acknowledged): boolean => {
      if (ack.collection !== collection || ack.atMs >= invokedAtMs) return false;
      if (request.consistency === 'strong') return true;
      return request.consistency === 'session' && ack.gateway === gateway;
    };
    const lsns = this.#acknowledged.filter(counts).map(({ lsn }) => lsn);
    const floor = Math.max(Number(headers['x-polychrome-lsn'] ?? 0), ...lsns);
    // The only gateway knows what is in flight: a client that names the LSN of a response sees nothing older than it showed.
    const said = Number(response.headers['x-polychrome-lsn'] ?? 0);
    const isBounded = this.#options.isOnly && request.consistency !== 'eventual';
    const seen = request.op === 'get' ? contentIn(response.body) : contentInQuery(response.body);
    const { ids } = request;
    const states = expected
      .since(shard, floor, isBounded ? said : Infinity)
      .map((state) => (ids === null ? state : only(state, ids)));
    if (states.some((state) => isEqual(state, seen))) return;
    const invariant = floor > 0 ? 'I6' : 'I8';
    const wanted = states.map(shownContent).join(' | ');
    const range = `floor ${floor}${isBounded ? `, at most ${said}` : ''}`;
    const read = `${request.consistency} ${request.op} of ${collection} through ${gateway}, ${range}`;
    throw new Violation(invariant, `${read}: saw ${shownContent(seen)}, the log has ${wanted}`);
  }

  #checkMissing(collection: string, invokedAtMs: number): void {
    const { postgres } = this.#options;
    const isThere = postgres.tables.collections.get(collection)?.state === 'ready';
    const since = this.#readySince.get(collection) ?? Infinity;
    if (isThere && since < invokedAtMs)
      throw new Violation('I6', `${collection} exists, and was called missing`);
  }

  #checkList({ invokedAtMs }: Done, body: string): void {
    const listed = new Set((JSON.parse(body) as { id: string }[]).map(({ id }) => id));
    for (const [id, sinceMs] of this.#readySince) {
      const isGone = this.#goneSince.has(id);
      if (sinceMs < invokedAtMs && !isGone && !listed.has(id))
        throw new Violation('I6', `collection ${id} exists, and a list lacks it`);
    }
    // What was deleted before the list was asked for is not in it, unless the gateway learns of that later.
  }
}

function only(content: Content, ids: readonly string[]): Content {
  return new Map([...content].filter(([id]) => ids.includes(id)));
}

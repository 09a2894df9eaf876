// Large and hostile requests of a chaos run. What becomes of them does not matter; everything else must go on.

import { oneOf } from '../support/draw.ts';
import { seededRandom } from '../support/seeded-random.ts';
import type { CheckedWorkload } from '../support/workload.ts';
import { hostileCases } from '../differential/hostile/generator.ts';
import { seeding } from '../differential/hostile/hostile-case.ts';
import { type Operation, toRequest } from '../differential/operation.ts';
import { DATABASES, MAIN } from '../differential/schema.ts';
import { type Address, Roaming } from './roaming.ts';

const LARGE_RECORDS = 3_000;
// The largest bodies occupy both cores of a small machine for minutes.
const TOO_LARGE = new Set(['largest bodies']);
const CASES = 34;

export class Loads {
  readonly #addresses: readonly Address[];
  readonly #name: string;
  #workload: CheckedWorkload;
  readonly #running = new Set<Promise<void>>();
  #tenants = 0;
  /** Responses by what was sent and status. */
  readonly responses = new Map<string, number>();

  constructor(addresses: readonly Address[], name: string, workload: CheckedWorkload) {
    this.#addresses = addresses;
    this.#name = name;
    this.#workload = workload;
  }

  /** One call that nodes receive in parts; its content is checked with that of the workload. */
  large(): void {
    this.#start('a large call', this.#workload.addLarge(LARGE_RECORDS));
  }

  /** The requests of one hostile case, against a collection of its own. */
  hostile(seed: number): void {
    const cases = hostileCases(seed, CASES).filter(({ kind }) => !TOO_LARGE.has(kind));
    const { created = '', operations } = oneOf(seededRandom(seed), cases);
    const tenant = `${this.#name}-hostile-${this.#tenants++}`;
    this.#start('hostile requests', this.#send(tenant, created, operations));
  }

  /** Resolves when every request has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#running);
  }

  #start(what: string, work: Promise<void>): void {
    const running = work
      .catch((error: unknown) => this.#count(`${what}: ${String(error)}`))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #send(tenant: string, created: string, operations: () => readonly Operation[]): Promise<void> {
    const client = new Roaming(this.#addresses, 0);
    let collection = '00000000-0000-4000-8000-000000000000';
    const send = async (operation: Operation): Promise<void> => {
      const { method, path, body, headers } = toRequest(operation, { tenant, id: () => collection });
      const { response } = await client.exchange(method, path, body?.toString(), headers);
      this.#count(String(response?.status ?? 'no response'));
      if (operation.action === 'create collection' && response?.status === 200)
        collection = (JSON.parse(response.text) as { id: string }).id;
    };
    const make = (action: string, path: string, body: string): Operation => ({
      action,
      method: 'POST',
      path,
      body,
    });
    await send(make('create tenant', '/api/v2/tenants', '{"name":"{tenant}"}'));
    for (const name of DATABASES)
      await send(make('create database', '/api/v2/tenants/{tenant}/databases', JSON.stringify({ name })));
    await send(make('create collection', `${MAIN}/collections`, `{"name":"pears"${created}}`));
    await send(seeding);
    for (const operation of operations()) await send(operation);
    await send({ action: 'drop', method: 'DELETE', path: `${MAIN}/collections/pears` });
  }

  #count(what: string): void {
    this.responses.set(what, (this.responses.get(what) ?? 0) + 1);
  }
}

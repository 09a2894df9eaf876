// The state of a run after the operations so far, from the responses only: the ids of each collection on both sides, its
// database and its current name.

import type { EndpointResponse } from './endpoint.ts';
import { type Operation, placeOf, referredCollections } from './operation.ts';

export type Side = 'a' | 'b';

/** A collection both sides have shown. */
export interface Known {
  /** The name by which operations refer to it: the one it was first shown under. */
  readonly label: string;
  readonly ids: Readonly<Record<Side, string>>;
  readonly tenant: string;
  readonly database: string;
  /** Its name now; changes when it is renamed. */
  name: string;
}

/** Of a collection that never was; the same on both sides, so that their messages agree. */
const UNKNOWN_ID = '5f0c9a34-1111-4222-8333-0123456789ab';

export class History {
  readonly tenant: string;
  readonly #known = new Map<string, Known>();
  /** Of each collection, by label: ids that records were stored under, and those an update named before that. */
  readonly #stored = new Map<string, Set<string>>();
  readonly #updatedEarly = new Map<string, Set<string>>();

  constructor(tenant: string) {
    this.tenant = tenant;
  }

  idOn(side: Side, name: string): string {
    return this.#known.get(name)?.ids[side] ?? UNKNOWN_ID;
  }

  /** The collection that the operation's path refers to by id, when both sides have shown it. */
  referred(operation: Operation): Known | undefined {
    const [name] = referredCollections(operation.path);
    return name === undefined ? undefined : this.#known.get(name);
  }

  /** Whether an update gave this id an embedding before a record was stored under it. */
  wasUpdatedEarly(operation: Operation, id: string): boolean {
    const known = this.referred(operation);
    return known !== undefined && (this.#updatedEarly.get(known.label)?.has(id) ?? false);
  }

  /** Takes note of an operation to which both sides answered alike. */
  note(operation: Operation, a: EndpointResponse, b: EndpointResponse): void {
    if (a.status !== 200 && a.status !== 201) return;
    this.#noteIds(operation);
    if (operation.method === 'PUT') return this.#noteRename(operation);
    const one = asCollection(a);
    const other = asCollection(b);
    if (one === undefined || other === undefined) return;
    const { name, tenant, database } = one;
    this.#known.set(name, { ids: { a: one.id, b: other.id }, tenant, database, name, label: name });
  }

  #noteIds(operation: Operation): void {
    const known = this.referred(operation);
    const call = placeOf(operation.path).call ?? '';
    if (known === undefined || !['add', 'upsert', 'update'].includes(call)) return;
    const body = parsed(operation.body ?? '') as { ids?: string[]; embeddings?: unknown } | undefined;
    const stored = this.#stored.get(known.label) ?? new Set();
    const early = this.#updatedEarly.get(known.label) ?? new Set();
    for (const id of body?.ids ?? []) {
      if (call !== 'update') stored.add(id);
      else if (!stored.has(id) && body?.embeddings != null) early.add(id);
    }
    this.#stored.set(known.label, stored);
    this.#updatedEarly.set(known.label, early);
  }

  #noteRename(operation: Operation): void {
    const known = this.referred(operation);
    const body = parsed(operation.body ?? '');
    const name = field(body, 'new_name');
    if (known !== undefined && name !== undefined && placeOf(operation.path).call === null) known.name = name;
  }
}

interface CollectionObject {
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
  readonly database: string;
}

function asCollection(response: EndpointResponse): CollectionObject | undefined {
  const value = parsed(response.body.toString());
  const [id, name, tenant, database] = ['id', 'name', 'tenant', 'database'].map((key) => field(value, key));
  if (id === undefined || name === undefined || tenant === undefined || database === undefined)
    return undefined;
  return { id, name, tenant, database };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function field(value: unknown, key: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const found = (value as Record<string, unknown>)[key];
  return typeof found === 'string' ? found : undefined;
}

// What a stretch of the log says a node must hold: for each id the last entry that touched it, for each name whether
// it is taken. Pure; fed with entries in LSN order.

import { onlyShard } from '../catalog/only-shard.ts';
import type { DatabaseName } from '../chroma/protocol/paths.ts';
import { readTopLevel } from '../chroma/parse/rewrite.ts';
import { isRefusal } from '../chroma/parse/refusal.ts';
import type { Entry } from '../log/entry.ts';
import type { Decision } from '../replication/decisions.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { type RecordOperation } from '../chroma/protocol/operation.ts';
import { mapKey } from '../util/map-key.ts';

export interface ExpectedRecord {
  readonly id: string;
  /** The entry that touched it last. */
  readonly lsn: number;
  /** Null: an update alone does not tell whether the record was there. */
  readonly present: boolean | null;
}

export interface ExpectedName {
  readonly tenant: string;
  readonly database: string;
  /** Null: a whole database. */
  readonly name: string | null;
  /** The shard under this name; null when the name must be free. For a database, any text when it must be there. */
  readonly shard: string | null;
}

export class Expectation {
  /** By shard, then by the map key of the id. */
  readonly shards = new Map<string, Map<string, ExpectedRecord>>();
  readonly #names = new Map<string, ExpectedName>();
  readonly #place: (shard: string) => DatabaseName | undefined;
  /** Ids expected in all shards. */
  records = 0;

  /** `place`: the database a shard that the node holds belongs to. */
  constructor(place: (shard: string) => DatabaseName | undefined) {
    this.#place = place;
  }

  get names(): readonly ExpectedName[] {
    return [...this.#names.values()];
  }

  /**
   * An entry the node had applied. `decision`: what was decided about it, null when nothing was; `selected`: the ids
   * that a conditional delete selected.
   */
  applied(entry: Entry, decision: Decision | null, selected: readonly string[] = []): void {
    // Which records a cut entry has changed is known, and not worth following.
    if (decision?.outcome === 'partly_applied') return this.uncertain(entry);
    if (decision !== null && decision.outcome !== 'accepted') return;
    const operation = toOperation(entry);
    switch (operation.type) {
      case 'records': {
        const { kind, conditional } = operation.call;
        for (const id of conditional ? selected : operation.call.ids) {
          const before = this.#shard(operation.shard).get(mapKey(id))?.present ?? null;
          this.#record(operation.shard, { id, lsn: entry.lsn, present: presence(kind, before) });
        }
        return;
      }
      case 'create_collection': {
        const { tenant, database, name, shard } = operation;
        return this.#name({ tenant, database, name, shard });
      }
      case 'delete_collection': {
        const { tenant, database, name, shards } = operation;
        for (const shard of shards) this.#forgetShard(shard);
        return this.#name({ tenant, database, name, shard: null });
      }
      case 'create_database':
        return this.#name({ ...operation, name: null, shard: operation.id });
      case 'delete_database':
        return this.#name({ ...operation, name: null, shard: null });
      case 'modify_collection': {
        if (operation.newName === null) return;
        const shard = onlyShard(operation);
        this.#forgetNameOf(shard);
        const place = this.#place(shard);
        // The entry does not say which name it leaves, so only the new one is looked at.
        if (place !== undefined) this.#name({ ...place, name: operation.newName, shard });
        return;
      }
      case 'create_tenant':
      case 'delete_tenant':
        return;
    }
  }

  /** An entry the node may or may not have applied: nothing is expected of what it touches. */
  uncertain(entry: Entry): void {
    const operation = toOperation(entry);
    switch (operation.type) {
      case 'records': {
        const records = this.shards.get(operation.shard);
        if (operation.call.conditional) records?.clear();
        else for (const id of operation.call.ids) records?.delete(mapKey(id));
        return;
      }
      case 'create_collection':
      case 'delete_collection':
        this.#names.delete(key(operation));
        if (operation.type === 'delete_collection')
          for (const shard of operation.shards) this.#forgetShard(shard);
        return;
      case 'create_database':
      case 'delete_database':
        this.#names.delete(key({ ...operation, name: null }));
        return;
      case 'modify_collection':
        for (const shard of operation.shards) this.#forgetNameOf(shard);
        return;
      case 'create_tenant':
      case 'delete_tenant':
        return;
    }
  }

  #shard(shard: string): Map<string, ExpectedRecord> {
    const records = this.shards.get(shard) ?? new Map<string, ExpectedRecord>();
    this.shards.set(shard, records);
    return records;
  }

  #record(shard: string, expected: ExpectedRecord): void {
    const records = this.#shard(shard);
    const key = mapKey(expected.id);
    if (!records.has(key)) this.records += 1;
    records.set(key, expected);
  }

  #name(expected: ExpectedName): void {
    this.#names.set(key(expected), expected);
  }

  #forgetShard(shard: string): void {
    this.records -= this.shards.get(shard)?.size ?? 0;
    this.shards.delete(shard);
    this.#forgetNameOf(shard);
  }

  #forgetNameOf(shard: string): void {
    for (const [name, expected] of this.#names) if (expected.shard === shard) this.#names.delete(name);
  }
}

function key({ tenant, database, name }: Pick<ExpectedName, 'tenant' | 'database' | 'name'>): string {
  return mapKey(JSON.stringify([tenant, database, name]));
}

function presence(kind: RecordOperation['call']['kind'], before: boolean | null): boolean | null {
  if (kind === 'delete') return false;
  return kind === 'update' ? before : true;
}

/** What an upsert or update says of one record; undefined where it says nothing. */
export interface SentContent {
  readonly document: string | undefined;
  readonly embedding: readonly number[] | undefined;
}

interface SentBody {
  documents?: (string | null)[] | null;
  embeddings?: (number[] | string | null)[] | null;
}

/** Content by the map key of the id, the last mention of an id winning; nothing for an add, which leaves a record that exists as it is. */
export function contentOf({ call }: RecordOperation): Map<string, SentContent> {
  const content = new Map<string, SentContent>();
  if (call.kind !== 'upsert' && call.kind !== 'update') return content;
  const { documents, embeddings } = columnsOf(call.body);
  for (const [index, id] of call.ids.entries()) {
    const vector = embeddings?.[index] ?? undefined;
    const embedding = typeof vector === 'string' ? fromBase64(vector) : vector;
    content.set(mapKey(id), { document: documents?.[index] ?? undefined, embedding });
  }
  return content;
}

/** Only the two columns: a metadata column may be large, and is not compared. */
function columnsOf(body: Buffer): SentBody {
  const fields = readTopLevel(body, ['documents', 'embeddings']);
  if (isRefusal(fields)) return {};
  const texts = [...fields].map(
    ([name, { slice }]) => `"${name}":${body.subarray(slice.start, slice.end).toString()}`,
  );
  return JSON.parse(`{${texts.join(',')}}`) as SentBody;
}

function fromBase64(text: string): number[] {
  const bytes = Buffer.from(text, 'base64');
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) => bytes.readFloatLE(index * 4));
}

// Components are 32-bit floats, sent and read back in decimal; in cosine space a server keeps the vector normalised,
// which costs another rounding (docs/chroma-behaviour.md#numbers).
const TOLERANCE = 1e-4;

/** Whether a node that was sent `sent` may answer with `read`. */
export function sameVector(sent: readonly number[], read: readonly number[]): boolean {
  if (sent.length !== read.length) return false;
  if (isClose(sent, read)) return true;
  const norm = Math.hypot(...sent);
  return (
    Math.abs(Math.hypot(...read) - 1) < TOLERANCE &&
    isClose(
      sent.map((component) => component / norm),
      read,
    )
  );
}

function isClose(a: readonly number[], b: readonly number[]): boolean {
  return a.every(
    (value, index) => Math.abs(value - (b[index] ?? NaN)) <= TOLERANCE * Math.max(1, Math.abs(value)),
  );
}

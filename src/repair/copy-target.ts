// The copy in the making, on its node: every call that changes it, and the comparison with what the donor returned.

import { deleteByIdsBodies } from '../chroma/batch/merge.ts';
import { elementEnds, elementStart } from '../chroma/batch/response-slices.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { ARRAY_OPEN } from '../chroma/parse/json.ts';
import {
  countRecordsRequest,
  recordsRequest,
  type NodeMutation,
  type ShardLocation,
} from '../chroma/protocol/node-requests.ts';
import { isSuccess } from '../chroma/protocol/response-effect.ts';
import { TermOver, type Term } from '../coordination/term.ts';
import { orAborted } from '../util/race.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { mapKey } from '../util/map-key.ts';
import { keepsOldFields, membersOf, recordsBody, replacing } from './copy-bodies.ts';
import { PageSizes, readIds, readPages, type ReadCopy, type StoredRecord } from './copy-content.ts';
import { doubleTexts, isDoubleText } from './exact-doubles.ts';
import { fullTextFaults, UNLIMITED } from './full-text-check.ts';
import { sampleOf } from './index-check.ts';
import { recordDifference, type EmbeddingRule } from './record-difference.ts';
import { indexFault } from './shard-check.ts';

/** The copy cannot be completed; what was made of it is dropped, and another is begun. */
export class CopyFailed extends Error {
  override readonly name = 'CopyFailed';
  /** The server responded that it cannot work, as one does whose files are damaged or whose disk is full. */
  readonly isNodeFault: boolean;

  constructor(message: string, { status = 0, cause }: { status?: number; cause?: unknown } = {}) {
    super(message, { cause });
    this.isNodeFault = status >= 500;
  }
}

export interface CopyTargetOptions {
  readonly client: Pick<NodeClient, 'read' | 'mutate'>;
  readonly location: ShardLocation;
  readonly rule: EmbeddingRule;
  readonly idsMax: () => number;
  readonly clock: Clock;
  readonly term: Pick<Term, 'held' | 'signal'>;
}

const READ_DEADLINE_MS = 30_000;
// A call holds about a second of a server's work. One that takes longer than this may still be executed later, so the
// copy is given up and begun again under another name.
const CALL_MS_MAX = 60_000;
// Texts tried for one double: all that exact-doubles.ts has.
const DOUBLE_ATTEMPTS_MAX = 14;
// Each is searched for in all documents of the node.
const TEXT_SAMPLES = 8;

export class CopyTarget {
  readonly #options: CopyTargetOptions;
  readonly read: ReadCopy;
  /** What earlier pages have shown of the size of its records. */
  readonly #sizes = new PageSizes();

  constructor(options: CopyTargetOptions) {
    this.#options = options;
    this.read = (request) => options.client.read({ ...request, deadlineMs: READ_DEADLINE_MS });
  }

  get location(): ShardLocation {
    return this.#options.location;
  }

  /** Its ids in order, from an offset on. */
  ids(offset = 0): Promise<string[]> {
    return readIds(this.read, this.location, offset);
  }

  /** How many records it has. */
  async count(): Promise<number> {
    const { status, body } = await this.#options.client.read({
      ...countRecordsRequest(this.location),
      deadlineMs: READ_DEADLINE_MS,
    });
    if (status !== 200) throw new CopyFailed(`the copy cannot be counted: HTTP ${status}`);
    return Number(body.toString());
  }

  /** Why searches by vector, or filters by document, do not find some of its records; null when they find all of a sample. */
  async fault(): Promise<string | null> {
    const { client, location, clock } = this.#options;
    const index = await indexFault(
      (request) => client.read({ ...request, deadlineMs: READ_DEADLINE_MS }),
      location,
    );
    if (index !== null) return index;
    const copy = { node: 'copy', location, read: this.read };
    const sample = sampleOf(await this.ids(), []).slice(0, TEXT_SAMPLES);
    const faults = await fullTextFaults([copy], sample, { budget: UNLIMITED, clock });
    return faults.get(copy.node)?.[0]?.reason ?? null;
  }

  /** Those of its records that have one of these ids, by the map key of the id. */
  async records(ids: readonly string[]): Promise<Map<string, StoredRecord>> {
    const found = new Map<string, StoredRecord>();
    for await (const { records } of readPages(this.read, this.location, ids, this.#sizes))
      for (const record of records) found.set(mapKey(record.id), record);
    return found;
  }

  /** Adds records at the end, in this order. */
  async add(records: readonly StoredRecord[]): Promise<void> {
    if (records.length === 0) return;
    await this.#mutate(recordsRequest(this.location, 'add', recordsBody(records)));
  }

  /** Replaces records where they are; `old` is what is there. False for those that cannot be replaced so. */
  async replace(
    pairs: readonly { readonly record: StoredRecord; readonly old: StoredRecord }[],
  ): Promise<void> {
    if (pairs.length === 0) return;
    const records = pairs.map(({ record, old }) => replacing(record, old));
    await this.#mutate(recordsRequest(this.location, 'upsert', recordsBody(records)));
  }

  async delete(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    for (const body of deleteByIdsBodies(ids, this.#options.idsMax()))
      await this.#mutate(recordsRequest(this.location, 'delete', [body]));
  }

  /**
   * Brings its records with these ids to what the donor returned for them; `wasDeleted` names ids that belong to another
   * place in the order. Then compares them.
   */
  async replaceRecords(
    ids: readonly string[],
    records: readonly StoredRecord[],
    wasDeleted: (id: string) => boolean,
  ): Promise<void> {
    const old = await this.records(ids);
    const wanted = new Set(records.map(({ id }) => mapKey(id)));
    const isReplaceable = (record: StoredRecord): boolean => {
      const known = old.get(mapKey(record.id));
      return known !== undefined && !wasDeleted(record.id) && !keepsOldFields(record, known);
    };
    const staying = records.filter(isReplaceable);
    const stays = new Set(staying.map(({ id }) => mapKey(id)));
    await this.delete([...old.values()].map(({ id }) => id).filter((id) => !stays.has(mapKey(id))));
    const { rule } = this.#options;
    await this.replace(
      staying.flatMap((record) => {
        const known = old.get(mapKey(record.id)) as StoredRecord;
        return recordDifference(record, known, rule) === null ? [] : [{ record, old: known }];
      }),
    );
    await this.add(records.filter(({ id }) => wanted.has(mapKey(id)) && !stays.has(mapKey(id))));
    const difference = (await this.differences(records))[0];
    if (difference !== undefined) throw new CopyFailed(describe(difference));
  }

  /** How its records differ from these, after a repair of doubles that the server read as a neighbour. */
  async differences(records: readonly StoredRecord[]): Promise<Difference[]> {
    const { rule } = this.#options;
    let open = records;
    const attempts = new Map<string, number>();
    for (let attempt = 0; ; attempt++) {
      const found = await this.records(open.map(({ id }) => id));
      const different = open.flatMap((record) => {
        const copy = found.get(mapKey(record.id));
        const field = copy === undefined ? 'record' : recordDifference(record, copy, rule);
        return field === null ? [] : [{ record, copy, field }];
      });
      const fixes = different.flatMap(({ record, copy, field }) => {
        const metadata = field === 'metadata' && copy ? nextDoubles(record, copy, attempts) : null;
        return metadata === null ? [] : [{ ...record, metadata }];
      });
      if (fixes.length === 0 || attempt === DOUBLE_ATTEMPTS_MAX)
        return different.map(({ record: { id }, field }) => ({ id, field }));
      await this.#mutate(recordsRequest(this.location, 'upsert', recordsBody(fixes)));
      const fixed = new Set(fixes.map(({ id }) => mapKey(id)));
      const rest = different.filter(({ record }) => !fixed.has(mapKey(record.id)));
      if (rest.length > 0) return rest.map(({ record: { id }, field }) => ({ id, field }));
      open = different.map(({ record }) => record);
    }
  }

  /** Throws CopyFailed unless the server has done it: a call without a response may be executed later. */
  async #mutate(request: NodeMutation): Promise<void> {
    const { client, clock, term } = this.#options;
    const over = new AbortController();
    const beforeLast = (): void => {
      if (!term.held()) throw new TermOver();
    };
    const late = sleep(clock, CALL_MS_MAX, over.signal).then((): never => {
      throw new CopyFailed('a call did not end in time');
    });
    late.catch(() => undefined);
    try {
      const call = Promise.race([client.mutate({ ...request, beforeLast }), late]);
      const response = await orAborted(call, term.signal, () => new TermOver());
      if (isSuccess(response)) return;
      const text = response.body.toString('utf8', 0, 300);
      const { status } = response;
      throw new CopyFailed(`${request.operation}: HTTP ${status}: ${text}`, { status });
    } catch (error) {
      if (error instanceof CopyFailed || error instanceof TermOver) throw error;
      if (term.signal.aborted) throw new TermOver();
      throw new CopyFailed(`${request.operation}: ${(error as Error).message}`, { cause: error });
    } finally {
      over.abort();
    }
  }
}

/** A record that differs from the donor's, and in what. */
export interface Difference {
  readonly id: string;
  readonly field: string;
}

export function describe({ id, field }: Difference): string {
  return field === 'record' ? `record "${id}" is missing` : `the ${field} of record "${id}" differs`;
}

/** Metadata with other texts for the doubles that differ, to be merged; null when there is none to try. */
function nextDoubles(
  { id, metadata }: StoredRecord,
  copy: StoredRecord,
  attempts: Map<string, number>,
): Buffer | null {
  const present = new Map(membersOf(copy.metadata).map(({ name, value }) => [name, elements(value)]));
  const changed = membersOf(metadata).flatMap(({ name, value }) => {
    let isChanged = false;
    const texts = elements(value).map((text, index) => {
      if (!isDoubleText(text)) return text;
      const key = mapKey(JSON.stringify([id, name, index]));
      const known = attempts.get(key) ?? 0;
      const attempt = text === present.get(name)?.[index] ? known : known + 1;
      attempts.set(key, attempt);
      isChanged ||= attempt > known;
      return doubleTexts(text)[attempt] ?? text;
    });
    if (!isChanged) return [];
    return [`"${name}":${value[0] === ARRAY_OPEN ? `[${texts.join(',')}]` : texts[0]}`];
  });
  return changed.length === 0 ? null : Buffer.from(`{${changed.join(',')}}`);
}

/** The texts of an array's elements, or the one text of another value. */
function elements(value: Buffer): string[] {
  if (value[0] !== ARRAY_OPEN) return [value.toString()];
  const ends = elementEnds(value, 0);
  return ends.map((end, index) => value.subarray(elementStart(0, ends, index), end).toString());
}

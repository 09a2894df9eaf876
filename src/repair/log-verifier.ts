// A node whose process has been replaced may have lost the end of what it had applied: a power cut, a folder put back
// from a copy. Its marker, kept in the same sqlite file and committed in order, vouches for everything before it
// (nodes/marker.ts). What the log holds after the marker and up to the checkpoint is looked up here id by id, and each
// shard touched is asked for a record by its own vector: a server may count right and yet have lost its index.

import { readMarker } from '../nodes/marker.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import type { VerificationFailure } from '../nodes/node.ts';
import { LogDamaged, LogTrimmed, type Entry } from '../log/entry.ts';
import type { HeldShard } from '../replication/checkpoints.ts';
import type { Decision, Decisions } from '../replication/decisions.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { needsDecision } from '../chroma/protocol/operation.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { mapKey } from '../util/map-key.ts';
import { contentOf, Expectation, sameVector, type ExpectedRecord, type SentContent } from './expectation.ts';
import {
  collectionRequest,
  countRecordsRequest,
  databaseRequest,
  getRecordsRequest,
  queryRecordsRequest,
  type NodeRead,
} from '../chroma/protocol/node-requests.ts';
import { collectionIdIn } from '../chroma/protocol/response-effect.ts';

export interface LogVerifierOptions {
  /** Only read from. */
  readonly client: NodeClient;
  readonly clock: Clock;
  /** The node's durable checkpoint, asked when none is on its way any more. */
  readonly checkpoint: () => Promise<number>;
  readonly held: () => Promise<ReadonlyMap<string, HeldShard>>;
  readonly log: { read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]> };
  /** It could not be told because of the log: the node is not at fault. */
  readonly onDamaged: (damage: LogDamaged) => void;
  /** LSN the log ends at. */
  readonly head: () => Promise<number>;
  readonly decisions: Pick<Decisions, 'find' | 'idPages' | 'exception' | 'isQuarantined'>;
  /** Entries a round holds at most: as many may have been applied beyond the checkpoint. */
  readonly roundEntriesMax: number;
  /** Makes a shard suspect, durably, and known to those who choose nodes for reads (I8). */
  readonly suspect: (shard: string, reason: string) => Promise<void>;
}

// A busy machine may keep a read waiting; a node that answers none of them is not used meanwhile.
const DEADLINE_MS = 30_000;
const PAGE_ENTRIES = 512;
const PAGE_BYTES = 16 * 1024 * 1024;
// Far below the 32,766 ids on which servers fail (docs/chroma-behaviour.md#order-and-scanning), and no long answer even with vectors.
const IDS_PER_READ = 500;
// A marker is written every second; a node writes some thousand records in one. Beyond this, about 100 MB of ids, the
// marker is so old that making the node anew is the quicker way.
const RECORDS_MAX = 1_000_000;
// A server just started may answer 500 while it loads; one that goes on with it has lost the collection.
const TRIES_MAX = 3;
// The index is approximate and may miss a record by its own vector; one that is sound does not miss all of some.
const SAMPLES = 5;
const NEAR = 1e-3;
const PAUSE_MS = 200;

export class LogVerifier {
  readonly #options: LogVerifierOptions;

  constructor(options: LogVerifierOptions) {
    this.#options = options;
  }

  /** Null when the node may be used, its unsound shards made suspect; otherwise why not. Never throws. */
  async verify(): Promise<VerificationFailure | null> {
    try {
      return await this.#verify();
    } catch (error) {
      if (error instanceof LogDamaged) this.#options.onDamaged(error);
      if (error instanceof LogTrimmed) return lost(error.message);
      return {
        contentLost: false,
        reason: `not verified: ${error instanceof Error ? error.message : String(error)}`,
      };
    }
  }

  async #verify(): Promise<VerificationFailure | null> {
    const { client, checkpoint, held: holdings, suspect, roundEntriesMax } = this.#options;
    const from = (await readMarker(client, DEADLINE_MS))?.marker.progress?.checkpoint ?? 0;
    const to = await checkpoint();
    const head = await this.#options.head();
    const held = await holdings();
    const expectation = new Expectation((shard) => held.get(shard));
    for await (const entry of this.#entries(from, to)) {
      if (this.#options.decisions.isQuarantined(entry.lsn)) continue;
      const decision = await this.#decision(entry);
      expectation.applied(entry, decision, await this.#selected(entry, decision));
      if (expectation.records > RECORDS_MAX)
        return lost(`its marker, at LSN ${from}, is too old to verify the rest`);
    }
    const touched = new Set(expectation.shards.keys());
    for await (const entry of this.#entries(to, Math.min(head, to + roundEntriesMax))) {
      if (toOperation(entry).type === 'records') touched.add(entry.target as string);
      expectation.uncertain(entry);
    }

    const failure = await this.#names(expectation, held);
    if (failure !== null) return failure;
    const found = await this.#records(expectation, held, from, to);
    for (const shard of touched) {
      const target = held.get(shard);
      if (found.has(shard) || target === undefined) continue;
      const fault = await this.#index(target);
      if (fault !== null) found.set(shard, fault);
    }
    const faults = [...found].filter(([shard]) => held.get(shard)?.suspect === null);
    await Promise.all(faults.map(([shard, reason]) => suspect(shard, reason)));
    return null;
  }

  async *#entries(from: number, to: number): AsyncGenerator<Entry> {
    for (let at = from; at < to;) {
      const page = await this.#options.log.read(at, Math.min(PAGE_ENTRIES, to - at), PAGE_BYTES);
      if (page.length === 0) return;
      yield* page;
      at = (page.at(-1) as Entry).lsn;
    }
  }

  async #decision(entry: Entry): Promise<Decision | null> {
    const { decisions } = this.#options;
    return needsDecision(toOperation(entry)) ? decisions.find(entry.lsn) : decisions.exception(entry.lsn);
  }

  /** The ids that a conditional delete selected; at most as many as are verified. */
  async #selected({ kind }: Entry, decision: Decision | null): Promise<string[]> {
    const ids: string[] = [];
    if (kind !== 'delete_where' || decision?.outcome !== 'accepted') return ids;
    for await (const page of this.#options.decisions.idPages(decision)) {
      for (const id of page) ids.push(id);
      if (ids.length > RECORDS_MAX) break;
    }
    return ids;
  }

  /** A missing or surplus collection is no matter of one shard: names are how nodes are spoken to. */
  async #names(expectation: Expectation, held: ReadonlyMap<string, HeldShard>): Promise<VerificationFailure | null> {
    const { client } = this.#options;
    for (const { tenant, database, name, shard } of expectation.names) {
      const place = { tenant, database };
      if (name === null) {
        const { status } = await this.#answered(() => client.read({ ...databaseRequest(place), deadlineMs: DEADLINE_MS }));
        if ((status === 200) === (shard !== null)) continue;
        return lost(`database "${database}" is ${status === 200 ? 'still there' : 'missing'}`);
      }
      const found = await this.#answered(() => client.read({ ...collectionRequest(place, name), deadlineMs: DEADLINE_MS }));
      const physical = collectionIdIn(found);
      const expected = shard === null ? null : (held.get(shard)?.physical ?? null);
      if (physical !== expected) return lost(`collection "${name}" is not what the log has made of it`);
    }
    return null;
  }

  /** The reason for each shard in which a record is not what the log says. */
  async #records(
    expectation: Expectation,
    held: ReadonlyMap<string, HeldShard>,
    from: number,
    to: number,
  ): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const batch = new Map<string, Map<string, ExpectedRecord & Partial<SentContent>>>();
    const look = async (shard: string): Promise<void> => {
      const records = batch.get(shard);
      batch.delete(shard);
      const target = held.get(shard);
      if (records === undefined || target === undefined || found.has(shard)) return;
      const fault = await this.#compare(target, records);
      if (fault !== null) found.set(shard, fault);
    };
    for await (const entry of this.#entries(from, to)) {
      const operation = toOperation(entry);
      if (operation.type !== 'records') continue;
      const { shard, call } = operation;
      const content = contentOf(operation);
      const ids = call.conditional ? idsAt(expectation.shards.get(shard), entry.lsn) : call.ids;
      for (const id of ids) {
        const key = mapKey(id);
        const expected = expectation.shards.get(shard)?.get(key);
        if (expected?.lsn !== entry.lsn) continue;
        const records = batch.get(shard) ?? new Map<string, ExpectedRecord & Partial<SentContent>>();
        batch.set(shard, records.set(key, { ...expected, ...content.get(key) }));
        if (records.size >= IDS_PER_READ) await look(shard);
      }
    }
    for (const shard of batch.keys()) await look(shard);
    return found;
  }

  async #compare(
    target: HeldShard,
    records: ReadonlyMap<string, ExpectedRecord & Partial<SentContent>>,
  ): Promise<string | null> {
    const ids = [...records.values()].map(({ id }) => id);
    const include = ['documents', 'embeddings'] as const;
    const request = getRecordsRequest(target, { ids, include });
    const answer = await this.#answered(() =>
      this.#options.client.read({ ...request, deadlineMs: DEADLINE_MS }),
    );
    if (answer.status !== 200) return `cannot be read after a restart: HTTP ${answer.status}`;
    const read = JSON.parse(answer.body.toString()) as ReadRecords;
    const at = new Map(read.ids.map((id, index) => [mapKey(id), index]));
    for (const [key, { id, lsn, present, document, embedding }] of records) {
      const index = at.get(key);
      if (present === (index === undefined)) {
        return `lost LSN ${lsn}: record "${id}" is ${present ? 'missing' : 'still there'}`;
      }
      if (index === undefined) continue;
      const sameDocument = document === undefined || document === read.documents[index];
      const sameEmbedding = embedding === undefined || sameVector(embedding, read.embeddings[index] ?? []);
      if (!sameDocument || !sameEmbedding) return `lost LSN ${lsn}: record "${id}" has older content`;
    }
    return null;
  }

  /** Asks a shard for one of its records by that record's own vector. */
  async #index(target: HeldShard): Promise<string | null> {
    const { client } = this.#options;
    const read = (request: NodeRead): Promise<NodeResponse> => client.read({ ...request, deadlineMs: DEADLINE_MS });
    const count = await this.#answered(() => read(countRecordsRequest(target)));
    if (count.status !== 200) return `cannot be counted after a restart: HTTP ${count.status}`;
    if (count.body.toString() === '0') return null;
    const some = await this.#answered(() =>
      read(getRecordsRequest(target, { limit: SAMPLES, include: ['embeddings'] })),
    );
    if (some.status !== 200) return `cannot be read after a restart: HTTP ${some.status}`;
    const { ids, embeddings } = JSON.parse(some.body.toString()) as ReadRecords;
    const query = { query_embeddings: embeddings, n_results: 1, include: ['distances'] as const };
    const asked = await this.#answered(() => read(queryRecordsRequest(target, query)));
    if (asked.status !== 200) return `cannot be queried after a restart: HTTP ${asked.status}`;
    const { distances } = JSON.parse(asked.body.toString()) as { distances: number[][] };
    const found = embeddings.some((vector, index) => isNear(vector, distances[index]?.[0]));
    return found ? null : `no record is found by its own vector after a restart, "${ids[0]}" among them`;
  }

  async #answered<Answer extends Pick<NodeResponse, 'status' | 'body'>>(
    ask: () => Promise<Answer>,
  ): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      const answer = await ask();
      if (answer.status < 500 || tries === TRIES_MAX) return answer;
      await sleep(this.#options.clock, PAUSE_MS);
    }
  }
}

interface ReadRecords {
  ids: string[];
  documents: (string | null)[];
  embeddings: number[][];
}

/**
 * Whether the nearest found is as near as the record asked for is to itself, in whichever space: 0, or for inner
 * products 1 - |v|². Others may be as near, or have the same vector.
 */
function isNear(vector: readonly number[], nearest: number | undefined): boolean {
  const square = vector.reduce((sum, component) => sum + component * component, 0);
  return nearest !== undefined && nearest <= Math.max(0, 1 - square) + NEAR * Math.max(1, square);
}

function lost(reason: string): VerificationFailure {
  return { contentLost: true, reason: `the node came back with older content: ${reason}` };
}

function idsAt(records: ReadonlyMap<string, ExpectedRecord> | undefined, lsn: number): string[] {
  return [...(records?.values() ?? [])].filter((expected) => expected.lsn === lsn).map(({ id }) => id);
}

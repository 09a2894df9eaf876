// Verifies a node whose process was replaced: it may have lost the end of what it had applied, for example in a power
// failure or because its folder was restored from a copy. The marker, stored in the same sqlite file and committed in
// order, proves everything before it (nodes/marker.ts). The entries after the marker up to the checkpoint are compared id
// by id, and the vector index of each changed shard is checked: Chroma can count correctly after it lost its index.

import type { NodeClient } from '../chroma/client/node-client.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import { collectionRequest, databaseRequest, type NodeRead } from '../chroma/protocol/node-requests.ts';
import { needsDecision } from '../chroma/protocol/operation.ts';
import { collectionIdIn } from '../chroma/protocol/response-effect.ts';
import { LogDamaged, LogTrimmed, type Entry } from '../log/entry.ts';
import { readMarker } from '../nodes/marker.ts';
import { IntroductionLost } from '../nodes/admission.ts';
import type { VerificationFailure } from '../nodes/node.ts';
import type { AssignedShard } from '../replication/checkpoints.ts';
import { selectedCount, type Decision, type Decisions } from '../replication/decisions.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { Expectation, type ExpectedName, type SelectedIds } from './expectation.ts';
import { RecordFaults } from './record-faults.ts';
import { indexFault } from './shard-check.ts';

export interface LogVerifierOptions {
  /** Used for reads only. */
  readonly client: NodeClient;
  readonly clock: Clock;
  /** The durable checkpoint of the node; resolves when no checkpoint is being written. */
  readonly checkpoint: () => Promise<number>;
  /** The shards assigned to the node. */
  readonly assigned: () => Promise<ReadonlyMap<string, AssignedShard>>;
  readonly log: { read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]> };
  /** Called when the log is damaged: verification fails, and the node is not at fault. */
  readonly onDamaged: (damage: LogDamaged) => void;
  readonly head: () => Promise<number>;
  readonly decisions: Pick<Decisions, 'find' | 'idPages' | 'exception' | 'isQuarantined'>;
  /** Maximum entries of a round: so many may have been applied beyond the checkpoint. */
  readonly roundEntriesMax: number;
  /** LSN up to which entries of the shard may have been sent to the node; Infinity when that is not known. */
  readonly sentTo: (shard: string) => number;
  /** Makes a shard suspect, durably, before any read is served from it (I8). */
  readonly markSuspect: (shard: string, reason: string) => Promise<void>;
  /**
   * Called when the node was verified, with the LSN that it must apply before it serves; 0: none. Up to there it may show an
   * entry that is not certain to be applied, or may have lost a record that this entry changes.
   */
  readonly onVerified: (minServingLSN: number) => void;
  /** Whether the collection with this id on the node is a copy of ours that is not in use. */
  readonly isAside: (physical: string) => Promise<boolean>;
}

/** The range of the log to verify: after the marker, up to the checkpoint. */
interface LogRange {
  readonly from: number;
  readonly to: number;
}

// A busy machine may delay a read. A node that responds to none of them is not used meanwhile.
const DEADLINE_MS = 30_000;
const PAGE_ENTRIES = 512;
const PAGE_BYTES = 16 * 1024 * 1024;
// A marker is written every second, in which a node applies some thousand records. With more than this, about 100 MB of
// ids, the marker is so old that a rebuild is faster.
const RECORDS_MAX = 1_000_000;
// A server that has just started may respond with 500 while it loads; one that continues to has lost the collection.
const ATTEMPTS_MAX = 3;
const PAUSE_MS = 200;

export class LogVerifier {
  readonly #options: LogVerifierOptions;

  constructor(options: LogVerifierOptions) {
    this.#options = options;
  }

  /** Null when the node may be used; its faulty shards are then suspect. Otherwise the reason. Never throws. */
  async verify(): Promise<VerificationFailure | null> {
    try {
      return await this.#verify();
    } catch (error) {
      if (error instanceof LogDamaged) this.#options.onDamaged(error);
      if (error instanceof LogTrimmed || error instanceof IntroductionLost) return contentLost(error.message);
      return {
        contentLost: false,
        reason: `not verified: ${error instanceof Error ? error.message : String(error)}`,
      };
    }
  }

  async #verify(): Promise<VerificationFailure | null> {
    const { client, checkpoint, markSuspect, roundEntriesMax, sentTo } = this.#options;
    const marker = (await readMarker(client, DEADLINE_MS))?.marker;
    const from = marker?.progress?.checkpoint ?? 0;
    const range: LogRange = { from, to: await checkpoint() };
    const head = await this.#options.head();
    const assigned = await this.#options.assigned();
    const expectation = new Expectation((shard) => assigned.get(shard) ?? null);
    for await (const entry of this.#entries(range)) {
      if (this.#options.decisions.isQuarantined(entry.lsn)) continue;
      // The copy was made at a later LSN, and its last call came before the marker that is compared below.
      if (entry.lsn <= (assigned.get(entry.target ?? '')?.fromLSN ?? 0)) continue;
      const decision = await this.#decision(entry);
      await expectation.applied(entry, decision, this.#selectedIds(entry, decision));
      if (expectation.recordCount > RECORDS_MAX)
        return contentLost(`its marker, at LSN ${from}, is too old to verify the rest`);
    }
    const changed = new Set(expectation.shards.keys());
    for await (const entry of this.#entries({
      from: range.to,
      to: Math.min(head, range.to + roundEntriesMax),
    })) {
      if (toOperation(entry).type === 'records') {
        const shard = entry.target as string;
        changed.add(shard);
        // What was never sent explains nothing.
        if (entry.lsn > sentTo(shard)) continue;
      }
      const decision = await this.#decision(entry);
      // R6: nothing is deleted before the selection is recorded, and nothing at all when it is refused.
      const isWithoutEffect = decision === null || decision.outcome === 'refused';
      if (entry.kind === 'delete_where' && isWithoutEffect) continue;
      await expectation.uncertain(entry, this.#selectedIds(entry, decision));
    }

    const failure = await this.#nameFailure(expectation.names, assigned);
    if (failure !== null) return failure;
    const compared = await this.#compareRecords(expectation, assigned, range);
    const faults = await compared.finish();
    for (const [shard, { copy }] of assigned) {
      // R28: the server's sqlite file may have been rolled back to before the copy was complete.
      if (copy > (marker?.copies ?? 0)) faults.set(shard, "the node's content is older than this copy");
    }
    for (const shard of changed) {
      const target = assigned.get(shard);
      if (faults.has(shard) || target === undefined) continue;
      const fault = await indexFault(this.#read, target);
      if (fault !== null) faults.set(shard, fault);
    }
    const found = [...faults].filter(([shard]) => assigned.get(shard)?.suspect === null);
    await Promise.all(found.map(([shard, reason]) => markSuspect(shard, reason)));
    let minServingLSN = 0;
    for (const [shard, { suspect }] of assigned) {
      if (suspect !== null || faults.has(shard)) continue;
      minServingLSN = Math.max(
        minServingLSN,
        compared.lastLater(shard),
        expectation.uncompared.get(shard) ?? 0,
      );
    }
    this.#options.onVerified(minServingLSN);
    return null;
  }

  async *#entries({ from, to }: LogRange): AsyncGenerator<Entry> {
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

  /** The ids that a conditional delete selected; null for other entries, and while it is not decided. */
  #selectedIds({ kind }: Entry, decision: Decision | null): SelectedIds | null {
    if (kind !== 'delete_where' || decision?.outcome !== 'accepted') return null;
    return { count: selectedCount(decision), pages: () => this.#options.decisions.idPages(decision) };
  }

  /** Names address every later call, so one wrong name makes the whole node unusable, not only a shard. */
  async #nameFailure(
    names: readonly ExpectedName[],
    assigned: ReadonlyMap<string, AssignedShard>,
  ): Promise<VerificationFailure | null> {
    for (const { tenant, database, name, shard } of names) {
      const place = { tenant, database };
      if (name === null) {
        // A deleted one stays while collections in it are being emptied.
        if (shard === null) continue;
        const { status } = await this.#read(databaseRequest(place));
        if (status === 200) continue;
        return contentLost(`database "${database}" is missing`);
      }
      const copy = shard === null ? null : (assigned.get(shard) ?? null);
      // It serves nothing, and every call of its rebuild goes to another collection.
      if (copy !== null && copy.suspect !== null) continue;
      const physical = collectionIdIn(await this.#read(collectionRequest(place, copy?.name ?? name)));
      if (copy === null && physical !== null && (await this.#options.isAside(physical))) continue;
      if (physical !== (copy?.physical ?? null))
        return contentLost(`collection "${name}" does not have the id that the log implies`);
    }
    return null;
  }

  /** Reads the log again, because it contains the content. */
  async #compareRecords(
    expectation: Expectation,
    assigned: ReadonlyMap<string, AssignedShard>,
    range: LogRange,
  ): Promise<RecordFaults> {
    const entryAt = async (lsn: number): Promise<Entry | null> =>
      (await this.#options.log.read(lsn - 1, 1, 1))[0] ?? null;
    const records = new RecordFaults({ read: this.#read, expectation, assigned, entryAt });
    for await (const entry of this.#entries(range)) {
      const isSelection = entry.kind === 'delete_where';
      await records.add(entry, isSelection ? this.#selectedIds(entry, await this.#decision(entry)) : null);
    }
    return records;
  }

  readonly #read = async (request: NodeRead): Promise<NodeResponse> => {
    for (let attempts = 1; ; attempts++) {
      const response = await this.#options.client.read({ ...request, deadlineMs: DEADLINE_MS });
      if (response.status < 500 || attempts === ATTEMPTS_MAX) return response;
      await sleep(this.#options.clock, PAUSE_MS);
    }
  };
}

function contentLost(reason: string): VerificationFailure {
  return { contentLost: true, reason: `the node came back with older content: ${reason}` };
}

// The invariants of docs/invariants.md as a simulated cluster can observe them: on every change of PostgreSQL, every call
// that leaves a gateway, every call that a server executes, and every response to a client.

import type { FakePostgres } from '../../support/fake-postgres/server.ts';
import {
  keyOf,
  type DecisionRow,
  type LogRow,
  type NodeShardRow,
  type NodeTableRow,
} from '../../support/fake-postgres/tables.ts';
import type { FakeChroma } from '../../support/fake-chroma/server.ts';
import { busyMsMax, isReserved, type ChromaProcess, type Lateness, type NodeCall } from './chroma-process.ts';
import { NotDecided, type ExpectedContent } from './expected-content.ts';
import { colorOf } from './plan.ts';
import { contentOn, documentsIn, hasMarkerOf, isEqual, shownContent } from './node-content.ts';
import type { Exemptions } from './exemptions.ts';
import { RECORD_CALL, SentCalls } from './sent-calls.ts';
import { Violation } from './violation.ts';

/** What happened longer ago explains no silence of a node, ms. */
const UNDISTURBED_MS = 3_000;

export interface InvariantOptions {
  readonly postgres: FakePostgres;
  readonly expected: ExpectedContent;
  readonly exemptions: Pick<Exemptions, 'has' | 'ended'>;
  readonly server: (node: string) => ChromaProcess;
  /** When something other than a long call was inflicted or repaired last. */
  readonly disturbedAtMs: () => number;
  /** Gateways that may send calls to nodes, each by its own clock. */
  readonly leaders: () => readonly string[];
  readonly nowMs: () => number;
  /** Whether a gateway or the marker of a node knows of entries that were lost with a server of PostgreSQL. */
  readonly isLossKnown: (lsn: number) => boolean;
  readonly report: (violation: Violation) => void;
}

export class Invariants {
  readonly #options: InvariantOptions;
  #head = 0;
  readonly #batches = new Map<number, string>();
  /** Rows of a table are never changed: another object is another decision. */
  readonly #decisions = new Map<number, DecisionRow>();
  /** By node and incarnation. */
  readonly #checkpoints = new Map<string, number>();
  /** As they were checked last. */
  readonly #nodes = new Map<string, NodeTableRow>();
  readonly #swapped = new Map<string, string>();
  /** The LSN of each document that the log holds: no two writes of clients have the same. */
  readonly #documents = new Map<string, number>();
  readonly #sent = new SentCalls();
  /** Highest LSN of which a server has executed something, or a client has heard. */
  #seen = 0;
  /** Copies on which a document of a client was executed, by document: node and physical id. */
  readonly #executed = new Map<string, Set<string>>();
  /** The newest entry with documents that was executed on each copy, and the first one of its call. */
  readonly #newest = new Map<
    string,
    { readonly lsn: number; readonly first: number; readonly atMs: number }
  >();
  /** By copy, how far earlier leaders and the present one may have come: the head when it executed a call last. */
  readonly #offered = new Map<string, { epoch: number; head: number; earlierHead: number }>();
  #epoch = 0;
  readonly #sentAtMs = new WeakMap<NodeCall, number>();
  /** By copy, when the newest call was sent that it has executed, ms. */
  readonly #newestSentMs = new Map<string, number>();
  /** Copies that a delayed call may have changed: they must be found, not prevented. By node and physical id. */
  readonly #tainted = new Set<string>();
  /** Collections that had one. */
  readonly #taintedCollections = new Set<string>();
  /** Content that lost its last writes, until its node serves again: a checkpoint may be recorded later than the loss. */
  readonly #rolledBack = new WeakSet<FakeChroma>();
  /** A promoted standby of PostgreSQL lacked something that was committed. */
  #hasLostEntries = false;

  constructor(options: InvariantOptions) {
    this.#options = options;
  }

  /** Entries were lost with the server of PostgreSQL: only what follows is compared. */
  logLost(): void {
    const { tables } = this.#options.postgres;
    this.#hasLostEntries = true;
    this.#head = tables.head.lsn;
    this.#decisions.clear();
    for (const [lsn, row] of tables.decisions) this.#decisions.set(lsn, row);
    this.#checkpoints.clear();
    for (const [id, row] of tables.nodes) {
      this.#checkpoints.set(keyOf(id, row.resets), row.checkpoint);
      // A state of before the loss is none that the node has changed to.
      this.#nodes.set(id, row);
    }
  }

  /** After each statement that may have changed something. */
  changed(): void {
    this.#check(() => {
      this.#checkLease();
      this.#checkLog();
      this.#checkDecisions();
      this.#checkNodes();
    });
  }

  /** The process of a gateway has ended, and with it its connections. */
  gatewayKilled(gateway: string): void {
    this.#sent.gatewayKilled(gateway);
  }

  /** A server has lost the last writes of its disk; it is verified before it is used again. */
  rolledBack({ chroma }: ChromaProcess): void {
    this.#rolledBack.add(chroma);
  }

  /** A client has the response to a write. */
  acknowledged(lsn: number, level: string, document: string | null): void {
    this.#check(() => {
      const { tables } = this.#options.postgres;
      this.#seen = Math.max(this.#seen, lsn);
      if (!this.#hasLostEntries && !tables.log.has(lsn))
        throw new Violation('I3', `LSN ${lsn} was acknowledged and is not in the log`);
      if (!this.#hasLostEntries && document !== null && this.#documents.get(document) !== lsn)
        throw new Violation('I3', `"${document}" was acknowledged at LSN ${lsn}, which is another entry`);
      const target = tables.log.get(lsn)?.target ?? null;
      if (document === null || target === null || level === 'log') return;
      this.#checkLevel(lsn, level, target);
    });
  }

  /** A mutating call leaves a gateway; returns what is to be called when it has a response or its connection has ended. */
  sent(call: NodeCall): () => void {
    this.#sentAtMs.set(call, this.#options.nowMs());
    this.#check(() => {
      const { holder } = this.#options.postgres.tables.lease;
      // A promoted standby may name an earlier holder, until the present one renews its lease.
      const isForeign = holder !== null && holder !== call.gateway && !this.#hasLostEntries;
      if (!isReserved(call) && isForeign)
        throw new Violation('I7', `${call.gateway} sends ${call.path} while ${holder} holds the lease`);
      this.#sent.check(call, this.#options.nowMs());
    });
    return this.#sent.begin(call);
  }

  executing(server: ChromaProcess, call: NodeCall, { isLate = false, delayedSinceMs }: Lateness): void {
    if (!call.mutates || isReserved(call)) return;
    this.#check(() => {
      this.#checkIdentity(server, call);
      this.#checkSettling(server, call, delayedSinceMs ?? null);
      const { holder } = this.#options.postgres.tables.lease;
      const physical = RECORD_CALL.exec(call.path)?.[1] ?? '';
      const isOfEarlierTerm = isLate || (holder !== null && holder !== call.gateway);
      this.#noteOrder(server.id, call, isOfEarlierTerm);
      this.#noteOffered(keyOf(server.id, physical), isOfEarlierTerm);
      // A copy in the making is not in use, and is compared when it is put into use (I13): its donor may become suspect.
      const isAside =
        this.#options.postgres.tables.nodeShards.get(keyOf(server.id, physical))?.state === 'building';
      for (const document of documentsIn(call.body)) {
        if (!isAside && !this.#documents.has(document))
          throw new Violation('I2', `${server.id} is given "${document}", which the log does not hold`);
        const copies = this.#executed.get(document) ?? new Set();
        this.#executed.set(document, copies.add(keyOf(server.id, physical)));
      }
    });
  }

  #noteOffered(copy: string, isOfEarlierTerm: boolean): void {
    const { lease, head } = this.#options.postgres.tables;
    const { epoch } = lease;
    const earlierHead = isOfEarlierTerm ? head.lsn : this.#earlierHead(copy);
    this.#offered.set(copy, { epoch, head: head.lsn, earlierHead });
  }

  /** A call of an earlier term does harm only after a newer one. */
  #noteOrder(node: string, call: NodeCall, isOfEarlierTerm: boolean): void {
    const physical = /collections\/([^/]+)/.exec(call.path)?.[1];
    if (physical === undefined) return;
    const copy = keyOf(node, physical);
    const sentAtMs = this.#sentAtMs.get(call) ?? this.#options.nowMs();
    const newestMs = this.#newestSentMs.get(copy) ?? 0;
    if (isOfEarlierTerm && sentAtMs < newestMs) this.#taint(node, physical);
    this.#newestSentMs.set(copy, Math.max(newestMs, sentAtMs));
  }

  /** The head when a call of an earlier leader changed the copy last. */
  #earlierHead(copy: string): number {
    const offered = this.#offered.get(copy);
    if (offered === undefined) return 0;
    const isOfEarlierLeader = offered.epoch !== this.#options.postgres.tables.lease.epoch;
    return isOfEarlierLeader ? Math.max(offered.head, offered.earlierHead) : offered.earlierHead;
  }

  /** A delayed duplicate within the settling time is executed before any later entry of its copy. */
  #checkSettling(server: ChromaProcess, { path, body }: NodeCall, delayedSinceMs: number | null): void {
    const lsns = documentsIn(body).map((each) => this.#documents.get(each) ?? 0);
    if (lsns.length === 0) return;
    const lsn = Math.max(...lsns);
    const copy = keyOf(server.id, RECORD_CALL.exec(path)?.[1] ?? '');
    const newest = this.#newest.get(copy);
    if (newest === undefined || newest.lsn < lsn)
      this.#newest.set(copy, { lsn, first: Math.min(...lsns), atMs: this.#options.nowMs() });
    // A call for several entries is repeated for each of them: the newer one is sent again after the older.
    else if (delayedSinceMs !== null && newest.first > lsn && newest.atMs > delayedSinceMs)
      throw new Violation(
        'I4',
        `${server.id} was sent LSN ${newest.lsn} while LSN ${lsn} may still be executed`,
      );
  }

  /** I7: when a gateway has the lease, no other one considers itself the leader. */
  #checkLease(): void {
    const { postgres, leaders } = this.#options;
    const { epoch, holder } = postgres.tables.lease;
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    // A standby that lacks an acquisition may give the lease to another gateway meanwhile.
    if (this.#hasLostEntries) return;
    const other = leaders().find((each) => each !== holder);
    if (other !== undefined)
      throw new Violation('I7', `${other} leads by its clock when ${holder} acquires the lease`);
  }

  /** Whether a delayed call may have changed the copy. */
  isTainted(node: string, physical: string): boolean {
    return this.#tainted.has(keyOf(node, physical));
  }

  /** Whether a delayed call may have changed a copy of the collection, at any time. */
  wasTainted(collection: string): boolean {
    return this.#taintedCollections.has(collection);
  }

  #taint(node: string, physical: string): void {
    const { nodeShards, shards } = this.#options.postgres.tables;
    const copy = keyOf(node, physical);
    this.#tainted.add(copy);
    const collection = shards.get(nodeShards.get(copy)?.shard ?? '')?.collection;
    if (collection !== undefined) this.#taintedCollections.add(collection);
  }

  #checkLog(): void {
    const { tables } = this.#options.postgres;
    const { lsn, rewound } = tables.head;
    if (rewound !== null && !this.#hasLostEntries)
      throw new Violation('I16', `nothing is appended any more, and nothing was lost: ${rewound}`);
    if (lsn < this.#head) throw new Violation('I1', `the head went back from ${this.#head} to ${lsn}`);
    for (let next = this.#head + 1; next <= lsn; next++) {
      const row = tables.log.get(next);
      if (row === undefined) throw new Violation('I1', `there is no entry at LSN ${next}`);
      const before = this.#batches.get(next);
      // An LSN that was lost with a server may be used again only while no client has seen it.
      if (
        before !== undefined &&
        before !== row.batch &&
        next <= this.#seen &&
        this.#options.isLossKnown(next)
      )
        throw new Violation('I1', `LSN ${next} is used twice, and was seen before`);
      this.#batches.set(next, row.batch);
      this.#checkDocuments(row);
    }
    if (tables.log.has(lsn + 1)) throw new Violation('I1', `there is an entry beyond the head ${lsn}`);
    this.#head = lsn;
  }

  /** No write is in the log twice: the token of a batch prevents that. */
  #checkDocuments({ lsn, kind, body }: LogRow): void {
    if (kind === 'delete' || kind === 'delete_where') return;
    for (const document of documentsIn(body.toString())) {
      const before = this.#documents.get(document);
      if (before !== undefined && before !== lsn && !this.#hasLostEntries)
        throw new Violation('I3', `"${document}" is in the log at LSN ${before} and LSN ${lsn}`);
      this.#documents.set(document, lsn);
    }
  }

  #checkDecisions(): void {
    const { tables } = this.#options.postgres;
    for (const [lsn, row] of tables.decisions) {
      const before = this.#decisions.get(lsn);
      if (before === row) continue;
      const { outcome } = row;
      const isEnd = tables.log.get(lsn)?.kind === 'delete_where' && outcome === 'quarantined';
      if (before !== undefined && !isEnd)
        throw new Violation(
          'I5',
          `LSN ${lsn} was decided twice: ${shownDecision(before)}, then ${shownDecision(row)}`,
        );
      this.#decisions.set(lsn, row);
      if (outcome === 'quarantined' || outcome === 'partly_applied') {
        this.#options.expected.forget();
        this.#checkEnded(lsn);
        this.#exemptKept(lsn);
      }
      if (outcome === 'accepted') this.#checkSelection(lsn);
    }
    if (this.#decisions.size === tables.decisions.size) return;
    for (const lsn of this.#decisions.keys())
      if (!tables.decisions.has(lsn)) throw new Violation('I5', `the decision of LSN ${lsn} is gone`);
  }

  /** A conditional delete selects what the log says that its filter matches. */
  #checkSelection(lsn: number): void {
    const { postgres, expected, exemptions } = this.#options;
    const entry = postgres.tables.log.get(lsn);
    if (entry?.kind !== 'delete_where' || exemptions.has(entry.target ?? '')) return;
    const collection = postgres.tables.shards.get(entry.target ?? '')?.collection ?? '';
    if (this.wasTainted(collection)) return;
    const { where_document: filter } = JSON.parse(entry.body.toString()) as {
      where_document: { $contains: string };
    };
    const before = expected.at(entry.target ?? '', lsn - 1);
    const after = expected.at(entry.target ?? '', lsn);
    const wanted = [...before].filter(([, value]) => colorOf(value) === filter.$contains).map(([id]) => id);
    const selected = [...before.keys()].filter((id) => !after.has(id));
    if (wanted.toSorted().join() !== selected.toSorted().join())
      throw new Violation(
        'I5',
        `LSN ${lsn} deletes ${selected.join()}, and its filter matches ${wanted.join()}`,
      );
  }

  /** R1: an entry that a node has applied is not ended afterwards. */
  #checkEnded(lsn: number): void {
    const { tables } = this.#options.postgres;
    const target = tables.log.get(lsn)?.target ?? '';
    for (const { id, checkpoint, removed } of tables.nodes.values()) {
      const copy = tables.currentCopy(id, target);
      if (!removed && checkpoint >= lsn && copy?.suspect === null && copy.from_lsn < lsn)
        throw new Violation('I16', `LSN ${lsn} was ended after ${id} had applied it`);
    }
  }

  /**
   * When every healthy copy shows the effect of an entry that has ended, the last one stays in use as it is. When only a
   * suspect copy had applied it, or a node that has lost its content, what clients saw of it is withdrawn (docs/guarantees.md).
   */
  #exemptKept(lsn: number): void {
    const { postgres, exemptions } = this.#options;
    const { kind, target, body } = postgres.tables.log.get(lsn)!;
    const copies = [...postgres.tables.nodeShards.values()].filter(
      (row) => row.shard === target && row.state === 'current',
    );
    const healthy = copies.filter(({ suspect }) => suspect === null);
    const documents = documentsIn(body.toString());
    const shows = (node: string, physical: string): boolean =>
      kind.startsWith('delete') ||
      documents.some((each) => this.#executed.get(each)?.has(keyOf(node, physical)) === true);
    const wasTaken = (postgres.tables.shards.get(target ?? '')?.taken_lsn ?? 0) >= lsn;
    const isWithdrawn =
      wasTaken || copies.some((each) => each.suspect !== null && shows(each.node, each.physical));
    if (target !== null && (isWithdrawn || healthy.every(({ node, physical }) => shows(node, physical))))
      exemptions.ended(target, postgres.tables);
  }

  #checkNodes(): void {
    const { tables } = this.#options.postgres;
    for (const row of tables.nodes.values()) {
      const { id, resets, checkpoint } = row;
      const last = this.#nodes.get(id);
      if (last === row) continue;
      this.#nodes.set(id, row);
      if (row.state === 'down' && last?.state !== 'down') this.#checkDown(row);
      if (row.state === 'serving' && last?.state !== 'serving') this.#checkServing(row);
      const key = keyOf(id, resets);
      const before = this.#checkpoints.get(key) ?? 0;
      if (checkpoint < before)
        throw new Violation('I4', `the checkpoint of ${id} went back from ${before} to ${checkpoint}`);
      this.#checkpoints.set(key, checkpoint);
      if (checkpoint > before) this.#checkApplied(id, before, checkpoint);
    }
    for (const row of tables.nodeShards.values()) {
      if (row.copy === 0 || row.state !== 'current') continue;
      const key = keyOf(row.node, row.shard);
      if (this.#swapped.get(key) === row.physical) continue;
      this.#swapped.set(key, row.physical);
      this.#compare(row, row.from_lsn, 'I13');
    }
  }

  /** A node that works on a call, within the bound of that call, is busy. */
  #checkDown({ id, reason }: NodeTableRow): void {
    const { postgres, server, nowMs, disturbedAtMs } = this.#options;
    const { isUp, busyCall } = server(id);
    if (!isUp || busyCall === null || busyCall.call.gateway !== postgres.tables.lease.holder) return;
    const isExplained =
      nowMs() - busyCall.sinceMs < busyMsMax(busyCall.call.body) &&
      busyCall.sinceMs > disturbedAtMs() + UNDISTURBED_MS;
    if (isExplained)
      throw new Violation(
        'I16',
        `${id} is called down (${reason ?? ''}) while it works on ${busyCall.call.body.slice(0, 200)}`,
      );
  }

  /** A node that begins to serve has what its checkpoint says, and may have applied more. */
  #checkServing({ id, checkpoint }: NodeTableRow): void {
    this.#rolledBack.delete(this.#options.server(id).chroma);
    for (const row of this.#options.postgres.tables.nodeShards.values())
      if (row.node === id && row.state === 'current')
        this.#compare(row, Math.max(checkpoint, row.from_lsn), 'I8', true);
  }

  /** What a checkpoint says is applied is on the node, exactly. Before the node serves, it is verified. */
  #checkApplied(node: string, before: number, checkpoint: number): void {
    const { tables } = this.#options.postgres;
    this.#seen = Math.max(this.#seen, checkpoint);
    if (tables.nodes.get(node)?.state !== 'serving') return;
    if (this.#rolledBack.has(this.#options.server(node).chroma)) return;
    const touched = new Set<string>();
    for (let lsn = before + 1; lsn <= checkpoint; lsn++) touched.add(tables.log.get(lsn)?.target ?? '');
    for (const row of tables.nodeShards.values())
      if (row.node === node && row.state === 'current' && touched.has(row.shard))
        this.#compare(row, Math.max(checkpoint, row.from_lsn), 'I1');
  }

  #compare(row: NodeShardRow, lsn: number, invariant: string, mayHaveMore = false): void {
    const { postgres, expected, exemptions, server } = this.#options;
    const { node, shard, physical, suspect } = row;
    if (suspect !== null || this.isTainted(node, physical) || exemptions.has(shard)) return;
    // Nothing is read from a deleted collection, and it is not verified.
    if (postgres.tables.shards.get(shard)?.live === false) return;
    const process = server(node);
    // A node that went down, or was replaced, since it applied the round is verified before it is used again.
    if (!process.isUp || !this.#isItself(process, node)) return;
    const found = contentOn(process.chroma, physical);
    try {
      // A checkpoint may be above a head that has gone back; what the lost entries changed is exempt.
      const comparedAt = this.#hasLostEntries ? Math.min(lsn, postgres.tables.head.lsn) : lsn;
      // What an earlier leader sent is repeated from the checkpoint on: in between the copy holds some of both.
      if (comparedAt < this.#earlierHead(keyOf(node, physical))) return;
      const wanted = expected.at(shard, comparedAt);
      if (found === null)
        throw new Violation(invariant, `${node} lacks collection ${physical} at LSN ${lsn}`);
      if (isEqual(found, wanted)) return;
      if (mayHaveMore && expected.since(shard, comparedAt).some((later) => isEqual(found, later))) return;
      const difference = `holds ${shownContent(found)}, expected ${shownContent(wanted)}`;
      throw new Violation(invariant, `${node} at LSN ${lsn}: ${difference}`);
    } catch (error) {
      // A decision may be lost with a server although its entry is not (docs/guarantees.md).
      if (error instanceof NotDecided && !this.#hasLostEntries)
        throw new Violation('I5', `${node} has passed LSN ${lsn}, and ${error.message}`);
      throw error;
    }
  }

  #checkLevel(lsn: number, level: string, shard: string): void {
    const { tables } = this.#options.postgres;
    const { server, expected, exemptions } = this.#options;
    if (this.#hasLostEntries || exemptions.has(shard) || tables.decisions.has(lsn)) return;
    const counting = [...tables.nodes.values()].filter(({ removed, counts }) => !removed && counts);
    const candidates = expected.since(shard, lsn);
    const has = counting.filter(({ id, checkpoint }) => {
      if (checkpoint >= lsn) return true;
      const copy = tables.currentCopy(id, shard);
      const process = server(id);
      if (copy === null || !process.isUp) return false;
      const content = contentOn(process.chroma, copy.physical);
      return content !== null && candidates.some((candidate) => isEqual(candidate, content));
    }).length;
    const copyOf = (id: string): string => tables.currentCopy(id, shard)?.physical ?? '';
    // A node may have lost its process since it responded, its address to another, or its content to a delayed call.
    const isAway = (id: string): boolean =>
      !server(id).isUp || this.#rolledBack.has(server(id).chroma) || !this.#isItself(server(id), id);
    const away = counting.filter(({ id }) => isAway(id) || this.isTainted(id, copyOf(id))).length;
    const wanted =
      level === 'all' ? counting.length : level === 'quorum' ? Math.floor(counting.length / 2) + 1 : 1;
    if (has + away < wanted)
      throw new Violation('I3', `LSN ${lsn} was acknowledged at level ${level}, and ${has} nodes have it`);
  }

  #checkIdentity(server: ChromaProcess, { addressee, path }: NodeCall): void {
    // A standby may lack the last incarnation of a node.
    if (this.#hasLostEntries) return;
    const row = this.#options.postgres.tables.nodes.get(addressee);
    // A node that begins again is emptied, and once more when a power failure has brought back what was deleted.
    const isEmptied = row?.filling === true && !/\/(add|update|upsert)$/.test(path);
    if (isEmptied && hasMarkerOf(server.chroma, addressee, undefined)) return;
    if (row !== undefined && row.incarnation !== null && !this.#isItself(server, addressee))
      throw new Violation('I12', `a call for ${addressee} reaches another server: ${path}`);
  }

  /** Whether the server holds the marker of the node. */
  #isItself({ chroma }: ChromaProcess, node: string): boolean {
    return hasMarkerOf(chroma, node, this.#options.postgres.tables.nodes.get(node));
  }

  #check(check: () => void): void {
    try {
      check();
    } catch (error) {
      if (error instanceof Violation) this.#options.report(error);
      else if (!(error instanceof NotDecided && this.#hasLostEntries))
        this.#options.report(new Violation('I11', String(error)));
    }
  }
}

const shownDecision = ({ outcome, body, generation }: DecisionRow): string =>
  `${outcome} ${body.toString()} in generation ${generation}`;

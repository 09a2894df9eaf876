// What a gateway keeps in PostgreSQL, in memory: the same promises, conditional on the same epoch.

import type { Storage } from '../../src/app/storage.ts';
import type { ClusterSnapshot } from '../../src/coordination/cluster-snapshot.ts';
import type { LeaseRow, LeaseStore } from '../../src/coordination/lease.ts';
import type { Entry } from '../../src/log/entry.ts';
import type { SeenEntry } from '../../src/log/log-continuity.ts';
import type { Head } from '../../src/log/postgres-log.ts';
import type { MemberList, MemberRow, MemberStore, NodeLocation } from '../../src/nodes/member-store.ts';
import type { NewIncarnation, NodeRow } from '../../src/nodes/node-store.ts';
import type { AssignedShard, ShardChange } from '../../src/replication/checkpoints.ts';
import type { NodeBeginning } from '../../src/nodes/node-store.ts';
import type { Decider, Decision, Ruling } from '../../src/replication/decisions.ts';
import { Notifier } from '../../src/util/notifier.ts';
import { MemoryScrub } from './memory-scrub.ts';
import { MemoryCopies } from './memory-copies.ts';
import type { Capabilities, CommonCapabilities } from '../../src/chroma/protocol/capabilities.ts';
import { CHROMA_1_0_5 } from './capability-levels.ts';

/** What is durable about one node. */
export interface MemoryNode extends NodeRow {
  checkpoint: number;
  markerLSN: number;
  readonly assigned: Map<string, AssignedShard>;
}

/** Where the one collection of a simulation belongs. */
export interface Place {
  readonly tenant: string;
  readonly database: string;
}

const LEASE_LOST = 'The lease has moved on: another gateway leads.';

export class MemoryDecisions {
  readonly recorded = new Notifier();
  readonly made = new Map<number, Decision>();
  /** Delays every record that is about to be made. */
  recording: Promise<void> = Promise.resolve();
  readonly #pages = new Map<string, string[]>();

  async load(): Promise<void> {
    await Promise.resolve();
  }

  async find(lsn: number): Promise<Decision | null> {
    return this.made.get(lsn) ?? null;
  }

  isQuarantined(lsn: number): boolean {
    return this.made.get(lsn)?.outcome === 'quarantined';
  }

  exception(lsn: number): Decision | null {
    const made = this.made.get(lsn);
    return made?.outcome === 'quarantined' || made?.outcome === 'partly_applied' ? made : null;
  }

  async *idPages({ lsn, generation, body, pages }: Decision): AsyncGenerator<readonly string[]> {
    if (pages === 0) yield JSON.parse(body.toString()) as string[];
    for (let page = 0; page < pages; page++) yield this.#pages.get(`${lsn} ${generation} ${page}`)!;
  }

  async addPage({ generation }: Decider, lsn: number, page: number, ids: Buffer): Promise<boolean> {
    await Promise.resolve();
    this.#pages.set(`${lsn} ${generation} ${page}`, JSON.parse(ids.toString()) as string[]);
    return true;
  }

  async record({ generation }: Decider, lsn: number, ruling: Ruling): Promise<Decision> {
    await this.recording;
    if (!this.made.has(lsn)) this.made.set(lsn, { lsn, generation, pages: 0, ...ruling });
    this.recorded.notify();
    return this.made.get(lsn)!;
  }
}

export class MemoryStorage {
  readonly decisions = new MemoryDecisions();
  readonly copies = new MemoryCopies({
    node: (id) => this.node(id),
    requireLease: (epoch) => this.#requireLease(epoch),
    entries: () => this.entries,
    now: () => this.#now(),
  });
  readonly entries: Entry[] = [];
  readonly nodes = new Map<string, MemoryNode>();
  /** Whether no checkpoint can be made durable. */
  checkpointsFail = false;
  /** What the servers can do. */
  capabilities: Capabilities = CHROMA_1_0_5;
  /** LSN up to which the log counts as trimmed. */
  trimmed = 0;
  /** Nodes that begin again. */
  readonly #filling = new Set<string>();
  #lease: LeaseRow = { epoch: 0, holder: null, renewal: 0 };
  #members: Omit<MemberRow, 'incarnation'>[] = [];
  #view = 1;
  /** View numbers of the last suspicions, by node. */
  readonly #suspicions = new Map<string, number>();
  #primary: string | null = null;
  #primaryGeneration = 0;
  readonly #place: Place;
  readonly #now: () => number;

  constructor(place: Place, now: () => number) {
    this.#place = place;
    this.#now = now;
  }

  head(): Head {
    return {
      logId: 'log',
      cluster: 'cluster',
      lsn: this.entries.length,
      trimmed: this.trimmed,
      isComplete: this.trimmed === 0,
      view: 0,
      primary: this.#primary,
      primaryGeneration: this.#primaryGeneration,
    };
  }

  #clusterState(): ClusterSnapshot {
    const recorded = this.#members.map(({ id, drained, counts, resets }) => {
      const checkpoint = this.nodes.get(id)?.checkpoint ?? 0;
      const state = { state: 'joining', reason: null, stateEpoch: 0, isBusy: false };
      return { id, drained, counts, resets, checkpoint, markerLSN: 0, ...state };
    });
    return {
      head: this.entries.length,
      view: this.#view,
      timeline: 1,
      exceptions: 0,
      decided: 0,
      rewound: null,
      primary: this.#primary,
      primaryGeneration: this.#primaryGeneration,
      ...this.#lease,
      otherGateways: 0,
      newestGateway: 0,
      nodes: recorded,
    };
  }

  /** As the composition root takes it, with this list of nodes; what replication does not use is absent. */
  asStorage(locations: readonly NodeLocation[]): Storage {
    this.#members = locations.map((at) => ({
      ...at,
      drained: false,
      counts: true,
      removed: false,
      resets: 0,
      filling: false,
    }));
    const parts = {
      members: this.#memberStore(),
      memberList: this.#list(),
      head: this.head(),
      log: this.#log(),
      appendStore: () => undefined,
      continuity: {
        state: async () => ({ isCompared: true, rewound: null, timeline: 1 }),
        contains: async ({ lsn, token }: SeenEntry) => lsn === 0 || this.entries[lsn - 1]?.batch === token,
        confirm: async (epoch: number) => this.#requireLease(epoch),
        hasLost: async ({ lsn, token }: SeenEntry) => lsn > 0 && this.entries[lsn - 1]?.batch !== token,
        reportRewound: async () => true,
      },
      leaseStore: this.#leaseStore(),
      clusterState: { read: async () => this.#clusterState() },
      gateways: {
        register: async () => ({ others: 0, number: 1 }),
        seen: async () => true,
        leave: async () => undefined,
        list: async () => [],
      },
      nodes: this.#nodeStore(),
      checkpoints: this.#checkpoints(),
      copies: this.copies,
      catalog: this.#catalog(),
      decisions: this.decisions,
      capabilities: this.#capabilityLevel(),
      trials: { load: async () => [], save: async () => undefined },
      events: { record: () => undefined },
      scrub: new MemoryScrub((epoch) => this.#requireLease(epoch)),
    };
    return parts as unknown as Storage;
  }

  node(id: string): MemoryNode {
    const found = this.nodes.get(id);
    if (found === undefined) throw new Error(`node "${id}" has not joined`);
    return found;
  }

  /** Another gateway has taken the lease and given it back: the term that is running is over. */
  endTerm(): void {
    this.#lease = { epoch: this.#lease.epoch + 1, holder: null, renewal: 0 };
  }

  #requireLease(epoch: number): void {
    if (epoch !== this.#lease.epoch) throw new Error(LEASE_LOST);
  }

  #log(): object {
    return {
      head: async () => this.head(),
      read: async (after: number, entriesMax: number) => this.entries.slice(after, after + entriesMax),
      lsnsOf: async (target: string, after: number, max: number) =>
        this.entries
          .filter((entry) => entry.target === target && entry.lsn > after)
          .map(({ lsn }) => lsn)
          .slice(0, max),
      partitions: async () => [],
      forgetBatches: async () => undefined,
    };
  }

  #capabilityLevel(): object {
    const current = (): CommonCapabilities => ({ ...this.capabilities, revision: 0 });
    return {
      get current() {
        return current();
      },
      join: async () => null,
      leave: () => undefined,
    };
  }

  #leaseStore(): LeaseStore {
    return {
      read: async () => this.#lease,
      acquire: async (holder, seen) => {
        const { epoch, renewal } = this.#lease;
        if (seen.epoch !== epoch || seen.renewal !== renewal) return null;
        this.#lease = { epoch: epoch + 1, holder, renewal: 0 };
        return epoch + 1;
      },
      renew: async (epoch) => {
        if (epoch !== this.#lease.epoch || this.#lease.holder === null) return false;
        this.#lease = { ...this.#lease, renewal: this.#lease.renewal + 1 };
        return true;
      },
      release: async (epoch) => {
        if (epoch === this.#lease.epoch) this.#lease = { ...this.#lease, holder: null };
      },
    };
  }

  #list(): MemberList {
    const members = this.#members.map((member) => ({
      ...member,
      incarnation: this.nodes.get(member.id)?.incarnation ?? null,
    }));
    return { view: this.#view, timeline: 1, members };
  }

  #memberStore(): Partial<MemberStore> {
    const change = async (id: string, changes: Partial<MemberRow>): Promise<boolean> => {
      this.#members = this.#members.map((member) => (member.id === id ? { ...member, ...changes } : member));
      this.#view += 1;
      return true;
    };
    return {
      list: async () => this.#list(),
      version: async () => ({ view: this.#view, timeline: 1 }),
      count: async (id) => void change(id, { counts: true }),
      drain: (id, drained) => change(id, { drained }),
      add: async (location) => {
        const member = { ...location, drained: false, counts: false, removed: false, filling: false };
        const { resets } = this.#members.find(({ id }) => id === location.id) ?? { resets: -1 };
        this.#members = this.#members.filter(({ id }) => id !== location.id);
        this.#members.push({ ...member, resets: resets + 1 });
        this.#view += 1;
        return true;
      },
      remove: async (epoch, id) => {
        this.#requireLease(epoch);
        this.nodes.delete(id);
        return change(id, { removed: true });
      },
      reset: async (epoch, id) => {
        this.#requireLease(epoch);
        this.nodes.delete(id);
        this.#filling.add(id);
        const { resets } = this.#members.find((member) => member.id === id)!;
        return change(id, { resets: resets + 1 });
      },
    };
  }

  #nodeStore(): object {
    return {
      all: async () =>
        [...this.nodes.values()].map((node) => ({ ...node, filling: this.#filling.has(node.id) })),
      lastCheckpoint: (id: string) => this.nodes.get(id)?.checkpoint ?? 0,
      add: async (epoch: number, node: NewIncarnation) => {
        this.#requireLease(epoch);
        this.#filling.add(node.id);
        const blank = { markerLSN: 0, busyLSN: null, busyMs: 0, filling: true };
        const assigned = new Map<string, AssignedShard>();
        for (const { shard, name } of node.checkpoint === 0 ? [] : this.#shardsAt(node.checkpoint)) {
          const lost = { physical: `lost-${shard}`, name, fromLSN: 0, copy: 0, suspect: 'not copied yet' };
          assigned.set(shard, { ...this.#place, ...lost });
        }
        this.nodes.set(node.id, { ...node, ...blank, assigned });
      },
      removable: async (id: string) => ({ filling: this.#filling.has(id), discard: false }),
      filled: async (epoch: number, id: string, lsn: number) => {
        this.#requireLease(epoch);
        this.#filling.delete(id);
        this.node(id).markerLSN = lsn;
      },
      update: async (epoch: number) => this.#requireLease(epoch),
      announce: async (epoch: number) => this.#requireLease(epoch),
      marked: async (epoch: number, { id }: NodeBeginning, lsn: number) => {
        this.#requireLease(epoch);
        this.node(id).markerLSN = lsn;
      },
      setPrimary: async (epoch: number, id: string) => {
        this.#requireLease(epoch);
        this.#primary = id;
        return ++this.#primaryGeneration;
      },
    };
  }

  #checkpoints(): object {
    return {
      settled: async () => undefined,
      assigned: async (id: string) => new Map(this.node(id).assigned),
      takenEarlier: async () => 0,
      save: async (epoch: number, { id }: NodeBeginning, lsn: number, changes: readonly ShardChange[]) => {
        await Promise.resolve();
        if (this.checkpointsFail) throw new Error('PostgreSQL is away');
        this.#requireLease(epoch);
        const { assigned } = this.node(id);
        this.node(id).checkpoint = lsn;
        for (const { shard, physical, name, lsn: fromLSN } of changes) {
          const known = assigned.get(shard);
          if (physical === null || name === null) {
            if (known !== undefined && name !== null) this.copies.retire(id, shard, { ...known, name });
            assigned.delete(shard);
          } else if (known?.physical === physical) assigned.set(shard, { ...known, name });
          else assigned.set(shard, { physical, ...this.#place, name, fromLSN, copy: 0, suspect: null });
        }
      },
      suspect: async (epoch: number, id: string, shard: string, reason: string) => {
        await Promise.resolve();
        this.#requireLease(epoch);
        const known = this.node(id).assigned.get(shard);
        if (known === undefined) throw new Error(LEASE_LOST);
        this.node(id).assigned.set(shard, { ...known, suspect: known.suspect ?? reason });
        this.#suspicions.set(id, ++this.#view);
        return known.physical;
      },
    };
  }

  /** The collection of a shard, as created; null after its deletion. */
  #collectionOf(shard: string): object | null {
    const last = this.entries.findLast(({ kind, header }) => {
      const { shard: created, shards } = JSON.parse(header) as { shard?: string; shards?: string[] };
      if (kind === 'create_collection') return created === shard;
      return kind === 'delete_collection' && shards?.includes(shard) === true;
    });
    if (last?.kind !== 'create_collection') return null;
    const { name } = JSON.parse(last.header) as { name: string };
    const shards = [{ id: shard, dimension: null }];
    return { id: last.target, ...this.#place, name, state: 'ready', createdLSN: last.lsn, shards };
  }

  #shardsAt(lsn: number): { shard: string; name: string }[] {
    const created = this.entries.slice(0, lsn).filter(({ kind }) => kind === 'create_collection');
    const shards = created.map(({ header }) => JSON.parse(header) as { shard: string; name: string });
    return shards.filter(({ shard }) => this.#collectionOf(shard) !== null);
  }

  #catalog(): object {
    const marked = new Map<string, string>();
    const copy = (id: string, shard: string): AssignedShard | null =>
      this.nodes.get(id)?.assigned.get(shard) ?? null;
    const isSuspect = (id: string, shard: string): boolean =>
      marked.get(`${id} ${shard}`) === copy(id, shard)?.physical ||
      (copy(id, shard)?.suspect ?? null) !== null;
    const view = (): number => this.#view;
    return {
      refresh: async () => undefined,
      get view() {
        return view();
      },
      lastSuspicion: (id: string) => this.#suspicions.get(id) ?? 0,
      forgetDeleted: async () => undefined,
      forgetNode: () => undefined,
      markSuspect: (id: string, shard: string) =>
        void marked.set(`${id} ${shard}`, copy(id, shard)?.physical ?? ''),
      isSuspect,
      isSuspectCopy: (id: string, shard: string, physical: string) =>
        isSuspect(id, shard) && copy(id, shard)?.physical === physical,
      isHealthy: (id: string, shard: string) => copy(id, shard) !== null && !isSuspect(id, shard),
      physical: copy,
      shards: () => [...new Set([...this.nodes.values()].flatMap(({ assigned }) => [...assigned.keys()]))],
      tenants: () => [this.#place.tenant],
      everyDatabase: () => [{ id: 'd', tenant: this.#place.tenant, name: this.#place.database }],
      collectionOfShard: (shard: string) => this.#collectionOf(shard),
      suspectShards: (id: string) =>
        [...(this.nodes.get(id)?.assigned.keys() ?? [])].filter((shard) => isSuspect(id, shard)),
    };
  }
}

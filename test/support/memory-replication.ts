// The replication of a gateway as the composition root builds it, with its real leader, lease, admission and nodes, on
// fake servers, with storage in memory and time that passes when a test says so.

import { buildBackPressure, type BackPressure } from '../../src/app/back-pressure.ts';
import { buildReplication, type Replication } from '../../src/app/replication.ts';
import type { BuiltNode } from '../../src/app/nodes.ts';
import type { Deps } from '../../src/app/deps.ts';
import { Lifecycle } from '../../src/app/lifecycle.ts';
import type { Caches } from '../../src/app/caches.ts';
import type { Config } from '../../src/config/config.ts';
import type { RecordKind } from '../../src/chroma/parse/record-call.ts';
import { isRefusal } from '../../src/chroma/parse/refusal.ts';
import { scanRecordCall } from '../../src/chroma/parse/scanner.ts';
import type { Operation } from '../../src/chroma/protocol/operation.ts';
import { Knowledge } from '../../src/coordination/knowledge.ts';
import { CurrentTerm } from '../../src/coordination/current-term.ts';
import type { Entry } from '../../src/log/entry.ts';
import type { Node } from '../../src/nodes/node.ts';
import type { AssignedShard } from '../../src/replication/checkpoints.ts';
import { toDraft } from '../../src/replication/entry-operation.ts';
import { ROUND_ENTRIES_MAX } from '../../src/replication/applier.ts';
import type { Positions } from '../../src/replication/positions.ts';
import { CHROMA_1_0_5 } from './capability-levels.ts';
import { FakeNode } from './fake-chroma/node.ts';
import { FakeChroma } from './fake-chroma/server.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryStorage, type MemoryDecisions } from './memory-storage.ts';

export const SETTLE_MS = 500;
const ATTEMPTS_MAX = 5;
const ENTRY_TIMEOUT_MS = 60_000;
export const COLLECTION = '00000000-0000-4000-8000-00000000c011';
export const SHARD = '00000000-0000-4000-8000-0000000005a4';
const PLACE = { tenant: 'default_tenant', database: 'default_database' };
export const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';
const RESTART_MS = 1_000;
const STOP_DEADLINE_MS = 15_000;
/** Longer than any pause of an applier; time beyond it means that something waits for ever. */
const PATIENCE_MS = 120_000;
const STEP_MS = 10;

/** One node as a test sees it. */
export interface Replica {
  readonly id: string;
  readonly fake: FakeNode;
  readonly member: Node;
  readonly applier: BuiltNode['applier'];
  readonly workload: BuiltNode['workload'];
  /** Its durable checkpoint. */
  checkpoint: number;
  readonly assigned: ReadonlyMap<string, AssignedShard>;
}

export interface MemoryReplicationOptions {
  readonly nodes: readonly string[];
  readonly random: () => number;
  /** Settings other than those of the simulation. */
  readonly config?: Partial<Config>;
  /** Replaces a part of a node by an implementation that a test wants to see fail. */
  readonly alter?: (node: BuiltNode) => void;
}

export class MemoryReplication {
  readonly clock = new ManualClock();
  readonly storage = new MemoryStorage(PLACE, () => this.clock.monotonic());
  readonly replicas: readonly Replica[];
  readonly #fakes = new Map<string, FakeNode>();
  readonly #options: MemoryReplicationOptions;
  #replication!: Replication;
  #life!: Lifecycle;
  #backPressure!: BackPressure;

  constructor(options: MemoryReplicationOptions) {
    const { clock } = this;
    const { nodes, random } = options;
    this.#options = options;
    for (const id of nodes)
      this.#fakes.set(urlOf(id), new FakeNode({ clock, server: new FakeChroma(random) }));
    this.#build();
    this.replicas = nodes.map((id) => this.#replica(id));
  }

  #build(): void {
    const { clock } = this;
    const { nodes, random, config, alter } = this.#options;
    const settings = { ...SETTINGS, nodes: nodes.map((id) => ({ id, url: urlOf(id) })), ...config };
    const deps = this.#deps(random);
    this.#life = new Lifecycle({ clock, logger: deps.logger, stopDeadlineMs: STOP_DEADLINE_MS });
    const parts = {
      deps,
      storage: this.storage.asStorage(settings.nodes),
      caches: NO_CACHES,
      current: new CurrentTerm(),
      knowledge: new Knowledge(clock, settings.LEASE_MS),
      log: { committed: () => undefined },
    };
    this.#replication = buildReplication(settings as unknown as Config, parts, this.#life);
    this.#backPressure = buildBackPressure(settings, this.#replication, deps);
    for (const node of this.#replication.nodes.all()) alter?.(node);
  }

  get decisions(): MemoryDecisions {
    return this.storage.decisions;
  }

  get positions(): Positions {
    return this.#replication.positions;
  }

  /** What a gateway waits for before it appends a write. */
  get backPressure(): BackPressure {
    return this.#backPressure;
  }

  /** The node that decides; null before one is elected. */
  get primary(): string | null {
    return this.#replication.view.primary();
  }

  /** Entries that ended because no node could apply them, in LSN order. */
  get ended(): { lsn: number; outcome: string }[] {
    return [...this.decisions.made.values()]
      .filter(({ lsn }) => this.decisions.exception(lsn) !== null)
      .map(({ lsn, outcome }) => ({ lsn, outcome }))
      .sort((a, b) => a.lsn - b.lsn);
  }

  replica(id: string): Replica {
    return this.replicas.find((each) => each.id === id)!;
  }

  /** Resolves when this gateway leads and every node serves. */
  async start(): Promise<void> {
    await this.#life.start();
    await this.until(() => this.replicas.every(({ member }) => member.state === 'serving'), 'nodes serve');
  }

  /** Makes an operation durable; appliers take it from there. Returns its LSN. */
  append(operation: Operation): number {
    const { entries } = this.storage;
    const lsn = entries.length + 1;
    const entry: Entry = { lsn, ...toDraft(operation), batch: `batch-${lsn}`, appendedAt: this.clock.now() };
    entries.push(entry);
    this.#replication.logBuffer.committed([entry]);
    return lsn;
  }

  /** Appends the creation of the one collection there is. */
  create(): number {
    const body = Buffer.from('{"name":"pears"}');
    return this.append({
      type: 'create_collection',
      collection: COLLECTION,
      shard: SHARD,
      ...PLACE,
      name: 'pears',
      body,
    });
  }

  /** Appends a modification of the collection. */
  modify(body: string, newName: string | null = null): number {
    const change = { collection: COLLECTION, shards: [SHARD], newName, body: Buffer.from(body) };
    return this.append({ type: 'modify_collection', ...change });
  }

  /** Appends the deletion of the collection. */
  drop(name = 'pears'): number {
    return this.append({
      type: 'delete_collection',
      collection: COLLECTION,
      shards: [SHARD],
      ...PLACE,
      name,
    });
  }

  write(kind: RecordKind, body: string): number {
    const call = scanRecordCall(kind, Buffer.from(body), CHROMA_1_0_5);
    if (isRefusal(call)) throw new Error(`not a write: ${call.message}`);
    return this.append({ type: 'records', shard: SHARD, call });
  }

  /** Lets time pass in steps until `condition` holds; fails after `limitMs`. */
  async until(
    condition: () => boolean,
    what: string,
    { limitMs = PATIENCE_MS, stepMs = STEP_MS } = {},
  ): Promise<void> {
    for (let passed = 0; !condition(); passed += stepMs) {
      if (passed > limitMs) throw new Error(`not within ${limitMs} ms: ${what} (${this.#states()})`);
      await this.clock.pass(stepMs, stepMs);
    }
  }

  /** Lets time pass until these nodes (all, if none is named) have checkpointed the whole log. */
  caughtUp(...ids: string[]): Promise<void> {
    const chosen = ids.length === 0 ? this.replicas : ids.map((id) => this.replica(id));
    const head = this.storage.entries.length;
    return this.until(() => chosen.every(({ checkpoint }) => checkpoint === head), 'nodes are caught up');
  }

  /** Every record a node holds of the collection, as it would be read. */
  content(id: string): string {
    const { fake, assigned } = this.replica(id);
    const body = '{"include":["documents","metadatas","embeddings","uris"]}';
    const path = `${COLLECTIONS}/${assigned.get(SHARD)!.physical}/get`;
    return fake.look('POST', path, body).text;
  }

  /** Makes a node's copy of the shard suspect, as a comparison of copies does. */
  async suspect(id: string, reason = 'a test says so'): Promise<void> {
    const { suspects, leader } = this.#replication;
    await suspects.add(id, SHARD, reason, leader.term!);
  }

  get rebuilds(): Replication['rebuilds']['status'] {
    return this.#replication.rebuilds.status;
  }

  /** The node's process ends, and is back a second later. */
  restart(id: string): void {
    const { fake } = this.replica(id);
    fake.kill();
    this.clock.after(RESTART_MS, () => fake.start());
  }

  /** The gateway ends; a new process on the same storage leads next, and knows only what is durable. */
  async replaceGateway(): Promise<void> {
    this.storage.endTerm();
    await this.#stopGateway();
    this.#build();
    await this.start();
  }

  async stop(): Promise<void> {
    for (const fake of this.#fakes.values()) fake.kill();
    await this.#stopGateway();
  }

  async #stopGateway(): Promise<void> {
    let isStopped = false;
    void this.#life.stop().then(() => (isStopped = true));
    await this.until(() => isStopped, 'replication has stopped');
  }

  #states(): string {
    const states = this.replicas.map(({ id, member: { state, lastError }, checkpoint }) =>
      [id, state, checkpoint, lastError ?? ''].join(' '),
    );
    return states.join('; ');
  }

  #deps(random: () => number): Deps {
    let ids = 0;
    const fakeAt = (url: string): FakeNode => this.#fakes.get(url)!;
    return {
      tracer: null,
      connections: {
        verified: ({ url, expect, onDisconnected, readConnections }) =>
          fakeAt(url).client({
            expect,
            ...(onDisconnected === undefined ? {} : { onDisconnected }),
            ...(readConnections === undefined ? {} : { readConnections }),
          }),
        unverified: ({ url }) => fakeAt(url).client(),
      },
      nodeDirectory: { name: 'NODES', nodes: async () => [] },
      gatewayId: 'gateway',
      gateway: { id: 'gateway', address: '', version: '' },
      clock: this.clock,
      random,
      newId: () => `id-${++ids}`,
      logger: SILENT,
      nodePid: () => null,
      onNodeHung: () => undefined,
      onNodeDamaged: () => undefined,
      sharesPort: false,
      onListening: () => undefined,
      onFailure: (error) => {
        throw error;
      },
    };
  }

  #replica(id: string): Replica {
    const { storage } = this;
    const built = (): BuiltNode => this.#replication.nodes.get(id);
    return {
      id,
      fake: this.#fakes.get(urlOf(id))!,
      get member() {
        return built().member;
      },
      get applier() {
        return built().applier;
      },
      get workload() {
        return built().workload;
      },
      get checkpoint() {
        return storage.nodes.get(id)?.checkpoint ?? 0;
      },
      set checkpoint(lsn) {
        storage.node(id).checkpoint = lsn;
      },
      get assigned() {
        return storage.node(id).assigned;
      },
    };
  }
}

const SETTINGS = {
  WAL_BATCH_SIZE: ROUND_ENTRIES_MAX,
  WAL_HIGH_VOLUME_BATCH_SIZE: ROUND_ENTRIES_MAX,
  SETTLE_MS,
  STAGGER_MS: 500,
  ENTRY_ATTEMPTS: ATTEMPTS_MAX,
  ENTRY_TIMEOUT_MS,
  LEASE_MS: 10_000,
  LOG_TIMEOUT_MS: 10_000,
  WRITE_TIMEOUT_MS: 30_000,
  WAL_RETENTION: 3_600_000,
  WAL_RETENTION_BYTES: 1e9,
  SCRUB_INTERVAL: 0,
  SCRUB_BYTES_PER_SECOND: 1e9,
  REBUILD_BYTES_PER_SECOND: 0,
  NODE_PRIORITIES: new Map<string, number>(),
};
const NO_CACHES = {
  invalidation: { committed: () => undefined, unseen: () => undefined, forget: () => undefined },
} as unknown as Caches;
const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

function urlOf(id: string): string {
  return `http://${id}.invalid`;
}

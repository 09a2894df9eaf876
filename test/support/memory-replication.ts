// The real appliers, delivery, arbiter and positions on fake nodes, with a log, decisions and checkpoints in memory and
// time that passes when a test says so: replication without sockets, PostgreSQL or chance.

import { scanRecordCall } from '../../src/chroma/parse/scanner.ts';
import { isRefusal } from '../../src/chroma/parse/refusal.ts';
import type { RecordKind } from '../../src/chroma/parse/record-call.ts';
import type { NodeClient } from '../../src/chroma/client/node-client.ts';
import type { Expected } from '../../src/chroma/client/identity.ts';
import type { Term } from '../../src/coordination/term.ts';
import type { Entry } from '../../src/log/entry.ts';
import { LogBuffer } from '../../src/log/log-buffer.ts';
import { Applier, ROUND_ENTRIES_MAX } from '../../src/replication/applier.ts';
import { Arbiter } from '../../src/replication/arbiter.ts';
import type { HeldShard, ShardChange } from '../../src/replication/checkpoints.ts';
import type { Decider, Decision, Ruling } from '../../src/replication/decisions.ts';
import { toDraft } from '../../src/replication/entry-operation.ts';
import { type Operation } from '../../src/chroma/protocol/operation.ts';
import { Positions } from '../../src/replication/positions.ts';
import { SecondOpinion } from '../../src/replication/second-opinion.ts';
import { Stagger } from '../../src/replication/stagger.ts';
import { Trials } from '../../src/replication/trials.ts';
import { Workload } from '../../src/replication/workload.ts';
import { showsEffect } from '../../src/repair/read-back.ts';
import { Notifier } from '../../src/util/notifier.ts';
import { FakeNode } from './fake-chroma/node.ts';
import { FakeChroma } from './fake-chroma/server.ts';
import { CHROMA_1_0_5 } from './capability-levels.ts';
import { ManualClock } from './manual-clock.ts';

export const SETTLE_MS = 500;
export const COLLECTION = '00000000-0000-4000-8000-00000000c011';
export const SHARD = '00000000-0000-4000-8000-0000000005a4';
const PLACE = { tenant: 'default_tenant', database: 'default_database' };
const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';
/** How long another primary takes to come. */
const TAKEOVER_MS = 50;
const STAGGER_MS = 500;
const RESTART_MS = 1_000;
export const ATTEMPTS_MAX = 5;
const ENTRY_TIMEOUT_MS = 60_000;
/** Longer than any pause of an applier; time beyond it means that something waits for ever. */
const PATIENCE_MS = 120_000;

class MemoryDecisions {
  readonly recorded = new Notifier();
  readonly made = new Map<number, Decision>();
  readonly #pages = new Map<string, string[]>();

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
    await Promise.resolve();
    if (!this.made.has(lsn)) this.made.set(lsn, { lsn, generation, pages: 0, ...ruling });
    this.recorded.notify();
    return this.made.get(lsn)!;
  }
}

/** One node with its applier and what is durable about it. */
export interface Replica {
  readonly id: string;
  readonly fake: FakeNode;
  readonly client: NodeClient;
  readonly applier: Applier;
  readonly workload: Workload;
  readonly troubles: Error[];
  checkpoint: number;
  readonly held: Map<string, HeldShard>;
  /** Whether it follows the log and answers, as the leader would know it. */
  answers: boolean;
  follow(): void;
  /** Ends its term; resolves when its applier has stopped. */
  leave(): Promise<void>;
}

/** What the appliers of all nodes share. */
interface Shared {
  readonly arbiter: Arbiter;
  readonly trials: Trials;
  readonly stagger: Stagger;
}

export interface MemoryReplicationOptions {
  readonly nodes: readonly string[];
  readonly random: () => number;
  /** Who must answer at a node's address; absent: nobody is asked. */
  readonly expect?: (node: string) => Expected | null;
}

export class MemoryReplication {
  readonly clock = new ManualClock();
  readonly decisions = new MemoryDecisions();
  readonly positions = new Positions((node) => this.replica(node).held.get(SHARD)?.suspect !== null);
  /** Entries that were quarantined, refused or cut because no node could apply them. */
  readonly ended: { lsn: number; outcome: string }[] = [];
  readonly replicas: readonly Replica[];
  readonly #entries: Entry[] = [];
  readonly #logBuffer = new LogBuffer({ read: async (after, max) => this.#entries.slice(after, after + max) }, 0);
  #primary: string;
  readonly #primaryChanged = new Notifier();
  /** By node: the entry it could not decide. */
  readonly #unfit = new Map<string, number>();

  constructor(options: MemoryReplicationOptions) {
    this.#primary = options.nodes[0]!;
    this.positions.setCluster(options.nodes, this.#primary);
    const { clock, positions, decisions } = this;
    const trials = new Trials({
      store: { load: async () => [], save: async () => undefined },
      clock,
      onRepeated: () => undefined,
      onStoreError: () => undefined,
    });
    const opinions = new SecondOpinion({
      node: (id) => {
        const { client, workload, held } = this.replica(id);
        const known = (shard: string): HeldShard | null => held.get(shard) ?? null;
        return { client, workload, held: (shard) => (known(shard)?.suspect === null ? known(shard) : null) };
      },
      collectionOf: () => ({ ...PLACE, name: 'pears' }),
      clock,
    });
    const arbiter = new Arbiter({
      trials,
      decisions,
      positions,
      clock,
      limits: { attempts: ATTEMPTS_MAX, timeoutMs: ENTRY_TIMEOUT_MS },
      members: () => options.nodes,
      works: (id) => this.replica(id).answers,
      isSuspect: (id) => this.replica(id).held.get(SHARD)?.suspect !== null,
      mayHaveApplied: async (id) => this.replica(id).checkpoint + ROUND_ENTRIES_MAX,
      ask: (id, trial, term) => opinions.ask(id, trial, term),
      onEnded: ({ lsn }, { outcome }) => void this.ended.push({ lsn, outcome }),
    });
    const stagger = new Stagger({ serving: () => options.nodes, primary: () => this.#primary });
    const shared: Shared = { arbiter, trials, stagger };
    this.replicas = options.nodes.map((id) => this.#replica(id, options, shared));
  }

  replica(id: string): Replica {
    return this.replicas.find((each) => each.id === id)!;
  }

  /** Makes an operation durable; everybody who follows the log takes it from there. Returns its LSN. */
  append(operation: Operation): number {
    const lsn = this.#entries.length + 1;
    const entry: Entry = { lsn, ...toDraft(operation), batch: `batch-${lsn}`, appendedAt: this.clock.now() };
    this.#entries.push(entry);
    this.#logBuffer.committed([entry]);
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

  write(kind: RecordKind, body: string): number {
    const call = scanRecordCall(kind, Buffer.from(body), CHROMA_1_0_5);
    if (isRefusal(call)) throw new Error(`not a write: ${call.message}`);
    return this.append({ type: 'records', shard: SHARD, call });
  }

  /** Lets time pass until `condition` holds. */
  async until(condition: () => boolean, what: string): Promise<void> {
    for (let passed = 0; !condition(); passed += 10) {
      if (passed > PATIENCE_MS) throw new Error(`${PATIENCE_MS} ms passed in vain until ${what}`);
      await this.clock.pass(10, 10);
    }
  }

  /** Lets time pass until these nodes (all, if none is named) have checkpointed the whole log. */
  level(...ids: string[]): Promise<void> {
    const chosen = ids.length === 0 ? this.replicas : ids.map((id) => this.replica(id));
    return this.until(
      () => chosen.every(({ checkpoint }) => checkpoint === this.#entries.length),
      'nodes are level',
    );
  }

  /** Every record a node holds of the collection, as it would be read. */
  content(id: string): string {
    const { fake, held } = this.replica(id);
    const body = '{"include":["documents","metadatas","embeddings","uris"]}';
    const path = `${COLLECTIONS}/${held.get(SHARD)!.physical}/get`;
    return fake.look('POST', path, body).text;
  }

  async stop(): Promise<void> {
    for (const { fake } of this.replicas) fake.kill();
    await Promise.all(this.replicas.map((replica) => replica.leave()));
  }

  /** As the leader does when the primary does not work. */
  promote(id: string): void {
    this.#primary = id;
    this.positions.setCluster(
      this.replicas.map((each) => each.id),
      id,
    );
    this.#primaryChanged.notify();
  }

  /** The node's process ends; a second later it is back, and another node has taken its place as the primary. */
  restart(id: string): void {
    const replica = this.replica(id);
    replica.fake.kill();
    replica.applier.processGone();
    replica.answers = false;
    const left = replica.leave();
    const next = this.replicas.find(({ answers }) => answers);
    if (this.#primary === id && next !== undefined) this.promote(next.id);
    this.clock.after(RESTART_MS, () => {
      replica.fake.start();
      void left.then(() => {
        replica.answers = true;
        replica.follow();
        if (!this.replica(this.#primary).answers) this.promote(id);
      });
    });
  }

  /** Who decides. */
  get primary(): string {
    return this.#primary;
  }

  /** As the leader does: the next node that answers becomes primary, a moment later. */
  #stepDown(id: string, lsn: number): boolean {
    const isFit = (each: Replica): boolean =>
      each.answers && each.applier.checkpoint >= (this.#unfit.get(each.id) ?? 0);
    const next = this.replicas.find((each) => each.id !== id && isFit(each));
    if (next === undefined) return false;
    this.#unfit.set(id, lsn);
    this.clock.after(TAKEOVER_MS, () => {
      if (isFit(next)) this.promote(next.id);
    });
    return true;
  }

  #suspect(replica: Replica, reason: string): void {
    const held = replica.held.get(SHARD);
    if (held !== undefined) replica.held.set(SHARD, { ...held, suspect: reason });
    replica.applier.markSuspect(SHARD, reason);
  }

  #replica(id: string, options: MemoryReplicationOptions, { arbiter, trials, stagger }: Shared): Replica {
    const { clock, positions, decisions } = this;
    const fake = new FakeNode({ clock, server: new FakeChroma(options.random) });
    fake.look('POST', '/api/v2/tenants', '{"name":"polychrome"}');
    fake.look('POST', '/api/v2/tenants/polychrome/databases', '{"name":"polychrome"}');
    const { expect } = options;
    const client = fake.client(expect === undefined ? {} : { expect: () => expect(id) });
    const troubles: Error[] = [];
    const held = new Map<string, HeldShard>();
    const workload = new Workload(clock, STAGGER_MS);
    let over = new AbortController();
    let running: Promise<void> = Promise.resolve();
    const applier = new Applier({
      node: id,
      client,
      clock,
      logBuffer: this.#logBuffer,
      positions,
      decisions,
      checkpoints: {
        save: async (_epoch, _node, lsn, changes) => {
          await Promise.resolve();
          replica.checkpoint = lsn;
          for (const change of changes) keep(held, change);
        },
      },
      limits: () => ({ maxIds: 5_461, maxBytes: 1024 * 1024 }),
      leavesLists: () => false,
      recheck: () => Promise.resolve(null),
      settleMs: SETTLE_MS,
      appendInFlight: () => null,
      primary: () => ({ node: this.#primary, generation: 1 }),
      primaryChanged: this.#primaryChanged,
      stepDown: (lsn) => this.#stepDown(id, lsn),
      workload,
      stagger,
      trials,
      arbiter,
      attemptsMax: ATTEMPTS_MAX,
      canary: async () => (fake.up && !fake.server.isPoisoned ? null : 'writes are refused'),
      announce: async () => undefined,
      onLong: () => undefined,
      showsEffect: (shard, entry) => showsEffect(client, shard, entry),
      isLastCopy: (shard) =>
        !this.replicas.some((each) => each.id !== id && each.held.get(shard)?.suspect === null),
      suspect: async (_shard, reason) => this.#suspect(replica, reason),
      onTrouble: (error) => void troubles.push(error),
      onSchemaApplied: () => undefined,
    });
    const replica: Replica = {
      id,
      fake,
      client,
      applier,
      workload,
      troubles,
      held,
      checkpoint: 0,
      answers: true,
      follow() {
        over = new AbortController();
        const { signal } = over;
        const term: Term = { epoch: 1, clean: true, signal, held: () => !signal.aborted };
        running = applier.run(term, { checkpoint: replica.checkpoint, held: new Map(held) }, null);
      },
      async leave() {
        over.abort();
        await running;
      },
    };
    return replica;
  }
}

function keep(held: Map<string, HeldShard>, { shard, physical }: ShardChange): void {
  if (physical === null) held.delete(shard);
  else held.set(shard, { physical, ...PLACE, suspect: null });
}

// The real appliers, delivery, arbiter and positions on fake nodes, with a log, decisions and checkpoints in memory and
// time that passes when a test says so: replication without sockets, PostgreSQL or chance.

import { scanRecordCall, isRefusal } from '../../src/chroma/scanner.ts';
import type { RecordKind } from '../../src/chroma/record-call.ts';
import type { NodeClient } from '../../src/chroma/node-client.ts';
import type { Expected } from '../../src/chroma/marker.ts';
import type { Term } from '../../src/cluster/lease.ts';
import type { Entry } from '../../src/log/entry.ts';
import { Tail } from '../../src/log/tail.ts';
import { Applier } from '../../src/replication/applier.ts';
import { Arbiter } from '../../src/replication/arbiter.ts';
import type { Decision, HeldShard, ShardChange } from '../../src/replication/checkpoints.ts';
import { toDraft, type Operation } from '../../src/replication/operation.ts';
import { Positions } from '../../src/replication/positions.ts';
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
/** Longer than any pause of an applier; time beyond it means that something waits for ever. */
const PATIENCE_MS = 60_000;

class MemoryDecisions {
  readonly recorded = new Notifier();
  readonly made = new Map<number, Decision>();

  async find(lsn: number): Promise<Decision | null> {
    return this.made.get(lsn) ?? null;
  }

  isQuarantined(lsn: number): boolean {
    return this.made.get(lsn)?.outcome === 'quarantined';
  }

  async record(_by: object, decision: Decision): Promise<Decision> {
    await Promise.resolve();
    if (!this.made.has(decision.lsn)) this.made.set(decision.lsn, decision);
    this.recorded.notify();
    return this.made.get(decision.lsn)!;
  }
}

/** One node with its applier and what is durable about it. */
export interface Replica {
  readonly id: string;
  readonly fake: FakeNode;
  readonly client: NodeClient;
  readonly applier: Applier;
  readonly troubles: Error[];
  checkpoint: number;
  readonly held: Map<string, HeldShard>;
  /** Whether it follows the log and answers, as the leader would know it. */
  answers: boolean;
  follow(): void;
  /** Ends its term; resolves when its applier has stopped. */
  leave(): Promise<void>;
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
  readonly quarantines: { lsn: number; takenBy: readonly string[] }[] = [];
  readonly replicas: readonly Replica[];
  readonly #entries: Entry[] = [];
  readonly #tail = new Tail({ read: async (after, max) => this.#entries.slice(after, after + max) }, 0);
  #primary: string;
  readonly #primaryChanged = new Notifier();
  /** By node: the entry it could not decide. */
  readonly #unfit = new Map<string, number>();

  constructor(options: MemoryReplicationOptions) {
    this.#primary = options.nodes[0]!;
    this.positions.setCluster(options.nodes, this.#primary);
    const arbiter = new Arbiter({
      decisions: this.decisions,
      positions: this.positions,
      members: () => options.nodes,
      answering: () => this.replicas.filter(({ answers }) => answers).map(({ id }) => id),
      canary: async () => null,
      onQuarantine: async ({ lsn }, _response, takenBy) => {
        this.quarantines.push({ lsn, takenBy });
        for (const id of takenBy) this.#suspect(this.replica(id), `took LSN ${lsn}`);
      },
    });
    this.replicas = options.nodes.map((id) => this.#replica(id, options, arbiter));
  }

  replica(id: string): Replica {
    return this.replicas.find((each) => each.id === id)!;
  }

  /** Makes an operation durable; everybody who follows the log takes it from there. Returns its LSN. */
  append(operation: Operation): number {
    const lsn = this.#entries.length + 1;
    const entry: Entry = { lsn, ...toDraft(operation), batch: `batch-${lsn}`, appendedAt: this.clock.now() };
    this.#entries.push(entry);
    this.#tail.publish([entry]);
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
      if (!isFit(next)) return;
      this.#primary = next.id;
      this.positions.setCluster(
        this.replicas.map((each) => each.id),
        next.id,
      );
      this.#primaryChanged.notify();
    });
    return true;
  }

  #suspect(replica: Replica, reason: string): void {
    const held = replica.held.get(SHARD);
    if (held !== undefined) replica.held.set(SHARD, { ...held, suspect: reason });
    replica.applier.doubt(SHARD, reason);
  }

  #replica(id: string, options: MemoryReplicationOptions, arbiter: Arbiter): Replica {
    const { clock, positions, decisions } = this;
    const fake = new FakeNode({ clock, server: new FakeChroma(options.random) });
    const { expect } = options;
    const client = fake.client(expect === undefined ? {} : { expect: () => expect(id) });
    const troubles: Error[] = [];
    const held = new Map<string, HeldShard>();
    let over = new AbortController();
    let running: Promise<void> = Promise.resolve();
    const applier = new Applier({
      node: id,
      client,
      clock,
      tail: this.#tail,
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
      appendUnderWay: () => null,
      primary: () => ({ node: this.#primary, generation: 1 }),
      primaryChanged: this.#primaryChanged,
      stepDown: (lsn) => this.#stepDown(id, lsn),
      isQuarantined: (lsn) => decisions.isQuarantined(lsn),
      arbitrate: (entry, response, term) => arbiter.judge(id, entry, response, term),
      suspect: async (_shard, reason) => this.#suspect(replica, reason),
      onTrouble: (error) => void troubles.push(error),
      onRepeated: () => undefined,
      onSchemaApplied: () => undefined,
    });
    const replica: Replica = {
      id,
      fake,
      client,
      applier,
      troubles,
      held,
      checkpoint: 0,
      answers: true,
      follow() {
        over = new AbortController();
        const { signal } = over;
        const term: Term = { epoch: 1, clean: true, signal, held: () => !signal.aborted };
        running = applier.run(term, { checkpoint: replica.checkpoint, held: new Map(held) }, false);
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

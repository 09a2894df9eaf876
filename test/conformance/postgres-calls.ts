// Random calls of everything that src/ keeps in PostgreSQL, on any subject: the real server or the model of the simulation.
// A call is drawn once and made on each subject; what differs by nature (random tokens, times) is made equal.

import { Catalog } from '../../src/catalog/catalog.ts';
import { ClusterSnapshots } from '../../src/coordination/cluster-snapshot.ts';
import { GatewayStore } from '../../src/coordination/gateway-store.ts';
import { postgresLeaseStore } from '../../src/coordination/lease.ts';
import { generationOf } from '../../src/coordination/term.ts';
import { checksum, type Draft } from '../../src/log/entry.ts';
import { LogContinuity } from '../../src/log/log-continuity.ts';
import { PostgresAppendStore } from '../../src/log/postgres-append-store.ts';
import { PostgresLog, type LastChanges } from '../../src/log/postgres-log.ts';
import { CapabilityLevel } from '../../src/nodes/capability-level.ts';
import { MemberStore } from '../../src/nodes/member-store.ts';
import { NodeStore } from '../../src/nodes/node-store.ts';
import type { Database } from '../../src/postgres/database.ts';
import { CopyStore } from '../../src/repair/copy-store.ts';
import { ScrubStore } from '../../src/repair/scrub-store.ts';
import { Checkpoints } from '../../src/replication/checkpoints.ts';
import { Decisions } from '../../src/replication/decisions.ts';
import { PostgresTrialStore } from '../../src/replication/trials.ts';
import { CHROMA_1_0_5, WITH_ARRAYS } from '../support/capability-levels.ts';

/** Everything that a gateway keeps in one database. */
export class StorageSubject {
  readonly database: Database;
  readonly log: PostgresLog;
  readonly continuity: LogContinuity;
  readonly catalog: Catalog;
  readonly capabilities: CapabilityLevel;
  readonly members: MemberStore;
  readonly nodes: NodeStore;
  readonly copies: CopyStore;
  readonly scrub: ScrubStore;
  readonly checkpoints: Checkpoints;
  readonly trials: PostgresTrialStore;
  readonly lease: ReturnType<typeof postgresLeaseStore>;
  readonly gateways: GatewayStore;
  readonly snapshots: ClusterSnapshots;
  /** Epochs that were acquired, in order. */
  readonly epochs: number[] = [];

  constructor(database: Database) {
    this.database = database;
    this.log = new PostgresLog(database);
    this.continuity = new LogContinuity(database);
    this.catalog = new Catalog(database);
    this.capabilities = new CapabilityLevel(database);
    this.members = new MemberStore(database);
    this.nodes = new NodeStore(database);
    this.copies = new CopyStore(database);
    this.scrub = new ScrubStore(database);
    this.checkpoints = new Checkpoints(database);
    this.trials = new PostgresTrialStore(database);
    this.lease = postgresLeaseStore(database);
    this.gateways = new GatewayStore(database, EXPIRY_MS);
    this.snapshots = new ClusterSnapshots(database, 'a', EXPIRY_MS);
  }

  /** One that remembers nothing. */
  get decisions(): Decisions {
    return new Decisions(this.database);
  }

  /** The epoch of a term, counted from the last; one that was never acquired beyond the first. */
  epoch(back: number): number {
    return this.epochs.at(-1 - back) ?? 1;
  }

  async append(token: string, drafts: readonly Draft[], known: number): Promise<unknown> {
    const { logId } = await this.log.head();
    const seen = { head: known, newest: null };
    const options = { logId: () => logId, takeWarning: () => null, seen: () => seen };
    return new PostgresAppendStore(this.database, options).append(token, drafts, drafts.map(checksum));
  }
}

export interface StorageCall {
  readonly name: string;
  readonly make: (subject: StorageSubject) => Promise<unknown>;
}

type Draw = (limit: number) => number;

/** Longer than any run: the clocks of the subjects differ. */
const EXPIRY_MS = 3_600_000;

const NODES = ['a', 'b', 'c'];
const NAMES = ['apples', 'pears', 'plums'];
const AT = { tenant: 'default_tenant', database: 'default_database' };
const uuid = (kind: number, n: number): string =>
  `${String(kind).padStart(8, '0')}-0000-4000-8000-${String(n).padStart(12, '0')}`;
const collection = (n: number): string => uuid(1, n);
const shard = (n: number): string => uuid(2, n);
const physical = (node: string, n: number): string => uuid(3 + NODES.indexOf(node), n);

/** One call, with parameters that often fit what was done before. */
export function drawCall(draw: Draw): StorageCall {
  const node = NODES[draw(3)]!;
  const [n, lsn, back] = [draw(5), 1 + draw(30), draw(8) === 0 ? 1 : 0];
  const choices: readonly StorageCall[] = [
    ...appends(draw),
    ...appends(draw),
    ...leases(draw),
    ...steps({ draw, node, n, lsn, back }),
    ...copies({ draw, node, n, lsn, back }),
    ...reads({ draw, node, n, lsn, back }),
  ];
  return choices[draw(choices.length)]!;
}

function appends(draw: Draw): StorageCall[] {
  const entries = Array.from({ length: 1 + draw(3) }, () => drawDraft(draw));
  const token = uuid(9, draw(200));
  const known = draw(20) === 0 ? 1_000 : 0;
  return [
    {
      name: `append ${entries.map(({ kind }) => kind).join()}`,
      make: (s) => s.append(token, entries, known),
    },
  ];
}

function drawDraft(draw: Draw): Draft {
  const n = draw(5);
  const body = Buffer.from(`{"ids":["${draw(9)}"]}`);
  const make = (
    kind: string,
    target: string | null,
    header: object,
    dimension: number | null = null,
  ): Draft => {
    return { kind, target, header: JSON.stringify(header), dimension, body };
  };
  const name = NAMES[draw(3)]!;
  const place = draw(6) === 0 ? { tenant: 'default_tenant', database: 'second' } : AT;
  const replaces = [[], ['metadata'], ['configuration'], ['metadata', 'configuration']][draw(4)]!;
  const modification = { shards: [shard(n)], new_name: draw(2) === 0 ? name : null, replaces };
  const drafts = [
    make('create_collection', collection(n), { shard: shard(n), ...place, name }),
    make('create_collection', collection(n), { shard: shard(n), ...place, name }),
    { ...make('upsert', shard(n), {}, 1 + draw(2)), revision: draw(3) },
    make('add', shard(n), {}, null),
    make('delete_where', shard(n), {}),
    make('modify_collection', collection(n), modification),
    make('delete_collection', collection(n), { shards: [shard(n)], ...place, name }),
    make('create_database', uuid(8, n), { tenant: 'default_tenant', database: 'second' }),
    make('delete_database', null, { tenant: 'default_tenant', database: 'second' }),
    make('create_tenant', null, { tenant: 'other' }),
    make('delete_tenant', null, { tenant: 'other' }),
  ];
  const draft = drafts[draw(drafts.length)]!;
  // A collection is created once: its id is random in a gateway.
  return draft.kind === 'create_collection' ? { ...draft, ...fresh(draw, place, name) } : draft;
}

function fresh(draw: Draw, place: object, name: string): Pick<Draft, 'target' | 'header'> {
  const n = 5 + draw(1_000_000);
  return draw(2) === 0
    ? { target: collection(n), header: JSON.stringify({ shard: shard(n), ...place, name }) }
    : {
        target: collection(n),
        header: JSON.stringify({ shard: shard(n), ...place, name: `${name}-${draw(3)}` }),
      };
}

function leases(draw: Draw): StorageCall[] {
  const isStale = draw(4) === 0;
  return [
    {
      name: 'acquire',
      async make(s) {
        const seen = await s.lease.read();
        const epoch = await s.lease.acquire('g', isStale ? { ...seen, renewal: seen.renewal + 1 } : seen);
        if (epoch !== null) s.epochs.push(epoch);
        return epoch;
      },
    },
    { name: 'renew', make: (s) => s.lease.renew(s.epoch(isStale ? 1 : 0)) },
    ...(isStale ? [{ name: 'release', make: (s: StorageSubject) => s.lease.release(s.epoch(0)) }] : []),
  ];
}

interface Drawn {
  readonly draw: Draw;
  readonly node: string;
  readonly n: number;
  readonly lsn: number;
  /** Terms back from the present one. */
  readonly back: number;
}

/** A shard of a collection of the catalog; one that does not exist when there is none. */
async function someShard(s: StorageSubject, n: number): Promise<string> {
  const catalog = new Catalog(s.database);
  await catalog.refresh();
  return catalog.shards().toSorted()[n] ?? shard(n);
}

function steps({ draw, node, n, lsn, back }: Drawn): StorageCall[] {
  const outcome = (['accepted', 'refused', 'quarantined', 'partly_applied'] as const)[draw(4)]!;
  const decider = draw(3) === 0 ? null : node;
  const generation = draw(3);
  const dropped = draw(3) === 0;
  const beginning = { id: node, resets: draw(3) === 0 ? 1 : 0 };
  const offered = draw(2) === 0 ? CHROMA_1_0_5 : WITH_ARRAYS;
  const attempts = [{ lsn, node, attempts: 1 + draw(3), alone: draw(3), appliedRecords: draw(2) }];
  const failure = { kind: 'response', status: 500, body: Buffer.from('no') } as const;
  return [
    {
      name: 'checkpoint',
      async make(s) {
        const of = await someShard(s, n);
        const change = {
          shard: of,
          physical: dropped ? null : physical(node, n),
          name: dropped ? null : NAMES[n % 3]!,
          lsn,
        };
        return s.checkpoints.save(s.epoch(back), beginning, lsn, draw(2) === 0 ? [] : [change]);
      },
    },
    {
      name: 'decide',
      async make(s) {
        const head = await s.log.head();
        const by = {
          epoch: s.epoch(back),
          node: decider,
          generation: head.primaryGeneration - (generation === 0 ? 1 : 0),
        };
        const undecided = Math.min(lsn, head.lsn);
        return s.decisions.record(by, undecided, { outcome, status: 200, body: Buffer.from('[]'), pages: 0 });
      },
    },
    {
      name: 'decision page',
      async make(s) {
        const by = { epoch: s.epoch(back), node, generation: (await s.log.head()).primaryGeneration };
        return s.decisions.addPage(by, lsn, draw(2), Buffer.from('["x"]'));
      },
    },
    { name: 'set primary', make: (s) => s.nodes.setPrimary(s.epoch(back), node) },
    {
      name: 'suspect',
      make: async (s) => s.checkpoints.suspect(s.epoch(back), node, await someShard(s, n), 'why'),
    },
    {
      name: 'trials',
      make: (s) =>
        s.trials.save(
          s.epoch(back),
          attempts.map((each) => ({ ...each, failure })),
        ),
    },
    {
      name: 'seed',
      make: (s) => s.members.seed(NODES.slice(0, 1 + draw(3)).map((id) => ({ id, url: `http://${id}` }))),
    },
    { name: 'add member', make: (s) => s.members.add({ id: node, url: `http://${node}` }) },
    { name: 'move', make: (s) => s.members.move({ id: node, url: `http://${node}2` }, `http://${node}`) },
    { name: 'drain', make: (s) => s.members.drain(node, draw(2) === 0) },
    { name: 'count', make: (s) => s.members.count(node) },
    { name: 'remove', make: (s) => (n === 0 ? s.members.remove(s.epoch(back), node) : Promise.resolve()) },
    { name: 'reset', make: (s) => (n === 0 ? s.members.reset(s.epoch(back), node) : Promise.resolve()) },
    {
      name: 'join',
      make: (s) =>
        s.nodes.add(s.epoch(back), {
          ...{ id: node, url: `http://${node}`, incarnation: uuid(7, n), checkpoint: 0 },
        }),
    },
    { name: 'filled', make: (s) => s.nodes.filled(s.epoch(back), node, lsn) },
    { name: 'removable', make: (s) => s.nodes.removable(node) },
    { name: 'state', make: (s) => s.nodes.update(s.epoch(back), beginning, 'serving', null) },
    { name: 'announce', make: (s) => s.nodes.announce(s.epoch(back), node, lsn, 0) },
    { name: 'marked', make: (s) => s.nodes.marked(s.epoch(back), beginning, lsn) },
    { name: 'capabilities', make: (s) => s.capabilities.join(node, offered, 2, s.epoch(back)) },
  ];
}

function copies({ node, n, lsn, back }: Drawn): StorageCall[] {
  const first = async (
    s: StorageSubject,
  ): Promise<{ node: string; physical: string; name: string; shard: string }> =>
    (await s.copies.aside())[0] ?? { node, physical: physical(node, 50 + n), name: 'copy', shard: shard(n) };
  return [
    {
      name: 'begin copy',
      async make(s) {
        const copy = {
          node,
          shard: await someShard(s, n),
          physical: physical(node, 50 + n),
          name: `copy-${n}`,
        };
        return s.copies.begin(s.epoch(back), copy);
      },
    },
    {
      name: 'created',
      async make(s) {
        const copy = await first(s);
        return s.copies.created(s.epoch(back), copy, {
          physical: physical(copy.node, 100 + n),
          fromLSN: lsn,
        });
      },
    },
    { name: 'abandon', make: async (s) => s.copies.abandon(s.epoch(back), await first(s), 'why') },
    {
      name: 'rename copy',
      make: async (s) => s.copies.rename(s.epoch(back), await first(s), `other-${lsn}`),
    },
    { name: 'dropped', make: async (s) => s.copies.dropped(s.epoch(back), await first(s)) },
    { name: 'marked copy', make: (s) => s.copies.marked(s.epoch(back), node, 1 + n) },
    { name: 'swap', make: async (s) => s.copies.swap(s.epoch(back), await first(s), lsn) },
  ];
}

function reads({ draw, node, n, lsn, back }: Drawn): StorageCall[] {
  return [
    { name: 'refresh', make: (s) => s.catalog.refresh() },
    { name: 'forget deleted', make: (s) => s.catalog.forgetDeleted() },
    { name: 'positions', make: async (s) => s.log.positions([await someShard(s, n), shard(n)]) },
    { name: 'read', make: (s) => s.log.read(lsn - 1, 1 + draw(4), 1 + draw(60)) },
    { name: 'lsns', make: async (s) => s.log.lsnsOf(await someShard(s, n), draw(10), 3) },
    { name: 'contains', make: (s) => s.continuity.contains({ lsn, token: uuid(9, draw(200)) }) },
    { name: 'state of the log', make: async (s) => (await s.continuity.state()).rewound },
    {
      name: 'confirm',
      make: async (s) => s.continuity.confirm(s.epoch(back), (await s.continuity.state()).timeline),
    },
    { name: 'last changes', make: async (s) => comparableChanges(await s.log.lastChanges()) },
    { name: 'changes', make: (s) => s.log.changes(lsn - 1, lsn + draw(4)) },
    {
      name: 'register gateway',
      make: (s) => s.gateways.register({ id: node, address: `http://${node}`, version: '1' }),
    },
    { name: 'gateway seen', make: (s) => s.gateways.seen(node, { nodesReached: n, knows: draw(4) }) },
    { name: 'gateway leaves', make: (s) => s.gateways.leave(node) },
    { name: 'is aside', make: (s) => s.copies.isAside(node, physical(node, 50 + n)) },
    { name: 'find decision', make: (s) => s.decisions.find(lsn) },
    { name: 'scrub begins', make: (s) => s.scrub.begin(s.epoch(back)) },
    {
      name: 'scrub advances',
      make: (s) =>
        s.scrub.advance(s.epoch(back), shard(n), { records: 2, uncompared: 1, suspects: 0, skipped: 1 }),
    },
    { name: 'scrub ends', make: (s) => s.scrub.finish(s.epoch(back)) },
    { name: 'scrub pauses', make: (s) => s.scrub.setPaused(draw(2) === 0) },
  ];
}

const comparableChanges = ({ schema, shards, otherShards }: LastChanges): unknown => ({
  ...{ schema, otherShards },
  shards: [...shards].sort(([a], [b]) => (a < b ? -1 : 1)),
});

/** Without what differs by nature, or is compared as rows of nodes. */
async function snapshotOf(s: StorageSubject): Promise<unknown> {
  const snapshot = await s.snapshots.read();
  const term = (epoch: number): number => s.epochs.indexOf(epoch);
  const nodes = snapshot.nodes.map((each) => ({
    ...each,
    ...{ isBusy: null, checkpoint: null, stateEpoch: term(each.stateEpoch) },
  }));
  return { ...snapshot, epoch: term(snapshot.epoch), nodes: nodes.sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

async function capabilitiesOf({ database }: StorageSubject): Promise<unknown> {
  const level = new CapabilityLevel(database);
  await level.load();
  return level.current;
}

/** Everything that the subject's tables hold, as the stores return it. */
export async function contentOf(s: StorageSubject): Promise<unknown> {
  const catalog = new Catalog(s.database);
  await catalog.refresh();
  const head = await s.log.head();
  const decisions = s.decisions;
  await decisions.load();
  const lsns = Array.from({ length: head.lsn }, (_, i) => i + 1);
  const collections = catalog.liveCollections(AT.tenant, AT.database);
  const scrub = await s.scrub.load();
  return plain({
    head: { ...head, logId: '', cluster: '' },
    lease: await s.lease.read(),
    snapshot: await snapshotOf(s),
    gateways: (await s.gateways.list())
      .map(({ id, address, version, nodesReached }) => `${id} ${address} ${version} ${nodesReached}`)
      .toSorted(),
    log: await s.log.read(0, 10_000, 10_000_000).catch(() => []),
    decisions: await Promise.all(lsns.map((lsn) => s.decisions.find(lsn))),
    quarantine: decisions.openQuarantine,
    collections,
    known: s.catalog.liveCollections(AT.tenant, AT.database),
    tenants: catalog.tenants().toSorted(),
    databases: catalog.databases(AT.tenant),
    copies: NODES.map((node) => catalog.suspectShards(node).toSorted()),
    assigned: await Promise.all(NODES.map(async (node) => byKey(await s.checkpoints.assigned(node)))),
    taken: await Promise.all([0, 1, 2].map((n) => s.checkpoints.takenEarlier(shard(n)))),
    aside: (await s.copies.aside()).map(({ ageMs: _age, ...copy }) => copy),
    bodies: await Promise.all(collections.map(({ id }) => s.copies.bodies(id))),
    nodes: await s.nodes.all(),
    capabilities: await capabilitiesOf(s),
    members: await s.members.list(),
    trials: await s.trials.load(),
    scrub: {
      counts: scrub.counts,
      cursor: scrub.cursor,
      isPaused: scrub.isPaused,
      ends: scrub.finishedAt === null,
    },
  });
}

/** The value without what is random by nature: the token in an epoch, times. */
export function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (key, part: unknown) => {
    if (key === 'appendedAt' || key === 'busyMs') return null;
    if (typeof part === 'number' && part >= 2 ** 24) return { term: generationOf(part) };
    if (part instanceof Map) return byKey(part as ReadonlyMap<string, unknown>);
    return part;
  });
  return text === undefined ? null : (JSON.parse(text) as unknown);
}

function byKey<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

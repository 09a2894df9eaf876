// Builds one node with its clients, checks, applier and marker.

import type { Config } from '../config/config.ts';
import { roundEntriesMax } from '../config/older.ts';
import { CallStats } from '../chroma/client/call-stats.ts';
import type { Expected, NodeIdentity } from '../chroma/client/identity.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { probeCapabilities } from '../chroma/client/probe-capabilities.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import type { Appender } from '../log/appender.ts';
import type { LogBuffer } from '../log/log-buffer.ts';
import { Admission } from '../nodes/admission.ts';
import { createCanary } from '../nodes/canary.ts';
import { Node, type NodeProbe, type VerificationFailure } from '../nodes/node.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import type { MemberRow } from '../nodes/member-store.ts';
import { canServe, type NodeState } from '../nodes/node-state.ts';
import type { EventKind } from '../observability/events.ts';
import { createNodeProbe, type Announced } from '../nodes/probe.ts';
import type { StateRecorder } from '../nodes/state-recorder.ts';
import { ReadsInFlight } from '../nodes/reads-in-flight.ts';
import type { ReadCandidate } from '../read/node-selection.ts';
import type { FailingNodes } from '../repair/failing-nodes.ts';
import { LogVerifier } from '../repair/log-verifier.ts';
import { traceOf } from '../repair/entry-trace.ts';
import { sampleDocuments, showsEffect } from '../repair/read-back.ts';
import { Applier, ROUND_ENTRIES_MAX } from '../replication/applier.ts';
import type { Arbiter } from '../replication/arbiter.ts';
import { reportTrouble } from '../replication/delivery.ts';
import type { Endings } from '../replication/endings.ts';
import type { Follower } from '../replication/follower.ts';
import type { Leader } from '../replication/leader.ts';
import type { Positions } from '../replication/positions.ts';
import type { RecordedNodes } from '../replication/recorded-nodes.ts';
import type { Stagger } from '../replication/stagger.ts';
import type { SuspectShards } from '../replication/suspect-shards.ts';
import type { Trials } from '../replication/trials.ts';
import { Workload } from '../replication/workload.ts';
import type { Notifier } from '../util/notifier.ts';
import type { Deps } from './deps.ts';
import { buildFilling } from './node-filling.ts';
import { nodeWork } from './node-work.ts';
import type { Storage } from './storage.ts';

export interface BuiltNode extends Follower, ReadCandidate {
  readonly calls: CallStats;
  readonly workload: Workload;
  /** Its calls of rebuilds. */
  readonly copying: Workload;
  readonly canary: () => Promise<string | null>;
  /** Ends every connection to the node; resolves when no call is in flight. */
  readonly disconnect: () => Promise<void>;
}

/** What all nodes of a gateway share. */
export interface NodeParts {
  /** All nodes, this one included once the gateway is built. */
  readonly nodes: Pick<NodeRegistry<BuiltNode>, 'all' | 'ids'>;
  readonly config: Config;
  readonly deps: Deps;
  readonly storage: Storage;
  readonly current: CurrentTerm;
  readonly logBuffer: LogBuffer;
  readonly appender: Appender;
  readonly positions: Positions;
  readonly arbiter: Arbiter;
  readonly endings: Endings;
  readonly stagger: Stagger;
  readonly trials: Trials;
  readonly suspects: SuspectShards;
  readonly leader: Leader;
  readonly primaryChanged: Notifier;
  readonly refreshCatalog: () => Promise<void>;
  readonly forget: () => void;
  readonly states: StateRecorder;
  readonly follows: () => boolean;
  /** Whether a marker announces that a copy may be suspect without this gateway knowing. */
  readonly isNewer: (announced: Announced) => boolean;
  /** Whether another gateway leads, and the nodes as that one has recorded them. */
  readonly recorded: () => Pick<RecordedNodes, 'isBusy'>;
  /** The node that gets entries for the target before any other. */
  readonly firstOf: (target: string | null) => string | null;
  /** A node hangs on a call: it should be restarted. */
  readonly onHung: (node: string, url: string) => void;
  readonly failing: Pick<FailingNodes, 'works' | 'failed'>;
}

// A merged call must stay below the 40 MiB that Chroma's servers take, with its frame.
const MERGED_BYTES_MAX = 39 * 1024 * 1024;
const CANARY_DEADLINE_MS = 5_000;
const UNVERIFIED: VerificationFailure = { contentLost: false, reason: 'the gateway that leads verifies it' };
// A long call waits so long for reads that were sent to its node before: about the slowest ordinary read of a loaded
// server, and half of the shortest long call.
const READS_END_MS_MAX = 250;

/** What the parts of one node know of each other. */
interface Wiring {
  readonly workload: Workload;
  readonly copying: Workload;
  readonly identity: NodeIdentity;
  readonly readsInFlight: ReadsInFlight;
  readonly clients: Clients;
}

interface Clients {
  /** Connections are used once the node has proved whose it is, and its process was verified. */
  readonly client: NodeClient;
  /** One connection that watches the process. */
  readonly watcher: NodeClient;
  /** For a server that has no identity yet. */
  readonly unverified: NodeClient;
}

/** `isReplacement`: see Follower. */
export function buildNode(address: MemberRow, isReplacement: boolean, parts: NodeParts): BuiltNode {
  const { config, deps, isNewer } = parts;
  const identity: NodeIdentity = { expected: null, refuses: () => null };
  let isLeft = false;
  const watched: Watched = {
    markerLSN: () => member.markerLSN,
    isVerified: () => member.verified,
    connectionLost: () => {
      if (isLeft) return; // ended by this gateway: that says nothing about the process
      member.connectionLost();
      parts.trials.died(address.id);
      parts.positions.restarted(address.id, applier.checkpoint);
    },
  };
  const calls = new CallStats();
  const wiring: Wiring = {
    workload: new Workload(deps.clock, config.STAGGER_MS),
    copying: new Workload(deps.clock, config.STAGGER_MS),
    identity,
    readsInFlight: new ReadsInFlight(deps.clock),
    clients: buildClients(address, identity, { ...watched, calls }, deps),
  };
  const { client, watcher, unverified } = wiring.clients;
  const verifierOver = (through: NodeClient): LogVerifier =>
    buildVerifier(address.id, through, parts, () => ({ member, admission, applier }));
  const verifier = verifierOver(watcher);
  const { clock, random, gatewayId: recordId } = deps;
  const canary = createCanary(client, { recordId, deadlineMs: CANARY_DEADLINE_MS, random, clock });
  const { workload } = wiring;
  const verify = async (): Promise<VerificationFailure | null> =>
    parts.follows()
      ? UNVERIFIED
      : ((await verifier.verify()) ?? missingCapability(address.id, watcher, parts));
  const work = nodeWork(wiring, () => parts.recorded().isBusy(address.id));
  const probe = createNodeProbe({ watcher, canary, verify, work, clock, isNewer });
  const canaryReason = async (): Promise<string | null> => (await probe.canary())?.reason ?? null;
  const member = buildMember(address, probe, wiring, parts, () => applier);
  // A recheck of a slow node takes a while, during which the probe needs its connection.
  const applier = buildApplier(member, wiring, verifierOver(client), canaryReason, parts);
  const admission = buildAdmission(member, wiring, verifier, parts);
  const disconnect = async (): Promise<void> => {
    isLeft = true;
    await Promise.all([client, watcher, unverified].map((each) => each.destroy()));
    await applier.callsEnded();
  };
  return {
    member,
    client,
    applier,
    admission,
    isReplacement,
    readsInFlight: wiring.readsInFlight,
    workload,
    copying: wiring.copying,
    calls,
    canary: canaryReason,
    disconnect,
  };
}

/** What a server that was started again lacks: it may be of another release. */
async function missingCapability(
  node: string,
  client: NodeClient,
  { storage, nodes, current }: NodeParts,
): Promise<VerificationFailure | null> {
  try {
    const offered = await probeCapabilities(client);
    const epoch = current.term?.epoch ?? 0;
    const lacks = await storage.capabilities.join(node, offered, nodes.ids().length, epoch);
    return lacks === null ? null : { contentLost: false, reason: `${lacks}, which the cluster uses already` };
  } catch (error) {
    return { contentLost: false, reason: `not verified: ${String(error)}` };
  }
}

/** What the clients of a node ask of the one who watches it. */
interface Watched {
  readonly markerLSN: () => number;
  readonly isVerified: () => boolean;
  readonly connectionLost: () => void;
}

interface ClientParts extends Watched {
  readonly calls: CallStats;
}

function buildClients(
  { url }: MemberRow,
  identity: NodeIdentity,
  { markerLSN, isVerified, connectionLost, calls: stats }: ClientParts,
  { clock, connections }: Deps,
): Clients {
  const expect = (): Expected | null =>
    identity.expected === null ? null : { ...identity.expected, markerLSN: markerLSN() };
  const single = { url, clock, readConnections: 1, mutateConnections: 1 };
  return {
    // While the process behind the address may be a new one, only calls that check it are let through.
    client: connections.verified({ url, clock, stats, expect: () => (isVerified() ? expect() : null) }),
    watcher: connections.verified({ url, clock, expect, readConnections: 1, onDisconnected: connectionLost }),
    unverified: connections.unverified({ ...single, refuses: (found) => identity.refuses(found) }),
  };
}

function buildVerifier(
  node: string,
  client: NodeClient,
  { storage, deps, current, leader, suspects }: NodeParts,
  built: () => Pick<BuiltNode, 'member' | 'admission' | 'applier'>,
): LogVerifier {
  const { log, checkpoints, copies, decisions } = storage;
  return new LogVerifier({
    client,
    clock: deps.clock,
    log,
    decisions,
    roundEntriesMax: ROUND_ENTRIES_MAX,
    sentTo: (shard) => (current.term && built().applier.offeredTo(current.term, shard)) ?? Infinity,
    checkpoint: async () => {
      await checkpoints.settled();
      return built().admission.checkpoint();
    },
    assigned: () => checkpoints.assigned(node),
    head: async () => (await log.head()).lsn,
    onDamaged: (damage) => leader.damaged(node, damage),
    onVerified: (lsn) => {
      const { member, applier } = built();
      // What a recheck finds while the node serves keeps back its marker only.
      member.minServingLSN = canServe(member.state) ? Math.max(member.minServingLSN, lsn) : lsn;
      if (lsn > applier.checkpoint && !canServe(member.state))
        deps.logger.info({ node, lsn }, 'node waits for an entry before it serves');
    },
    markSuspect: (shard, reason) => {
      const { term } = current;
      if (term === null) throw new Error('this gateway does not lead');
      return suspects.add(node, shard, reason, term);
    },
    isAside: (physical) => copies.isAside(node, physical),
  });
}

function buildMember(
  address: MemberRow,
  probe: NodeProbe,
  wiring: Wiring,
  { config, deps, storage, current, states, recorded, stagger, forget, onHung, failing }: NodeParts,
  applier: () => Applier,
): Node {
  const { clock, logger } = deps;
  const { readsInFlight } = wiring;
  const { id } = address;
  const work = nodeWork(wiring, () => recorded().isBusy(id));
  /** It has failed since it served last. */
  let wasOut = false;
  return new Node({
    ...address,
    probe,
    work,
    overdueMaxMs: config.ENTRY_TIMEOUT_MS,
    clock,
    onProcessGone: () => applier().processGone(),
    onHealth: (failure) => (failure === null ? failing.works(id) : failing.failed(id, failure)),
    onTransition: (node, from, event, reason) => {
      logger.info({ node: node.id, from, to: node.state, event, reason }, 'node changed state');
      // Reads in flight on a drained node end by themselves.
      if (!canServe(node.state) && node.state !== 'drained') readsInFlight.abort();
      if (node.state === 'down' && work.isOverdueBy(0)) {
        applier().callsOverdue();
        onHung(node.id, node.url);
      }
      stagger.reconsider();
      if (event === 'lost_content') forget();
      const kind = eventOf(from, node.state, wasOut);
      wasOut = !canServe(node.state) && (wasOut || from !== 'joining');
      const { term } = current;
      if (term === null) return;
      if (kind !== null) storage.events.record(kind, { node: node.id, from, reason });
      states.record(node);
    },
  });
}

/** What a transition means to operators; null: nothing. */
function eventOf(from: NodeState, to: NodeState, wasOut: boolean): EventKind | null {
  if (to === 'down') return 'node_down';
  if (to === 'fenced') return 'node_fenced';
  if (to === 'needs_rebuild') return 'node_lost_content';
  if (from !== 'catching_up' || to !== 'serving') return null;
  return wasOut ? 'node_recovered' : 'node_serving';
}

function buildApplier(
  member: Node,
  { workload, readsInFlight, clients: { client } }: Wiring,
  verifier: LogVerifier,
  canary: () => Promise<string | null>,
  parts: NodeParts,
): Applier {
  const { config, deps, storage, leader, suspects, appender, refreshCatalog } = parts;
  const { catalog, capabilities, checkpoints, copies, decisions, nodes } = storage;
  const { logBuffer, positions, arbiter, endings, stagger, trials, primaryChanged } = parts;
  const { id, resets } = member;
  const onStale = (error: unknown): void =>
    deps.logger.warn({ error: String(error) }, 'catalog not refreshed');
  return new Applier({
    node: id,
    resets,
    client,
    clock: deps.clock,
    logBuffer,
    positions,
    checkpoints,
    decisions,
    roundEntriesMax: () => roundEntriesMax(config, member.state === 'catching_up'),
    limits: () => ({ maxIds: capabilities.current.maxBatchSize, maxBytes: MERGED_BYTES_MAX }),
    leavesLists: () => capabilities.current.metadataArrays,
    isDeleted: (shard) => catalog.collectionOfShard(shard) === null,
    isKnownSuspect: (shard, physical) => catalog.isSuspectCopy(id, shard, physical),
    onLeftover: (name, error) =>
      deps.logger.warn({ node: id, name, error: String(error) }, 'deleted collection not dropped'),
    primaryChanged,
    primary: () => leader.primary,
    onNotPrimary: (primary) => leader.notPrimary(primary),
    firstOf: parts.firstOf,
    stepDown: (lsn) => leader.stepDown(id, lsn),
    settleMs: config.SETTLE_MS,
    appendInFlight: () => appender.inFlight,
    workload,
    stagger,
    trials,
    arbiter,
    endings,
    attemptsMax: config.ENTRY_ATTEMPTS,
    canary,
    announce: (lsn, forMs, term) => nodes.announce(term.epoch, id, lsn, forMs),
    readsEnded: async () => {
      const isOtherFree = parts.nodes.all().some(({ member: { state } }) => state === 'serving');
      if (isOtherFree) await readsInFlight.ended(deps.clock, READS_END_MS_MAX);
    },
    onLong: (isLong) => {
      if (isLong) member.on('occupied', 'it works on a long call');
      else if (!workload.isLong) member.on('free', 'it has responded to the long call');
    },
    showsEffect: (shard, entry) => showsEffect(client, shard, entry),
    trace: (shard, entry) => traceOf(client, shard, entry),
    sampleDocuments: (shard) => sampleDocuments(client, shard),
    isLastCopy: (shard) =>
      !parts.nodes.ids().some((other) => other !== id && catalog.isHealthy(other, shard)),
    suspect: (shard, reason, term) => suspects.add(id, shard, reason, term),
    onTrouble: (error) => reportTrouble(member, error),
    recheck: async () => {
      const finding = await verifier.verify();
      if (finding?.contentLost === true) member.on('lost_content', finding.reason);
      return finding === null ? checkpoints.assigned(id) : null;
    },
    isAside: (physical) => copies.isAside(id, physical),
    holdsAside: async ({ tenant, database }) =>
      (await copies.aside(id)).some((copy) => copy.tenant === tenant && copy.database === database),
    onSchemaApplied: () => void refreshCatalog().catch(onStale),
  });
}

function buildAdmission(member: Node, wiring: Wiring, verifier: LogVerifier, parts: NodeParts): Admission {
  const { identity } = wiring;
  const { client, unverified } = wiring.clients;
  const { nodes, storage, current, leader } = parts;
  return new Admission({
    member,
    identity,
    client,
    unverified,
    nodes: storage.nodes,
    introduction: buildFilling(member, { identity, unverified }, parts),
    onAdmitting: async () => {
      const offered = await probeCapabilities(client);
      const epoch = current.term?.epoch ?? 0;
      const lacks = await storage.capabilities.join(member.id, offered, nodes.ids().length, epoch);
      if (lacks !== null) member.refuse(lacks);
    },
    logContains: (seen) => storage.continuity.contains(seen),
    onRewound: (lsn) => leader.rewound(member.id, lsn),
    verify: () => verifier.verify(),
  });
}

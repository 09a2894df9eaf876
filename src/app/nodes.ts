// One node with everything that looks at it and moves it, for the composition root.

import { createCanary } from '../nodes/canary.ts';
import { probeCapabilities } from '../chroma/protocol/capabilities.ts';
import type { MergeLimits } from '../chroma/batch/merge.ts';
import type { Expected, Identity } from '../chroma/client/identity.ts';
import {
  createNodeClient,
  createUnverifiedNodeClient,
  type NodeClient,
} from '../chroma/client/node-client.ts';
import type { Term } from '../coordination/term.ts';
import { Member } from '../nodes/node.ts';
import { canServe } from '../nodes/node-state.ts';
import type { NodeStore } from '../nodes/node-store.ts';
import type { NodeAddress } from '../config.ts';
import type { Appender } from '../log/appender.ts';
import type { PostgresLog } from '../log/postgres-log.ts';
import type { Tail } from '../log/log-buffer.ts';
import type { ReadNode } from '../read/node-selection.ts';
import { Admission } from '../nodes/admission.ts';
import { Applier, ROUND_ENTRIES_MAX } from '../replication/applier.ts';
import type { Arbiter } from '../replication/arbiter.ts';
import type { CapabilityLevel } from '../nodes/capability-level.ts';
import type { Checkpoints } from '../replication/checkpoints.ts';
import type { Decisions } from '../replication/decisions.ts';
import { reportTrouble } from '../replication/delivery.ts';
import type { Follower, Leader } from '../replication/leader.ts';
import { createNodeProbe } from '../nodes/probe.ts';
import type { Positions } from '../replication/positions.ts';
import type { Stagger } from '../replication/stagger.ts';
import type { Trials } from '../replication/trials.ts';
import { Workload } from '../replication/workload.ts';
import { showsEffect } from '../repair/read-back.ts';
import { TailVerifier } from '../repair/log-verifier.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import type { Notifier } from '../util/notifier.ts';

export interface BuiltNode extends Follower, ReadNode {
  readonly watcher: NodeClient;
  readonly unverified: NodeClient;
  readonly workload: Workload;
  readonly canary: () => Promise<string | null>;
}

/** What all nodes of a gateway share. */
export interface NodeParts {
  readonly gatewayId: string;
  readonly nodesCount: number;
  readonly settleMs: number;
  readonly staggerMs: number;
  readonly attemptsMax: number;
  /** How long beyond its bound a call may go without progress, ms. */
  readonly overdueMaxMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
  readonly logger: Logger;
  readonly log: PostgresLog;
  readonly tail: Tail;
  readonly appender: Appender;
  readonly positions: Positions;
  readonly checkpoints: Checkpoints;
  readonly decisions: Decisions;
  readonly capabilities: CapabilityLevel;
  readonly nodes: NodeStore;
  readonly arbiter: Arbiter;
  readonly stagger: Stagger;
  readonly trials: Trials;
  /** A node hangs on a call: it should be restarted. */
  readonly onHung: (node: string, url: string) => void;
  readonly primaryChanged: Notifier;
  /** Built after the nodes it leads. */
  readonly leader: () => Leader;
  readonly limits: () => MergeLimits;
  readonly suspect: (node: string, shard: string, reason: string, term: Term) => Promise<void>;
  /** Whether no other node has a healthy copy of the shard. */
  readonly isLastCopy: (node: string, shard: string) => boolean;
  readonly refreshCatalog: () => Promise<void>;
  /** Forgets every kept answer and record. */
  readonly forget: () => void;
}

export function buildNode(address: NodeAddress, parts: NodeParts): BuiltNode {
  const { gatewayId, nodesCount, settleMs, clock, random, newId, logger, log, tail, appender } = parts;
  const { positions, checkpoints, decisions, capabilities, nodes, arbiter, primaryChanged } = parts;
  const { leader, limits, suspect, refreshCatalog, forget, stagger, trials, onHung } = parts;
  const workload = new Workload(clock, parts.staggerMs);
  const asked = new Set<AbortController>();
  const identity: { expected: Identity | null } = { expected: null };
  const expect = (): Expected | null =>
    identity.expected === null ? null : { ...identity.expected, markerLSN: member.markerLSN };
  // While the process behind the address may be a new one, only what looks at it is let through.
  const client = createNodeClient({
    url: address.url,
    clock,
    expect: () => (member.verified ? expect() : null),
  });
  const watcher = createNodeClient({
    url: address.url,
    clock,
    expect,
    readConnections: 1,
    onDisconnected: () => {
      member.connectionLost();
      trials.died(address.id);
      positions.restarted(address.id, applier.checkpoint);
    },
  });
  const unverified = createUnverifiedNodeClient({
    url: address.url,
    clock,
    readConnections: 1,
    mutateConnections: 1,
  });
  const verifier = new TailVerifier({
    client: watcher,
    clock,
    log,
    decisions,
    roundEntriesMax: ROUND_ENTRIES_MAX,
    checkpoint: async () => {
      await checkpoints.settled();
      return admission.checkpoint();
    },
    held: () => checkpoints.held(address.id),
    head: async () => (await log.head()).lsn,
    onDamaged: (damage) => leader().damaged(address.id, damage),
    suspect: (shard, reason) => {
      const { term } = leader();
      if (term === null) throw new Error('this gateway does not lead');
      return suspect(address.id, shard, reason, term);
    },
  });
  const canary = createCanary(client, { recordId: gatewayId, deadlineMs: 5_000, random, clock });
  const probe = createNodeProbe({ watcher, canary, verify: () => verifier.verify(), work: workload, clock });
  const canaryReason = async (): Promise<string | null> => (await probe.canary())?.reason ?? null;
  const member = new Member({
    ...address,
    probe,
    work: workload,
    overdueMaxMs: parts.overdueMaxMs,
    clock,
    onProcessGone: () => applier.processGone(),
    onTransition: (node, from, event, reason) => {
      logger.info({ node: node.id, from, to: node.state, event, reason }, 'node changed state');
      if (!canServe(node.state)) for (const read of asked) read.abort();
      if (node.state === 'down' && workload.isOverdueBy(0)) {
        applier.callsOverdue();
        onHung(node.id, node.url);
      }
      stagger.reconsider();
      if (event === 'lost_content') forget();
      const term = leader().term;
      if (term === null) return;
      nodes
        .update(term.epoch, node.id, node.url, node.state, node.reason)
        .catch((error: unknown) =>
          logger.warn({ node: node.id, error: String(error) }, 'state not recorded'),
        );
    },
  });
  const applier = new Applier({
    node: address.id,
    client,
    clock,
    tail,
    positions,
    checkpoints,
    decisions,
    limits,
    leavesLists: () => capabilities.current.metadataArrays,
    primaryChanged,
    primary: () => leader().primary,
    stepDown: (lsn) => leader().stepDown(address.id, lsn),
    settleMs: settleMs,
    appendUnderWay: () => appender.underWay,
    workload,
    stagger,
    trials,
    arbiter,
    attemptsMax: parts.attemptsMax,
    canary: canaryReason,
    announce: (lsn, forMs, term) => nodes.announce(term.epoch, address.id, lsn, forMs),
    onLong: (isLong) => {
      if (isLong) member.on('occupied', 'it works on a long call');
      else if (!workload.isLong) member.on('free', 'it has responded to the long call');
    },
    showsEffect: (shard, entry) => showsEffect(client, shard, entry),
    isLastCopy: (shard) => parts.isLastCopy(address.id, shard),
    suspect: (shard, reason, term) => suspect(address.id, shard, reason, term),
    onTrouble: (error) => reportTrouble(member, error),
    recheck: async () => {
      const doubt = await verifier.verify();
      if (doubt?.lost === true) member.on('lost_content', doubt.reason);
      return doubt === null ? checkpoints.held(address.id) : null;
    },
    onSchemaApplied: () => {
      refreshCatalog().catch((error: unknown) =>
        logger.warn({ error: String(error) }, 'catalog not refreshed'),
      );
    },
  });
  const admission = new Admission({
    member,
    identity,
    client,
    unverified,
    nodes,
    newId,
    onAdmitting: async () => {
      const lacks = await capabilities.join(
        address.id,
        await probeCapabilities(client),
        nodesCount,
        leader().term?.epoch ?? 0,
      );
      if (lacks !== null) member.refuse(lacks);
    },
    onRewound: (reason) => leader().rewound(reason),
    verify: () => verifier.verify(),
  });
  return {
    member,
    client,
    watcher,
    unverified,
    applier,
    admission,
    asked,
    workload,
    canary: canaryReason,
  };
}

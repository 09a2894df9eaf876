// While another gateway leads, its record says which nodes are fit to serve; this gateway's own probes say which of them
// it reaches.

import type { ClusterSnapshot, RecordedNode } from '../coordination/cluster-snapshot.ts';
import type { Logger } from '../util/logger.ts';
import { canServe, NODE_STATES, type NodeState } from '../nodes/node-state.ts';
import type { Follower } from './follower.ts';

export interface RecordedNodesOptions {
  readonly find: (id: string) => Follower | null;
  /** How often the node that is in use under this id began again; null when there is none. */
  readonly resetsOf: (id: string) => number | null;
  readonly onApplied: (node: string, lsn: number) => void;
  readonly cluster: string;
  readonly logger: Pick<Logger, 'warn'>;
}

/** What was observed of the leader since the process of a node may last have changed. */
interface Observed {
  readonly connectionsEnded: number;
  readonly epoch: number;
  /** The process was reached since. */
  readonly wasReached: boolean;
  readonly renewal: number;
  /** Renewals of the lease since. */
  readonly renewals: number;
}

// An ended connection is noticed by every gateway at once, and recorded by the leader within moments. After its second
// renewal the record is from after the end.
const RENEWALS = 2;

export class RecordedNodes {
  readonly #options: RecordedNodesOptions;
  readonly #observed = new Map<string, Observed>();
  /** Nodes whose identity is being read. */
  readonly #identifying = new Set<string>();
  /** Nodes with a long call in flight. */
  readonly #busy = new Set<string>();

  constructor(options: RecordedNodesOptions) {
    this.#options = options;
  }

  /** Whether the node works on a long call of the leader. */
  isBusy(node: string): boolean {
    return this.#busy.has(node);
  }

  /** This gateway leads from now on, and knows by itself. */
  forget(): void {
    this.#busy.clear();
    this.#observed.clear();
  }

  follow(state: ClusterSnapshot): void {
    for (const recorded of state.nodes) {
      const follower = this.#options.find(recorded.id);
      // Its next beginning is in the view that is loaded with the next state.
      if (follower === null || this.#options.resetsOf(recorded.id) !== recorded.resets) continue;
      const { member } = follower;
      this.#options.onApplied(recorded.id, recorded.checkpoint);
      member.markerLSN = Math.max(member.markerLSN, recorded.markerLSN);
      this.#followState(follower, recorded, state);
    }
  }

  #followState(follower: Follower, recorded: RecordedNode, { epoch, renewal }: ClusterSnapshot): void {
    const { member } = follower;
    const observed = this.#observe(follower, epoch, renewal);
    const isRecordedNow = recorded.stateEpoch === epoch;
    const state = stateOf(recorded.state);
    if (state !== null && canServe(state)) {
      this.#followWork(follower, recorded);
      if (canServe(member.state) || !isRecordedNow) return;
      if (member.state === 'joining' && follower.admission.incarnation === null) this.#identify(follower);
      const isVouchedFor = observed.renewals >= RENEWALS && member.isReached;
      if (isVouchedFor) member.vouchedFor('the gateway that leads serves from it');
      return;
    }
    this.#busy.delete(recorded.id);
    // A node that is drained here follows the list of nodes.
    if (!isRecordedNow || state === 'drained') return;
    const reason = `the gateway that leads has it as ${recorded.state}: ${recorded.reason ?? 'no reason'}`;
    if (state === 'needs_rebuild') member.on('lost_content', reason);
    else member.distrust(reason);
  }

  #followWork({ member }: Follower, { id, state, isBusy }: RecordedNode): void {
    if (isBusy || state === 'busy') {
      this.#busy.add(id);
      member.on('occupied', 'it works on a long call');
    } else if (this.#busy.delete(id)) member.on('free', 'it has responded to the long call');
  }

  /** Renewals count while the probe connection is open: the end of a process is not noticed without one. */
  #observe(
    { member: { id, isReached, connectionsEnded } }: Follower,
    epoch: number,
    renewal: number,
  ): Observed {
    const known = this.#observed.get(id);
    const isSame = known?.connectionsEnded === connectionsEnded && known.epoch === epoch;
    const wasReached = isSame && known.wasReached;
    const renewals = wasReached ? known.renewals + (known.renewal === renewal ? 0 : 1) : 0;
    const observed = { connectionsEnded, epoch, wasReached: wasReached || isReached, renewal, renewals };
    this.#observed.set(id, observed);
    return observed;
  }

  #identify({ member, admission }: Follower): void {
    const { id } = member;
    if (this.#identifying.has(id)) return;
    this.#identifying.add(id);
    admission
      .load(this.#options.cluster)
      .catch((error: unknown) =>
        this.#options.logger.warn({ node: id, error: String(error) }, 'identity of a node not read'),
      )
      .finally(() => this.#identifying.delete(id));
  }
}

function stateOf(text: string): NodeState | null {
  return NODE_STATES.find((state) => state === text) ?? null;
}

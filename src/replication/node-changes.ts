// What operators do to nodes: each change begins while this gateway leads, and ends when the cluster has followed it.

import type { Term } from '../coordination/term.ts';
import { PolychromeError } from '../errors.ts';
import type { LogBuffer } from '../log/log-buffer.ts';
import type { MemberStore } from '../nodes/member-store.ts';
import { canServe } from '../nodes/node-state.ts';
import type { EventSink } from '../observability/events.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { ReportProgress } from '../util/progress.ts';
import type { Follower } from './follower.ts';
import type { Leader } from './leader.ts';
import type { Positions } from './positions.ts';

interface ChangedNode extends Pick<Follower, 'member'> {
  /** Reads of this gateway that the node has not responded to. */
  readonly readsInFlight: { readonly size: number };
}

/** How an operation reports, and when it is to end. */
interface ChangeTask {
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

export interface NodeChangesOptions {
  readonly leader: Pick<Leader, 'term' | 'primary' | 'promote'>;
  readonly store: Pick<MemberStore, 'add' | 'drain' | 'remove'>;
  /** Brings the registry in line with the list, after a change of it. */
  readonly refresh: () => Promise<void>;
  /** Why a server at this address cannot join as a node; null when it can. */
  readonly refusal: (id: string, url: string) => Promise<string | null>;
  /** Collections of which no other node has a healthy copy. */
  readonly onlyCopies: (node: string, others: readonly string[]) => readonly string[];
  readonly events: EventSink;
  readonly followers: { all(): readonly ChangedNode[] };
  readonly positions: Pick<Positions, 'applied'>;
  readonly logBuffer: Pick<LogBuffer, 'head'>;
  readonly clock: Clock;
}

const POLL_MS = 50;
// A serving node is at most some seconds of writes behind (replication/leader.ts); one that needs longer is overloaded.
const PROMOTION_MS_MAX = 60_000;
// A read in flight ends within its own time limit (READ_TIMEOUT_MS, a minute at most by default).
const DRAIN_MS_MAX = 60_000;
const NAMED_MAX = 10;

export class NodeChanges {
  readonly #options: NodeChangesOptions;

  constructor(options: NodeChangesOptions) {
    this.#options = options;
  }

  /** Throws PolychromeError when a change of this node cannot be begun on this gateway. */
  require(id: string): ChangedNode {
    this.#requireTerm();
    const found = this.#find(id);
    if (found !== null) return found;
    throw new PolychromeError('not_found', `There is no node "${id}" in this cluster.`);
  }

  /** Makes the node primary once it has applied what the log holds now. Writes continue meanwhile. */
  async promote(id: string, { report, signal }: ChangeTask): Promise<{ before: string | null }> {
    const { leader, positions, logBuffer } = this.#options;
    const { node: before } = leader.primary;
    const { head } = logBuffer;
    const from = positions.applied(id);
    await this.#until(
      () => {
        this.#requireServing(id);
        report({
          phase: 'applying the log',
          done: Math.min(positions.applied(id), head) - from,
          total: head - from,
          unit: 'entries',
        });
        return positions.applied(id) >= head;
      },
      {
        limitMs: PROMOTION_MS_MAX,
        otherwise: `node "${id}" has not applied LSN ${head}; ${id} is not primary`,
      },
      signal,
    );
    leader.promote(id);
    try {
      await this.#until(
        () => leader.primary.node === id,
        {
          limitMs: PROMOTION_MS_MAX,
          otherwise: `node "${id}" was not elected; the primary is still ${before}`,
        },
        signal,
      );
    } catch (error) {
      leader.promote(null);
      throw error;
    }
    this.#options.events.record('operator_action', { action: 'node promote', node: id });
    return { before };
  }

  /** Adds a node and waits until it serves. A node that is in the list already is waited for. */
  async add(id: string, url: string, { report, signal }: ChangeTask): Promise<{ url: string }> {
    const { store, refresh, refusal, events } = this.#options;
    this.#requireTerm();
    const present = this.#find(id);
    if (present !== null && present.member.url !== url) {
      throw new PolychromeError(
        'conflict',
        `Node "${id}" is in the cluster already, at another address. Name it in NODES at the new address to move it, or remove it first. Nothing was changed.`,
      );
    }
    if (present === null) {
      const reason = await refusal(id, url);
      if (reason !== null) throw new PolychromeError('conflict', `${reason} Nothing was changed.`);
      if (await store.add({ id, url })) events.record('node_added', { node: id });
      await refresh();
    }
    await this.#untilServing(id, report, signal);
    return { url };
  }

  /** Takes a node out of service: it moves the primary away, gets no new reads, and goes on following the log. */
  async drain(id: string, { report, signal }: ChangeTask): Promise<{ primary: string | null }> {
    const { leader, store, refresh, events } = this.#options;
    const { member } = this.require(id);
    this.#requireOtherServing(id, 'drained');
    await this.#moveAway(id, { report, signal });
    if (!(await store.drain(id, true))) throw gone(id);
    await refresh();
    events.record('operator_action', { action: 'node drain', node: id });
    await this.#until(
      () => {
        const reads = this.#find(id)?.readsInFlight.size ?? 0;
        report({ phase: 'waiting for reads in flight', done: 0, total: reads, unit: 'reads' });
        return !canServe(member.state) && leader.primary.node !== id && reads === 0;
      },
      { limitMs: DRAIN_MS_MAX, otherwise: `node "${id}" still has reads in flight; it gets no new ones` },
      signal,
    );
    return { primary: leader.primary.node };
  }

  /** Takes a node back into service, and waits until it serves. */
  async undrain(id: string, { report, signal }: ChangeTask): Promise<object> {
    const { store, refresh, events } = this.#options;
    if (!(await store.drain(id, false))) throw gone(id);
    await refresh();
    events.record('operator_action', { action: 'node undrain', node: id });
    await this.#untilServing(id, report, signal);
    return {};
  }

  /** Removes a node from the cluster; its server may be stopped afterwards. */
  async remove(id: string, { report, signal }: ChangeTask): Promise<{ primary: string | null }> {
    const { leader, followers, store, refresh, onlyCopies, events } = this.#options;
    this.#requireOtherServing(id, 'removed');
    const others = followers
      .all()
      .map(({ member }) => member.id)
      .filter((other) => other !== id);
    const only = onlyCopies(id, others);
    if (only.length > 0) {
      const more = only.length > NAMED_MAX ? ` and ${only.length - NAMED_MAX} more` : '';
      throw new PolychromeError(
        'conflict',
        `Node "${id}" has the only healthy copy of ${only.slice(0, NAMED_MAX).join(', ')}${more}. Nothing was changed.`,
      );
    }
    await this.#moveAway(id, { report, signal });
    const { epoch } = this.#requireTerm();
    if (!(await store.remove(epoch, id))) {
      throw new PolychromeError(
        'conflict',
        `Node "${id}" became primary again, or this gateway leads no longer; the node was not removed. Try again.`,
      );
    }
    events.record('node_removed', { node: id });
    await refresh();
    return { primary: leader.primary.node };
  }

  #find(id: string): ChangedNode | null {
    return this.#options.followers.all().find(({ member }) => member.id === id) ?? null;
  }

  #requireTerm(): Term {
    const { term } = this.#options.leader;
    if (term !== null) return term;
    throw new PolychromeError(
      'not_leader',
      'This gateway does not lead at the moment, so it cannot change nodes; nothing was changed. Send the command to the leader (GET /status names it).',
    );
  }

  #requireOtherServing(id: string, change: string): void {
    const others = this.#options.followers.all().filter(({ member }) => member.id !== id);
    if (others.some(({ member }) => canServe(member.state))) return;
    throw new PolychromeError(
      'conflict',
      `No other node serves, so "${id}" cannot be ${change}: reads and writes would stop. Nothing was changed.`,
    );
  }

  /** Makes another node primary, if this one is: the serving node that has applied most. */
  async #moveAway(id: string, { report, signal }: ChangeTask): Promise<void> {
    const { leader, followers, positions } = this.#options;
    if (leader.primary.node !== id) return;
    const [next] = followers
      .all()
      .map(({ member }) => member)
      .filter((member) => member.id !== id && canServe(member.state))
      .sort((a, b) => positions.applied(b.id) - positions.applied(a.id));
    if (next !== undefined) await this.promote(next.id, { report, signal });
  }

  async #untilServing(id: string, report: ReportProgress, signal: AbortSignal): Promise<void> {
    const { positions, logBuffer } = this.#options;
    await this.#until(
      () => {
        const found = this.#find(id);
        if (found === null) throw gone(id);
        const { state, reason, lastError } = found.member;
        if (state === 'fenced' || state === 'needs_rebuild') {
          throw new PolychromeError('conflict', `Node "${id}" is ${state}: ${reason ?? 'see GET /status'}`);
        }
        const why = state === 'joining' && lastError !== null ? `joining (${lastError})` : state;
        report({ phase: why, done: positions.applied(id), total: logBuffer.head, unit: 'entries' });
        return canServe(state);
      },
      null,
      signal,
    );
  }

  #requireServing(id: string): void {
    const { state } = this.require(id).member;
    if (canServe(state)) return;
    throw new PolychromeError(
      'conflict',
      `Node "${id}" is ${state}; only a serving node can become primary. Nothing was changed.`,
    );
  }

  /** `bound` null: it ends with its signal only. */
  async #until(
    isReached: () => boolean,
    bound: { readonly limitMs: number; readonly otherwise: string } | null,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#options;
    const from = clock.monotonic();
    while (!isReached()) {
      signal.throwIfAborted();
      this.#requireTerm();
      if (bound !== null && clock.monotonic() - from >= bound.limitMs)
        throw new PolychromeError('conflict', `After ${bound.limitMs / 1_000} s ${bound.otherwise}.`);
      await sleep(clock, POLL_MS, signal);
    }
  }
}

function gone(id: string): PolychromeError {
  return new PolychromeError('not_found', `Node "${id}" was removed from the cluster meanwhile.`);
}

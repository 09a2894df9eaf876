// Judges refusals that should not have been: an entry that passed every check is expected to be taken by every sound
// node. Only when a second sound node refuses it alike is the entry at fault; it is then quarantined, for everybody.

import type { NodeResponse } from '../chroma/node-client.ts';
import type { Term } from '../cluster/lease.ts';
import type { Entry } from '../log/entry.ts';
import type { Verdict } from './applier.ts';
import type { Decisions } from './checkpoints.ts';
import type { Positions } from './positions.ts';

export interface ArbiterOptions {
  readonly decisions: Pick<Decisions, 'isQuarantined' | 'record'>;
  readonly positions: Positions;
  /** All nodes, dead or alive. */
  readonly members: () => readonly string[];
  /** Nodes that follow the log and answer, this moment. */
  readonly answering: () => readonly string[];
  /** Why the node's canary fails, or null. */
  readonly canary: (node: string) => Promise<string | null>;
  /** An entry was quarantined; these nodes had taken it, so their shard is not what the others have. */
  readonly onQuarantine: (
    entry: Entry,
    response: NodeResponse,
    takenBy: readonly string[],
    term: Term,
  ) => Promise<void>;
}

export class Arbiter {
  readonly #options: ArbiterOptions;
  readonly #refusals = new Map<number, Map<string, NodeResponse>>();

  constructor(options: ArbiterOptions) {
    this.#options = options;
  }

  /** One node's refusal, judged against what the others did so far; `repeat` asks to try again a little later. */
  async judge(node: string, entry: Entry, response: NodeResponse, term: Term): Promise<Verdict> {
    const { decisions, positions, answering, canary } = this.#options;
    if (decisions.isQuarantined(entry.lsn)) return 'skip';
    if ((await canary(node)) !== null) return 'repeat';
    const refusals = this.#refusals.get(entry.lsn) ?? new Map<string, NodeResponse>();
    this.#refusals.set(entry.lsn, refusals.set(node, response));

    const others = answering().filter((other) => other !== node);
    const taken = (other: string): boolean => positions.appliedTo(other, entry.target ?? '') >= entry.lsn;
    // A node may have refused first and taken it when asked again.
    const alike = others.filter((other) => refusals.get(other)?.status === response.status && !taken(other));
    // A node alone has nobody to compare with: its own working canary must do.
    if (alike.length > 0 || others.length === 0) return this.#quarantine(node, entry, response, taken, term);
    if (others.some(taken)) {
      this.#refusals.delete(entry.lsn);
      return 'suspect';
    }
    return 'repeat';
  }

  async #quarantine(
    node: string,
    entry: Entry,
    response: NodeResponse,
    taken: (other: string) => boolean,
    term: Term,
  ): Promise<Verdict> {
    const decision = {
      lsn: entry.lsn,
      outcome: 'quarantined',
      status: response.status,
      body: response.body,
    } as const;
    const stands = await this.#options.decisions.record({ epoch: term.epoch, node, generation: 0 }, decision);
    if (stands === null) return 'repeat';
    this.#options.positions.cameToNothing(entry.lsn);
    // Looked at now that it is on record: a node answered from here on sees by itself that it took what is quarantined.
    // Nodes that do not answer are among them: they come back with what they took.
    const takenBy = this.#options.members().filter((other) => other !== node && taken(other));
    await this.#options.onQuarantine(entry, response, takenBy, term);
    this.#refusals.delete(entry.lsn);
    return 'skip';
  }
}

// Verifies every shard of one node against the nodes that serve, when an operator asks for it.

import { NodeError } from '../chroma/client/node-error.ts';
import { TermOver, type Term } from '../coordination/term.ts';
import { PolychromeError } from '../errors.ts';
import type { ReportProgress } from '../util/progress.ts';
import type { ShardVerification } from './shard-verification.ts';

export interface NodeVerificationOptions {
  readonly verification: Pick<ShardVerification, 'verify'>;
  /** The shards that the node has a healthy copy of. */
  readonly shardsOf: (node: string) => readonly string[];
  readonly serving: () => readonly string[];
  /** Null while this gateway does not lead. */
  readonly term: () => Term | null;
}

/** What operators are shown of a verification. */
export interface NodeVerificationResult {
  readonly collections: number;
  readonly records: number;
  /** Records that could not be compared, because entries kept changing them. */
  readonly uncompared: number;
  /** Copies that became suspect, on this node and on others. */
  readonly suspects: number;
}

export class NodeVerification {
  readonly #options: NodeVerificationOptions;

  constructor(options: NodeVerificationOptions) {
    this.#options = options;
  }

  /** Throws PolychromeError when a node does not respond or this gateway ceases to lead. */
  async verify(node: string, report: ReportProgress, signal: AbortSignal): Promise<NodeVerificationResult> {
    const { shardsOf, term } = this.#options;
    const current = term();
    if (current === null) throw notLeading();
    const shards = shardsOf(node);
    let records = 0;
    let uncompared = 0;
    let suspects = 0;
    for (const [done, shard] of shards.entries()) {
      if (signal.aborted) break;
      report({ phase: 'comparing', done, total: shards.length, unit: 'collections' });
      const found = await this.#verifyShard(shard, node, current);
      records += found.records;
      uncompared += found.uncompared;
      suspects += found.suspects.length;
    }
    return { collections: shards.length, records, uncompared, suspects };
  }

  async #verifyShard(shard: string, node: string, term: Term): ReturnType<ShardVerification['verify']> {
    const { verification, serving } = this.#options;
    const others = serving().filter((id) => id !== node);
    try {
      return await verification.verify(shard, [node, ...others.slice(0, 1)], { term, witnesses: others });
    } catch (error) {
      if (error instanceof TermOver) throw notLeading();
      if (!(error instanceof NodeError)) throw error;
      throw new PolychromeError(
        'no_node',
        `A node did not respond while node "${node}" was compared: ${error.message}. Nothing was changed; try again.`,
        { cause: error },
      );
    }
  }
}

function notLeading(): PolychromeError {
  return new PolychromeError(
    'not_leader',
    'This gateway does not lead, so it cannot verify a node. Send the command to the leader (GET /status names it).',
  );
}

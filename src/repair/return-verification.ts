// Verifies a node whose process may be a new one, once it has caught up and before it serves: every record of every shard
// against a node that serves, and every index.
//
// When no node serves, as after a restart of everything, there is nothing to compare with: the node serves what proves
// itself (its marker, what the log holds after it, every index), and a scrub compares the copies afterwards.

import { NodeError } from '../chroma/client/node-error.ts';
import { TermOver, type Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import type { ShardVerification } from './shard-verification.ts';

/** A node that has caught up. */
export interface ReturnedNode {
  readonly id: string;
  /** Changes whenever the process behind its address may be another. */
  readonly process: number;
}

export interface ReturnVerificationOptions {
  readonly verification: Pick<ShardVerification, 'verify'>;
  /** The shards that the node has a healthy copy of. */
  readonly shardsOf: (node: string) => readonly string[];
  /** Nodes that serve, in the order in which they should be asked. */
  readonly references: () => readonly string[];
  /** Called when a node serves some record without having compared it. */
  readonly onUncompared: (node: string) => void;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

/** How far the verification of a node has come. */
export interface VerificationProgress {
  readonly shards: number;
  readonly verified: number;
  readonly records: number;
  readonly bytes: number;
  /** Wall clock, ms since the epoch. */
  readonly since: number;
}

interface Run extends VerificationProgress {
  readonly process: number;
  verified: number;
  records: number;
  bytes: number;
  state: 'running' | 'passed' | 'failed';
}

// Reads of small shards are dominated by their round trips; more than two at a time delay the reads of clients
// (docs/performance.md).
const CONCURRENCY = 2;
const PAUSE_MS = 500;
// Failures of another kind, as of PostgreSQL, may last: each is logged, and costs a read of the shard.
const PAUSE_MS_MAX = 30_000;
// Nodes that do not respond are asked again for so long; then the node serves this shard without being compared.
const ATTEMPTS_MAX = 20;

export class ReturnVerification {
  readonly #options: ReturnVerificationOptions;
  readonly #runs = new Map<string, Run>();

  constructor(options: ReturnVerificationOptions) {
    this.#options = options;
  }

  /** Whether the node's process has been verified; begins to verify it when it has not. */
  hasPassed(node: ReturnedNode, term: Term): boolean {
    const known = this.#runs.get(node.id);
    if (known?.process === node.process && known.state !== 'failed') return known.state === 'passed';
    const shards = this.#options.shardsOf(node.id);
    const run: Run = {
      process: node.process,
      state: 'running',
      shards: shards.length,
      verified: 0,
      records: 0,
      bytes: 0,
      since: this.#options.clock.now(),
    };
    this.#runs.set(node.id, run);
    if (shards.length === 0) {
      run.state = 'passed';
      return true;
    }
    void this.#verify(node, run, shards, term);
    return false;
  }

  /** Null while no verification of the node is in progress. */
  progress(node: string): VerificationProgress | null {
    const run = this.#runs.get(node);
    if (run?.state !== 'running') return null;
    const { shards, verified, records, bytes, since } = run;
    return { shards, verified, records, bytes, since };
  }

  async #verify(node: ReturnedNode, run: Run, shards: readonly string[], term: Term): Promise<void> {
    const { references, onUncompared, clock, logger } = this.#options;
    const startedMs = clock.monotonic();
    // Decided once: nodes that return at the same moment do not wait for each other.
    const canCompare = references().some((id) => id !== node.id);
    let isCompared = true;
    const queue = [...shards];
    const work = async (): Promise<void> => {
      for (let shard = queue.shift(); shard !== undefined; shard = queue.shift()) {
        const isShardCompared = await this.#verifyShard(shard, { node, run, term, canCompare });
        isCompared &&= isShardCompared;
        run.verified += 1;
      }
    };
    try {
      await Promise.all(Array.from({ length: CONCURRENCY }, work));
      run.state = 'passed';
      const ms = Math.round(clock.monotonic() - startedMs);
      const { records, bytes } = run;
      logger.info({ node: node.id, shards: shards.length, records, bytes, ms, isCompared }, 'node verified');
      if (!isCompared) onUncompared(node.id);
    } catch (error) {
      queue.length = 0;
      run.state = 'failed';
      if (!(error instanceof TermOver))
        logger.warn(
          { node: node.id, error: String(error) },
          'verification of a node failed; it begins again',
        );
    }
  }

  /** Returns whether every record was compared with another node's. */
  async #verifyShard(
    shard: string,
    { node, run, term, canCompare }: { node: ReturnedNode; run: Run; term: Term; canCompare: boolean },
  ): Promise<boolean> {
    const { verification, references, clock, logger } = this.#options;
    let failures = 0;
    const onPage = async (records: number, bytes: number): Promise<void> => {
      run.records += records;
      run.bytes += bytes;
      if (this.#runs.get(node.id) !== run || node.process !== run.process) throw new TermOver();
    };
    for (let attempt = 0; ; attempt++) {
      if (term.signal.aborted) throw new TermOver();
      const others = references().filter((id) => id !== node.id);
      if (canCompare && others.length === 0 && attempt < ATTEMPTS_MAX) {
        // The last one that served may be back soon.
        await sleep(clock, PAUSE_MS, term.signal);
        if (node.process !== run.process) throw new TermOver();
        continue;
      }
      const reference = canCompare && attempt < ATTEMPTS_MAX ? others[attempt % others.length] : undefined;
      const nodes = reference === undefined ? [node.id] : [node.id, reference];
      try {
        const { uncompared } = await verification.verify(shard, nodes, {
          term,
          witnesses: reference === undefined ? [] : others,
          yields: true,
          onPage,
        });
        return reference !== undefined && uncompared === 0;
      } catch (error) {
        if (error instanceof TermOver) throw error;
        const isUnanswered = error instanceof NodeError && attempt < 2 * ATTEMPTS_MAX;
        if (!isUnanswered) {
          failures += 1;
          logger.warn(
            { node: node.id, shard, error: String(error) },
            'verification of a shard failed; it begins again',
          );
        }
        await sleep(clock, Math.min(PAUSE_MS * 2 ** failures, PAUSE_MS_MAX), term.signal);
        if (node.process !== run.process) throw new TermOver();
      }
    }
  }
}
